from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.alerts.aggregation import AlertAggregator
from airflow_provider_chatwork.alerts.alert_state import (
    AlertMessageState,
    AlertStoreError,
    FailureUpdate,
    RunFailures,
    TaskFailure,
)
from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkServerError
from airflow_provider_chatwork.client import TimeLimit
from tests.alerts.storm import START, Storm, UnavailableAlertStore, reported_keys

RUN = "r"


def update(task_id: str, *, retrying: bool = False, try_number: int = 1, notifies: bool | None = None) -> FailureUpdate:
    failure = TaskFailure(task_id=task_id, error=f"E: {task_id}", retrying=retrying, try_number=try_number)
    return FailureUpdate(
        run=RunFailures(run_id=RUN), failure=failure, notifies=not retrying if notifies is None else notifies
    )


def run_failed(reason: str | None = None) -> FailureUpdate:
    return FailureUpdate(run=RunFailures(run_id=RUN, run_failed=True, reason=reason), failure=None, notifies=True)


@pytest.fixture
def storm() -> Storm:
    storm = Storm(1)
    storm.states[RUN] = {}
    return storm


def first_opened_at(storm: Storm) -> float:
    """Return the time of the first failure."""
    return min(state["opened_at"] for state in storm.variables.values())


def report_alone(storm: Storm, what: FailureUpdate, **more: Any) -> None:
    """Report one failure, and run until all processes have ended."""
    if what.failure is not None:
        storm.states[RUN][what.failure.key] = "up_for_retry" if what.failure.retrying else "failed"
    storm.start_process(0, lambda: storm.report(what, **more))
    storm.run()


class TestReport:
    @given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.01, 0.5, 5.0, 60.0]))
    def test_one_message_names_every_failure_for_every_interleaving(self, seed, tasks, spread):
        storm = Storm(seed)
        keys = [(f"t{at}", -1) if at % 3 else ("t1000", at) for at in range(tasks)]
        for at, key in enumerate(keys):
            begin = storm.random.uniform(0, spread)
            if at % 5 == 4:
                storm.kill_task(key, at=begin)
            else:
                storm.fail_task(key, at=begin, retrying=at % 7 == 6)
        for at, state in enumerate(("running", "success", "queued", None, "upstream_failed")):
            storm.states[RUN][(f"t{2000 + at}", -1)] = state
        storm.run()
        assert reported_keys(storm.text) == {*keys}

    @given(st.integers(0, 2**32))
    def test_every_failure_is_named_even_if_processes_outlast_the_lease_timeout(self, seed):
        storm = Storm(seed, slow=True)
        keys = {(f"t{at}", -1) for at in range(20)}
        for key in keys:
            storm.fail_task(key, at=storm.random.uniform(0, 1))
        storm.run()
        # Two messages may stay if a process is slow between a load and a post, but each failure is reported.
        assert set().union(*(reported_keys(text) for text in storm.room.messages.values())) == keys

    @given(st.integers(0, 2**32), st.integers(2, 5))
    def test_one_message_names_the_failures_of_all_runs_within_the_window(self, seed, runs):
        storm = Storm(seed)
        for at in range(4 * runs):
            storm.fail_task((f"t{at}", -1), run_id=f"r{at % runs}", at=storm.random.uniform(0, 3), window=3600.0)
        storm.run()
        assert reported_keys(storm.text) == {(f"t{at}", -1) for at in range(4 * runs)}
        assert all(f"r{run}" in storm.text for run in range(runs))

    def test_a_hundred_failures_need_few_calls(self):
        storm = Storm(7)
        for at in range(100):
            storm.fail_task((f"t{at}", -1), at=storm.random.uniform(0, 1))
        storm.run()
        assert storm.room.calls.count("post_message") == 1
        assert len(storm.room.calls) <= 20
        assert [result.outcome for result in storm.results].count("posted") == 1

    def test_a_slow_lease_leaves_time_to_write(self):
        # As on an API server that has saved nothing before. A lease lasts 8 seconds.
        storm = Storm(7)
        request, respond, slow = storm.request, storm.room.respond, [1.6]
        posted: list[float] = []

        def late(seconds, effect):
            found = request(seconds, effect)
            if "save" in effect.__qualname__ and slow:
                storm.sleep(slow.pop())
            return found

        def note(call):
            posted.append(storm.now - START)
            return respond(call)

        storm.request = late  # type: ignore[method-assign]
        storm.room.respond = note  # type: ignore[method-assign]
        for at in range(20):
            storm.fail_task((f"t{at}", -1), at=0.1 * at)
        storm.run()
        assert posted[0] < 5
        assert storm.room.calls.count("post_message") == 1

    def test_a_single_failure_needs_six_requests(self, storm):
        requested: list[str] = []
        request = storm.request

        def count(seconds, effect):
            requested.append(effect.__qualname__.split(".")[1])
            return request(seconds, effect)

        storm.request = count  # type: ignore[method-assign]
        storm.states[RUN] |= {("t8", -1): "success", ("t9", -1): "upstream_failed"}
        report_alone(storm, update("t1"))
        assert requested == ["save_failure", "load", "states", "run", "load", "save"]

    @pytest.mark.parametrize("state", ["running", "queued", "scheduled", "up_for_retry", "failed"])
    def test_a_lease_is_acquired_if_another_task_may_fail(self, storm, state):
        storm.states[RUN][("t9", -1)] = state
        report_alone(storm, update("t1"))
        # The lease is released at the end.
        assert "lease" not in storm.variables[f"message {RUN}"]
        assert storm.now > first_opened_at(storm) + 0.15

    def test_the_first_failure_is_posted_and_the_next_is_an_edit(self, storm):
        report_alone(storm, update("t1"))
        assert storm.room.calls == ["post_message"]
        assert "Task failed: t1" in storm.text
        report_alone(storm, update("t2"))
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "2 tasks failed" in storm.text
        assert [result.outcome for result in storm.results] == ["posted", "edited"]

    def test_a_reported_failure_is_not_reported_again(self, storm):
        report_alone(storm, update("t1"))
        report_alone(storm, update("t1"))
        assert storm.room.calls == ["post_message"]
        assert storm.results[-1].outcome == "already_reported"

    def test_the_first_failures_are_shown_with_their_error(self, storm):
        for at in range(8):
            report_alone(storm, update(f"t{at}"))
        assert [line for line in storm.text.splitlines() if "E: " in line] == [
            f"・t{at}: E: t{at} (1)" for at in range(5)
        ]
        assert "3 more: t5, t6, t7" in storm.text

    def test_a_final_failure_replaces_the_message_about_a_retry(self, storm):
        report_alone(storm, update("t1", retrying=True))
        assert "[To:1]" not in storm.text
        report_alone(storm, update("t1", try_number=2))
        assert storm.room.calls == ["post_message", "post_message", "delete_message"]
        assert storm.text.startswith("[To:1]\n")
        assert "Task failed: t1" in storm.text

    def test_the_next_retry_is_reported(self, storm):
        report_alone(storm, update("t1", retrying=True))
        report_alone(storm, update("t1", retrying=True, try_number=2))
        assert "will retry (2)" in storm.text

    def test_a_cleared_task_that_fails_again_gets_a_new_message(self, storm):
        report_alone(storm, update("t1"))
        report_alone(storm, update("t1", try_number=2))
        assert storm.room.calls == ["post_message", "post_message"]

    @pytest.mark.parametrize(
        "kept", [{"runs": []}, {"runs": {RUN: {"failed": []}}}, {"lease": ["x"]}, {"notified": "x"}, {"runs": {RUN: 1}}]
    )
    def test_nothing_is_sent_if_the_stored_state_is_invalid(self, storm, kept):
        storm.variables[f"message {RUN}"] = kept
        aggregator = storm.aggregator(RUN)
        raised: list[bool] = []

        def report() -> None:
            try:
                aggregator.report(update("t1"))
                raised.append(False)
            except AlertStoreError:
                raised.append(True)

        storm.start_process(0, report)
        storm.run()
        assert raised == [True]

    def test_a_slow_airflow_leaves_time_for_chatwork(self, storm):
        storm.states[RUN][("t9", -1)] = "running"
        request = storm.request

        def slowly(seconds, effect):
            storm.sleep(2.0)
            return request(seconds, effect)

        storm.request = slowly  # type: ignore[method-assign]
        began = storm.now
        aggregator = replace(storm.aggregator(RUN), time_limit=TimeLimit(20, lambda: storm.now, storm.now))
        raised: list[float] = []

        def report() -> None:
            try:
                aggregator.report(update("t1"))
            except AlertStoreError:
                raised.append(storm.now - began)

        storm.start_process(0, report)
        storm.run()
        assert len(raised) == 1
        assert raised[0] < 20
        assert storm.room.calls == []

    def test_a_task_that_has_succeeded_is_removed(self, storm):
        report_alone(storm, update("t1", retrying=True))
        storm.states[RUN][("t1", -1)] = "success"
        report_alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t2", -1)}

    def test_a_task_that_is_running_again_is_removed(self, storm):
        report_alone(storm, update("t1"))
        # Cleared: Airflow deletes the XComs of a task when it starts again.
        storm.states[RUN][("t1", -1)] = "running"
        storm.xcoms.clear()
        report_alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t2", -1)}

    def test_the_failure_of_the_run_is_reported(self, storm):
        report_alone(storm, update("t1"))
        report_alone(storm, run_failed("task_failure"))
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "The run has failed (task_failure)" in storm.text
        assert reported_keys(storm.text) == {("t1", -1)}

    def test_a_failed_run_without_failed_tasks_is_reported(self, storm):
        report_alone(storm, run_failed("timed_out"))
        assert "DAG run failed: report" in storm.text
        assert "Reason: timed_out" in storm.text

    def test_failures_are_reported_without_known_states(self, storm):
        for name in ("t1", "t2", "t3"):
            report_alone(storm, update(name), knows_states=False, in_task=False)
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1), ("t3", -1)}
        assert storm.room.calls.count("post_message") == 1

    def test_a_deleted_message_is_posted_again(self, storm):
        report_alone(storm, update("t1"))
        storm.room.messages.clear()
        report_alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1)}

    def test_a_new_message_is_posted_after_the_window(self, storm):
        report_alone(storm, update("t1"), window=60.0)
        storm.now += 61
        report_alone(storm, update("t2"), window=60.0)
        assert storm.room.calls == ["post_message", "post_message"]

    def test_the_older_of_two_first_messages_is_kept(self, storm):
        report_alone(storm, update("t1"))
        other = storm.variables[f"message {RUN}"]
        storm.variables.clear()
        storm.states[RUN][("t3", -1)] = "running"
        respond = storm.room.respond

        def late(call):
            # Another process saves its message while this one posts.
            if call.operation == "post_message":
                storm.variables[f"message {RUN}"] = other
            return respond(call)

        storm.room.respond = late  # type: ignore[method-assign]
        report_alone(storm, update("t2"))
        assert list(storm.room.messages) == ["1900"]
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1)}

    def test_the_lease_of_a_dead_process_ends(self, storm):
        storm.states[RUN][("t9", -1)] = "running"
        storm.variables[f"message {RUN}"] = AlertMessageState(lease=("dead", storm.now + 8), room_id="1").to_json()
        report_alone(storm, update("t1"))
        assert reported_keys(storm.text) == {("t1", -1)}

    def test_the_lease_is_released_if_chatwork_refuses(self, storm):
        def refuse(call):
            raise ChatworkForbiddenError(403, ("no",))

        storm.room.respond = refuse  # type: ignore[method-assign]
        storm.states[RUN][("t9", -1)] = "running"
        errors = []

        def report() -> None:
            try:
                storm.report(update("t1"))
            except ChatworkForbiddenError as error:
                errors.append(error)

        storm.start_process(0, report)
        storm.run()
        assert len(errors) == 1
        assert storm.variables[f"message {RUN}"].get("lease") is None

    def test_a_failed_last_edit_does_not_lose_the_posted_message(self, storm):
        respond = storm.room.respond
        storm.states[RUN][("t9", -1)] = "running"

        def failing(call):
            if call.operation == "edit_message":
                raise ChatworkServerError(503, ())
            # Another task fails during the post, so that an edit is needed.
            storm.states[RUN][("t8", -1)] = "failed"
            return respond(call)

        storm.room.respond = failing  # type: ignore[method-assign]
        report_alone(storm, update("t1"))
        assert storm.results[-1].outcome == "posted"

    def test_nothing_is_sent_if_airflow_does_not_answer(self, storm):
        aggregator = replace(storm.aggregator(RUN), store=UnavailableAlertStore())
        with pytest.raises(AlertStoreError):
            aggregator.report(update("t1"))
        assert storm.room.calls == []


class TestRefresh:
    def test_the_message_is_edited(self, storm):
        report_alone(storm, update("t1", retrying=True))
        storm.states[RUN][("t1", -1)] = "success"
        storm.start_process(0, lambda: storm.aggregator(RUN).refresh(RunFailures(run_id=RUN)))
        storm.run()
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "No failed tasks are left" in storm.text

    def test_nothing_is_sent_without_a_message(self, storm):
        aggregator: AlertAggregator = storm.aggregator(RUN)
        found: list[Any] = []
        storm.start_process(0, lambda: found.append(aggregator.refresh(RunFailures(run_id=RUN))))
        storm.run()
        assert found == [None]
        assert storm.room.calls == []
