"""The kinds of callbacks and the expected result of each. ``expected_texts.txt`` holds the whole texts by DAG id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.system_tests.alerts import checks
from tests.system_tests.alerts.observations import Evidence


@dataclass(frozen=True)
class Case:
    """One kind of callback.

    :param dag_id: the DAG, and the room.
    :param expected: what is expected, in words; ``check`` says whether it is so.
    :param states: how its tasks end, and ``run`` how its last run does; empty where Airflow itself is not sure.
    :param since: the first Airflow that has it, and ``before`` the first that has it no longer.
    :param room: where its alert is posted, if not in the DAG's own room.
    :param messages: how many messages are in the room at the end; ``None`` if that is the check's business.
    """

    kind: str
    dag_id: str
    expected: str
    check: checks.Check
    states: str = "failed"
    run: str = "failed"
    since: tuple[int, int] = (2, 11)
    before: tuple[int, int] = (99, 0)
    messages: int | None = 1
    room: str = ""

    def problems(self, seen: Evidence) -> list[str]:
        """What is wrong; nothing, if all is right."""
        room = seen.rooms[self.room or self.dag_id]
        states = " ".join(sorted({str(state) for state in seen.task_states.get(self.dag_id, {}).values()}))
        run = (seen.run_states.get(self.dag_id) or ["absent"])[-1]
        found: list[str | None] = []
        if self.states and states != self.states:
            found.append(f"the tasks are {states}, expected {self.states}")
        if self.run and run != self.run:
            found.append(f"the run is {run}, expected {self.run}")
        if self.messages is not None and len(room.messages) != self.messages:
            found.append(f"{len(room.messages)} messages, expected {self.messages}")
        else:
            found += self.check(seen, room)
        return [problem for problem in found if problem]


def cases(version: tuple[int, ...]) -> list[Case]:
    """Return the cases of an Airflow version."""
    return [case for case in _CASES if case.since <= version < case.before]


def _good(kind: str, dag_id: str, expected: str, check: checks.Check, **more: Any) -> Case:
    return Case(kind, dag_id, expected, check, **{"states": "success", "run": "success", **more})


_ONE = "1 message"
_RETRIED = "never reported as a final failure"
_LATER = "lost line; reported with the next"
_BOTH = "failed success"
# fmt: off
_CASES = [
    Case("task: on_failure, one line", "one_line", "1 message, calls nobody", checks.one_line),
    Case("task: on_retry, then on_failure", "retries_then_fails", "will retry; then 1 that calls", checks.retries),
    _good("task: on_retry, then on_success", "second_try", "will retry; then resolved", checks.second_try),
    Case("task: AirflowFailException", "gives_up", "final at try 1 of 3", checks.gives_up),
    _good("task and run: on_success", "succeeds", "silence", checks.nothing, messages=0),
    Case("task: on_execute, on_skipped", "starts_and_skips", "2 messages", checks.starts, "skipped success", "success",
         messages=2),
    Case("task: mapped", "mapped", "1 message with its label", checks.mapped, _BOTH),
    Case("task: execution_timeout", "takes_too_long", _ONE, checks.takes_too_long),
    Case("task: fails after deferral", "waits", _ONE, checks.waits, since=(3, 0)),
    Case("task: marked by a person", "marked", "silence", checks.nothing, _BOTH, since=(3, 0), messages=0),
    Case("task: own text, fold=none", "own_text", "3 texts from 1 notifier", checks.own_text, messages=3),
    Case("task: own text, fold=run", "own_text_together", "3 texts in 1 message", checks.own_text_together),
    Case("task: native objects", "native_objects", "12.50", checks.native),
    Case("run: folded with its tasks", "nightly_orders", "1 message for 3 tasks and run", checks.folded,
         "failed upstream_failed"),
    Case("run: on_failure alone", "run_only", "1 message naming the failed", checks.run_only,
         "failed success upstream_failed"),
    Case("run: timed out", "run_times_out", _ONE, checks.run_alone("timed_out"), "skipped"),
    Case("run: never started", "run_never_starts", _ONE, checks.run_alone("timed_out"), "skipped"),
    _good("run: recovery", "sales_report", "edited and answered", checks.recovers, messages=2),
    *(
        case
        for what, before in (("task", (99, 0)), ("job", (3, 0)), ("worker", (99, 0)))
        for case in (
            Case(f"killed {what}, no retries", f"killed_{what}_final", "1 message that calls", checks.killed_for_good,
                 before=before),
            # Airflow 2 may take a task for lost once more when it has succeeded.
            _good(f"killed {what}, retries left", f"killed_{what}_retries_left", _RETRIED, checks.killed_and_retried,
                  states="", before=before, messages=None),
        )
    ),
    _good("deadline: async", "deadline_async", "1 message that calls", checks.deadline(checks.CALL), since=(3, 1)),
    _good("deadline: sync, connection of env", "deadline_sync", _ONE, checks.deadline(), since=(3, 3)),
    _good("deadline: sync, connection of db", "deadline_unseen", "lost line that explains", checks.unseen,
          since=(3, 3), messages=0),
    # It runs over and over, so the last run is under way at any time.
    _good("sla_miss", "sla", "1 message for each callback", checks.sla, states="", run="", before=(3, 0),
          messages=None),
    _good("hitl: notifiers", "asks", "1 message with the link", checks.asks, since=(3, 1)),
    _good("hitl: Chatwork down", "asks_in_vain", "parked and answered all the same", checks.asks_in_vain,
          since=(3, 1), messages=0),
    Case("fault: 503 from the middle on", "chatwork_down", _LATER, checks.meanwhile("503"), _BOTH),
    Case("fault: no answer", "chatwork_slow", _LATER, checks.meanwhile("ChatworkNetworkError"), _BOTH),
    Case("fault: token revoked", "token_revoked", _LATER, checks.meanwhile("401"), _BOTH),
    Case("fault: no right to post", "no_right", _LATER, checks.meanwhile("403"), _BOTH),
    Case("fault: wrong template", "wrong_template", "lost line", checks.wrong_template, _BOTH, messages=0),
    Case("fault: fallback", "falls_back", "lost line; alerts elsewhere", checks.falls_back),
    Case("listener", "no_callback", "1 message for each failed run", checks.listener, messages=None, room="listener"),
    Case("listener: run already reported", "also_told", "folded with its task's", checks.also_told, messages=None,
         room="listener"),
]
# fmt: on
