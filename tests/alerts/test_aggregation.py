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
from airflow_provider_chatwork.alerts.time_limited_client import TimeLimit
from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkServerError
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


def alone_since(storm: Storm) -> float:
    """When the first of the boards was begun."""
    return min(state["opened_at"] for state in storm.variables.values())


def alone(storm: Storm, what: FailureUpdate, **more: Any) -> None:
    """Tell one thing, and let all that comes of it happen."""
    if what.failure is not None:
        storm.states[RUN][what.failure.key] = "up_for_retry" if what.failure.retrying else "failed"
    storm.start_process(0, lambda: storm.report(what, **more))
    storm.run()


class TestTell:
    @given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.01, 0.5, 5.0, 60.0]))
    def test_names_every_failure_in_one_message_however_the_processes_meet(self, seed, tasks, spread):
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
    def test_names_every_failure_where_processes_take_longer_than_anybody_waits(self, seed):
        storm = Storm(seed, slow=True)
        keys = {(f"t{at}", -1) for at in range(20)}
        for key in keys:
            storm.fail_task(key, at=storm.random.uniform(0, 1))
        storm.run()
        # Two may stay where somebody slept right between a look and a post, but each failure is told.
        assert set().union(*(reported_keys(text) for text in storm.room.messages.values())) == keys

    @given(st.integers(0, 2**32), st.integers(2, 5))
    def test_names_the_failures_of_all_runs_within_the_window(self, seed, runs):
        storm = Storm(seed)
        for at in range(4 * runs):
            storm.fail_task((f"t{at}", -1), run_id=f"r{at % runs}", at=storm.random.uniform(0, 3), window=3600.0)
        storm.run()
        assert reported_keys(storm.text) == {(f"t{at}", -1) for at in range(4 * runs)}
        assert all(f"r{run}" in storm.text for run in range(runs))

    def test_takes_few_calls_for_many_failures(self):
        storm = Storm(7)
        for at in range(100):
            storm.fail_task((f"t{at}", -1), at=storm.random.uniform(0, 1))
        storm.run()
        assert storm.room.calls.count("post_message") == 1
        assert len(storm.room.calls) <= 20
        assert [result.outcome for result in storm.results].count("posted") == 1

    def test_has_time_left_to_write_where_the_claim_took_long(self):
        # As it does on an API server that has kept nothing before. The others wait 8 seconds.
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

    def test_asks_little_where_nobody_else_can_have_anything_to_tell(self, storm):
        requested: list[str] = []
        request = storm.request

        def count(seconds, effect):
            requested.append(effect.__qualname__.split(".")[1])
            return request(seconds, effect)

        storm.request = count  # type: ignore[method-assign]
        storm.states[RUN] |= {("t8", -1): "success", ("t9", -1): "upstream_failed"}
        alone(storm, update("t1"))
        assert requested == ["save_failure", "load", "states", "run", "load", "save"]

    @pytest.mark.parametrize("state", ["running", "queued", "scheduled", "up_for_retry", "failed"])
    def test_looks_again_where_somebody_else_may_have(self, storm, state):
        storm.states[RUN][("t9", -1)] = state
        alone(storm, update("t1"))
        # Who claims is seen as the writer, until it is done.
        assert "lease" not in storm.variables[f"message {RUN}"]
        assert storm.now > alone_since(storm) + 0.15

    def test_posts_the_first_and_edits_the_next(self, storm):
        alone(storm, update("t1"))
        assert storm.room.calls == ["post_message"]
        assert "Task failed: t1" in storm.text
        alone(storm, update("t2"))
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "2 tasks failed" in storm.text
        assert [result.outcome for result in storm.results] == ["posted", "edited"]

    def test_says_nothing_twice(self, storm):
        alone(storm, update("t1"))
        alone(storm, update("t1"))
        assert storm.room.calls == ["post_message"]
        assert storm.results[-1].outcome == "already_reported"

    def test_details_the_first_and_names_the_others(self, storm):
        for at in range(8):
            alone(storm, update(f"t{at}"))
        assert [line for line in storm.text.splitlines() if "E: " in line] == [
            f"・t{at}: E: t{at} (1)" for at in range(5)
        ]
        assert "3 more: t5, t6, t7" in storm.text

    def test_calls_nobody_for_a_retry_and_posts_anew_what_rings(self, storm):
        alone(storm, update("t1", retrying=True))
        assert "[To:1]" not in storm.text
        alone(storm, update("t1", try_number=2))
        assert storm.room.calls == ["post_message", "post_message", "delete_message"]
        assert storm.text.startswith("[To:1]\n")
        assert "Task failed: t1" in storm.text

    def test_tells_of_the_next_retry(self, storm):
        alone(storm, update("t1", retrying=True))
        alone(storm, update("t1", retrying=True, try_number=2))
        assert "will retry (2)" in storm.text

    def test_rings_again_for_what_was_cleared_and_failed_again(self, storm):
        alone(storm, update("t1"))
        alone(storm, update("t1", try_number=2))
        assert storm.room.calls == ["post_message", "post_message"]

    @pytest.mark.parametrize(
        "kept", [{"runs": []}, {"runs": {RUN: {"failed": []}}}, {"lease": ["x"]}, {"notified": "x"}, {"runs": {RUN: 1}}]
    )
    def test_sends_nothing_where_somebody_has_made_something_else_of_what_was_kept(self, storm, kept):
        storm.variables[f"message {RUN}"] = kept
        aggregator = storm.aggregator(RUN)
        raised: list[bool] = []

        def tell() -> None:
            try:
                aggregator.report(update("t1"))
                raised.append(False)
            except AlertStoreError:
                raised.append(True)

        storm.start_process(0, tell)
        storm.run()
        assert raised == [True]

    def test_leaves_chatwork_its_time_where_airflow_takes_too_long(self, storm):
        storm.states[RUN][("t9", -1)] = "running"
        request = storm.request

        def slowly(seconds, effect):
            storm.sleep(2.0)
            return request(seconds, effect)

        storm.request = slowly  # type: ignore[method-assign]
        began = storm.now
        aggregator = replace(storm.aggregator(RUN), time_limit=TimeLimit(20, lambda: storm.now))
        raised: list[float] = []

        def tell() -> None:
            try:
                aggregator.report(update("t1"))
            except AlertStoreError:
                raised.append(storm.now - began)

        storm.start_process(0, tell)
        storm.run()
        assert len(raised) == 1
        assert raised[0] < 20
        assert storm.room.calls == []

    def test_drops_what_has_succeeded_meanwhile(self, storm):
        alone(storm, update("t1", retrying=True))
        storm.states[RUN][("t1", -1)] = "success"
        alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t2", -1)}

    def test_drops_what_is_being_tried_again(self, storm):
        alone(storm, update("t1"))
        # Cleared: Airflow takes the records of a task away when it starts again.
        storm.states[RUN][("t1", -1)] = "running"
        storm.xcoms.clear()
        alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t2", -1)}

    def test_says_that_the_run_has_failed(self, storm):
        alone(storm, update("t1"))
        alone(storm, run_failed("task_failure"))
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "The run has failed (task_failure)" in storm.text
        assert reported_keys(storm.text) == {("t1", -1)}

    def test_tells_of_a_run_in_which_no_task_failed(self, storm):
        alone(storm, run_failed("timed_out"))
        assert "DAG run failed: report" in storm.text
        assert "Reason: timed_out" in storm.text

    def test_makes_do_where_the_run_cannot_be_requested_about(self, storm):
        for name in ("t1", "t2", "t3"):
            alone(storm, update(name), knows_states=False, in_task=False)
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1), ("t3", -1)}
        assert storm.room.calls.count("post_message") == 1

    def test_posts_again_where_somebody_has_deleted_the_message(self, storm):
        alone(storm, update("t1"))
        storm.room.messages.clear()
        alone(storm, update("t2"))
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1)}

    def test_begins_a_new_message_when_the_window_is_over(self, storm):
        alone(storm, update("t1"), window=60.0)
        storm.now += 61
        alone(storm, update("t2"), window=60.0)
        assert storm.room.calls == ["post_message", "post_message"]

    def test_keeps_the_older_of_two_first_messages(self, storm):
        alone(storm, update("t1"))
        other = storm.variables[f"message {RUN}"]
        storm.variables.clear()
        storm.states[RUN][("t3", -1)] = "running"
        respond = storm.room.respond

        def late(call):
            # Another process puts its message on the board while this one posts.
            if call.operation == "post_message":
                storm.variables[f"message {RUN}"] = other
            return respond(call)

        storm.room.respond = late  # type: ignore[method-assign]
        alone(storm, update("t2"))
        assert list(storm.room.messages) == ["1900"]
        assert reported_keys(storm.text) == {("t1", -1), ("t2", -1)}

    def test_does_not_wait_for_a_writer_that_died(self, storm):
        storm.states[RUN][("t9", -1)] = "running"
        storm.variables[f"message {RUN}"] = AlertMessageState(lease=("dead", storm.now + 8), room_id="1").to_json()
        alone(storm, update("t1"))
        assert reported_keys(storm.text) == {("t1", -1)}

    def test_lets_the_others_go_on_where_chatwork_refuses(self, storm):
        def refuse(call):
            raise ChatworkForbiddenError(403, ("no",))

        storm.room.respond = refuse  # type: ignore[method-assign]
        storm.states[RUN][("t9", -1)] = "running"
        errors = []

        def tell() -> None:
            try:
                storm.report(update("t1"))
            except ChatworkForbiddenError as error:
                errors.append(error)

        storm.start_process(0, tell)
        storm.run()
        assert len(errors) == 1
        assert storm.variables[f"message {RUN}"].get("lease") is None

    def test_is_told_although_its_last_words_get_lost(self, storm):
        respond = storm.room.respond
        storm.states[RUN][("t9", -1)] = "running"

        def failing(call):
            if call.operation == "edit_message":
                raise ChatworkServerError(503, ())
            # Somebody else fails while this is posted, so that it has to be written again.
            storm.states[RUN][("t8", -1)] = "failed"
            return respond(call)

        storm.room.respond = failing  # type: ignore[method-assign]
        alone(storm, update("t1"))
        assert storm.results[-1].outcome == "posted"

    def test_sends_nothing_where_airflow_does_not_answer(self, storm):
        aggregator = replace(storm.aggregator(RUN), store=UnavailableAlertStore())
        with pytest.raises(AlertStoreError):
            aggregator.report(update("t1"))
        assert storm.room.calls == []


class TestRefresh:
    def test_brings_a_message_up_to_date(self, storm):
        alone(storm, update("t1", retrying=True))
        storm.states[RUN][("t1", -1)] = "success"
        storm.start_process(0, lambda: storm.aggregator(RUN).refresh(RunFailures(run_id=RUN)))
        storm.run()
        assert storm.room.calls == ["post_message", "edit_message"]
        assert "No failed tasks are left" in storm.text

    def test_does_nothing_where_there_is_no_message(self, storm):
        aggregator: AlertAggregator = storm.aggregator(RUN)
        found: list[Any] = []
        storm.start_process(0, lambda: found.append(aggregator.refresh(RunFailures(run_id=RUN))))
        storm.run()
        assert found == [None]
        assert storm.room.calls == []
