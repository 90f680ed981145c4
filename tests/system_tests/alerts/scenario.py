"""What people do and which processes die while the DAGs run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_chatwork.alerts import alert_state
from airflow_provider_chatwork.sandbox.company import BOT
from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.alerts.observations import Evidence
from tests.system_tests.alerts.rooms import ROOMS
from tests.system_tests.cluster import Sandbox, answer, mark

_BROKEN = ("chatwork_down", "chatwork_slow", "token_revoked", "no_right")
_PARKED = ("awaiting_input", "deferred")


@dataclass(frozen=True)
class _Act:
    name: str
    is_due: Callable[[Evidence], bool]
    do: Callable[[], None]


class Play:
    """A list of acts, each done once, when its time has come.

    :param signals: the folder of the signals that tasks wait for.
    """

    def __init__(self, airflow: Airflow, sandbox: Sandbox, signals: Path, watch: Watch) -> None:
        #: The ids of the triggered runs, by DAG.
        self.runs: dict[str, str] = {}
        self._airflow = airflow
        self._sandbox = sandbox
        self._signals = signals
        self._watch = watch
        self._done: set[str] = set()
        self._acts = [
            _Act("Chatwork breaks", self._all_told, self._break),
            _Act("Chatwork is mended", self._all_lost, self._mend),
            _Act("sales_report runs again", self._sales_told, self._again),
        ]
        if airflow.version >= (3, 0):
            self._acts += [
                _Act(f"marked as {state}", self._has_begun(f"marked_{state}"), partial(self._mark, state))
                for state in ("failed", "success")
            ]
        if airflow.version >= (3, 1):
            self._acts += [
                _Act("an answer", self._is_parked("asks"), partial(self._answer, "asks")),
                _Act("another answer", self._mended_and_parked, partial(self._answer, "asks_in_vain")),
            ]

    @property
    def open(self) -> list[str]:
        """What has not been done yet."""
        return [act.name for act in self._acts if act.name not in self._done]

    def begin(self) -> None:
        """Do what has to be done before anything runs."""
        self._refuse("asks_in_vain", 503)

    def go_on(self, seen: Evidence) -> bool:
        """Do what is due; returns whether all has been done."""
        for act in self._acts:
            if act.name not in self._done and act.is_due(seen):
                self._done.add(act.name)
                self._watch.report(act.name)
                act.do()
        return not self.open

    def _is(self, dag_id: str, task_id: str, *states: str) -> Callable[[Evidence], bool]:
        return lambda seen: seen.task_states.get(dag_id, {}).get(task_id) in states

    def _has_begun(self, task_id: str) -> Callable[[Evidence], bool]:
        """Whether the process of a task is in the author's code."""
        return lambda seen: (self._signals / task_id).exists()

    def _is_parked(self, dag_id: str) -> Callable[[Evidence], bool]:
        """Whether a question can be answered.

        Before the scheduler has seen the end of the asking process, an answer is taken for the task's violent end.
        """
        parked = self._is(dag_id, "approve", *_PARKED)
        return lambda seen: parked(seen) and self._airflow.has_seen_end(dag_id, "approve")

    def _refuse(self, dag_id: str, status: int, *errors: str) -> None:
        body: Any = {"errors": errors} if errors else None
        path = rf"/rooms/{ROOMS[dag_id]}(/.*)?"
        self._sandbox.order("add_fault", kind="status", status=status, body=body, path=path, times=None)

    def _all_told(self, seen: Evidence) -> bool:
        return all(seen.rooms[dag_id].messages and self._is(dag_id, "before", "failed")(seen) for dag_id in _BROKEN)

    def _break(self) -> None:
        self._refuse("chatwork_down", 503)
        path = rf"/rooms/{ROOMS['chatwork_slow']}(/.*)?"
        self._sandbox.order("add_fault", kind="timeout", executed=False, path=path, times=None)
        self._refuse("token_revoked", 401, "Invalid API token")
        self._sandbox.order("add_member", room_id=ROOMS["no_right"], account_id=BOT, role="readonly")
        self._signal("broken")

    def _all_lost(self, seen: Evidence) -> bool:
        over = all(self._is(dag_id, "meanwhile", "failed")(seen) for dag_id in _BROKEN)
        return over and (self._airflow.version < (3, 1) or self._is("asks_in_vain", "approve", *_PARKED)(seen))

    def _mend(self) -> None:
        self._sandbox.order("clear_faults")
        self._sandbox.order("add_member", room_id=ROOMS["no_right"], account_id=BOT, role="member")
        self._signal("mended")

    def _mended_and_parked(self, seen: Evidence) -> bool:
        return "Chatwork is mended" in self._done and self._is_parked("asks_in_vain")(seen)

    def _signal(self, name: str) -> None:
        for dag_id in _BROKEN:
            (self._signals / f"{dag_id}.{name}").touch()

    def _sales_told(self, seen: Evidence) -> bool:
        """Whether both rooms have the alert about the failed run, and its callbacks have ended.

        A run that was on its way before says nothing of a failure.
        """
        if seen.run_states.get("sales_report") != ["failed"]:
            return False
        kept: Any = SimpleNamespace(load=self._airflow.variable)
        states = [state for _, state in alert_state.open_alerts(kept, "sales_report")]
        rooms = {int(state.room_id or 0) for state in states}
        over = all(state.lease is None and run.run_failed for state in states for run in state.runs.values())
        return over and rooms == {ROOMS["sales_report"], ROOMS["listener"]}

    def _again(self) -> None:
        self._airflow.trigger(["sales_report"], conf={"broken": False})

    def _mark(self, state: str) -> None:
        mark(self._airflow, "marked", self.runs["marked"], f"marked_{state}", state)

    def _answer(self, dag_id: str) -> None:
        answer(self._airflow, dag_id, self.runs[dag_id], "approve", "締める")
