from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.alerts.alert_state import (
    MAX_STORED_TEXT,
    AlertMessageState,
    RunFailures,
    TaskFailure,
)
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from tests.api.notation_texts import is_whole

FAILURE = TaskFailure(
    task_id="load",
    map_index=0,
    label="load [那覇]",
    error="RuntimeError: 受注テーブルを読めません",
    lost_worker=True,
    where="load.py, line 12, in load",
    try_number=1,
    tries=3,
    seconds=83.4,
    owners=["data-team"],
    log_url="https://airflow.example/log",
    failed_at=1_800_000_000.5,
    retrying=True,
    text="[To:5]",
)
RUN = RunFailures(
    run_id="r1",
    logical_date="2026-11-23T00:00:00+00:00",
    url="https://airflow.example/run",
    failed=[("load", 0), ("send", -1)],
    retrying=[("zip", 3)],
    details=[FAILURE],
    run_failed=True,
    reason="task_failure",
    seconds=61.0,
    text="all over",
)
STATE = AlertMessageState(
    opened_at=1_800_000_000.0,
    room_id="400000101",
    message_id="1900",
    chatwork_conn_id="chatwork_night",
    lang="en",
    mention_line="[To:1]",
    notified=True,
    note="注",
    lease=("me", 1_800_000_008.0),
    runs={"r1": RUN},
)

keys = st.lists(st.tuples(st.text(min_size=1), st.integers(-1, 9)), max_size=3)
maybe = st.none() | st.text(min_size=1)
failures = st.builds(
    TaskFailure, task_id=st.text(min_size=1), map_index=st.integers(-1, 9), error=maybe, text=maybe, label=maybe
)
runs = st.builds(
    RunFailures,
    run_id=st.text(min_size=1),
    failed=keys,
    retrying=keys,
    details=st.lists(failures, max_size=2),
    reason=maybe,
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


class TestJson:
    @pytest.mark.parametrize("whole", [FAILURE, RUN, STATE], ids=lambda value: type(value).__name__)
    def test_every_field_is_read_back(self, whole):
        # A new field has to be added to the values above.
        assert not [name for name, field in type(whole).model_fields.items() if getattr(whole, name) == field.default]
        assert type(whole).load(through_json(whole.to_json())) == whole

    @given(
        st.builds(
            AlertMessageState, runs=st.lists(runs, max_size=3).map(lambda runs: {run.run_id: run for run in runs})
        )
    )
    def test_any_state_is_read_back(self, state):
        assert AlertMessageState.load(through_json(state.to_json())) == state

    def test_default_values_are_left_out(self):
        assert TaskFailure(task_id="load").to_json() == {"task_id": "load"}
        assert TaskFailure(task_id="load", map_index=0, seconds=0.0).to_json()["map_index"] == 0
        assert RunFailures(run_id="r").to_json() == {"run_id": "r"}
        assert AlertMessageState().to_json() == {}

    @pytest.mark.parametrize("whole", [FAILURE, RUN, STATE], ids=lambda value: type(value).__name__)
    def test_unknown_keys_are_ignored(self, whole):
        stored = {**through_json(whole.to_json()), "colour": "red"}
        assert type(whole).load(stored) == whole

    def test_keys_are_read_as_tuples(self):
        run = RunFailures.load({"run_id": "r", "failed": [["load", 3]], "retrying": [["send", -1]]})
        assert (run.failed, run.retrying) == ([("load", 3)], [("send", -1)])

    @pytest.mark.parametrize("name", ["error", "text"])
    def test_a_long_text_is_cut_in_the_middle(self, name):
        failure = TaskFailure(task_id="load", **{name: "[info]" + "受注" * 50_000 + "[/info]"})
        stored = failure.to_json()[name]
        assert len(stored) <= MAX_STORED_TEXT
        assert is_whole(stored)
        assert stored.startswith("[info]受注")
        run = RunFailures(run_id="r", details=[failure], text="x" * 100_000)
        assert run.to_json()["details"][0][name] == stored
        assert len(run.to_json()["text"]) <= MAX_STORED_TEXT
        # A stored text is not cut again.
        assert TaskFailure.load(failure.to_json()).to_json()[name] == stored


class TestTaskFailure:
    EVENT = AlertEvent(
        kind=EventKind.FAILURE,
        task_id="load",
        map_index=1,
        label="load [那覇]",
        error="E: x",
        lost_worker=True,
        where="load.py, line 1, in load",
        try_number=2,
        tries=3,
        seconds=1.26,
        owners=("a", "b"),
        log_url="https://log",
    )

    def test_an_event_becomes_a_failure(self):
        assert TaskFailure.from_event(self.EVENT, 5.0, "mine") == TaskFailure(
            task_id="load",
            map_index=1,
            label="load [那覇]",
            error="E: x",
            lost_worker=True,
            where="load.py, line 1, in load",
            try_number=2,
            tries=3,
            seconds=1.3,
            owners=["a", "b"],
            log_url="https://log",
            failed_at=5.0,
            text="mine",
        )

    def test_a_retry_is_retrying(self):
        failure = TaskFailure.from_event(replace(self.EVENT, kind=EventKind.RETRY, seconds=None), 5.0)
        assert failure is not None
        assert (failure.retrying, failure.seconds, failure.text) == (True, None, None)

    @pytest.mark.parametrize(
        "event",
        [AlertEvent(kind=EventKind.FAILURE), AlertEvent(kind=EventKind.RUN_FAILURE, task_id="load", map_index=1)],
    )
    def test_an_event_without_a_task_is_no_failure(self, event):
        assert TaskFailure.from_event(event, 5.0) is None

    def test_the_name_is_the_label_or_the_task_id(self):
        assert TaskFailure(task_id="load", map_index=1, label="load [那覇]").name == "load [那覇]"
        assert TaskFailure(task_id="load", map_index=1).name == "load [1]"
        assert TaskFailure(task_id="load", map_index=0).name == "load [0]"
        assert TaskFailure(task_id="load").name == "load"


class TestRunFailures:
    def test_the_reported_facts_are_failures_retries_and_the_end_of_the_run(self):
        assert RUN.reported() == {
            ("failed", ("load", 0)),
            ("failed", ("send", -1)),
            ("retrying", ("zip", 3)),
            ("run_failed", True),
        }
        assert RunFailures(run_id="r").reported() == set()


class TestAlertMessageState:
    def test_the_reported_facts_are_those_of_all_runs(self):
        other = RunFailures(run_id="r2", failed=[("load", 0)])
        state = STATE.model_copy(update={"runs": {"r1": RUN, "r2": other}})
        assert state.reported() == {("r1", *fact) for fact in RUN.reported()} | {("r2", "failed", ("load", 0))}

    @pytest.mark.parametrize(
        ("lease", "owner", "now", "held"),
        [
            (None, "me", 0.0, False),
            (("you", 10.0), "me", 9.9, True),
            (("you", 10.0), "me", 10.0, False),
            (("me", 10.0), "me", 9.9, False),
        ],
    )
    def test_a_lease_of_another_process_holds_until_it_ends(self, lease, owner, now, held):
        assert AlertMessageState(lease=lease).is_leased_to_another(owner, now) is held

    def test_merging_adds_the_other_runs(self):
        mine = RUN.model_copy(update={"failed": [("mine", -1)]})
        theirs = RunFailures(run_id="r2", failed=[("theirs", -1)])
        merged = STATE.model_copy(update={"runs": {"r1": mine}}).merge(
            AlertMessageState(runs={"r1": RUN, "r2": theirs}, note="x"), "r1"
        )
        assert merged == STATE.model_copy(update={"runs": {"r1": mine, "r2": theirs}})

    def test_merging_nothing_changes_nothing(self):
        assert STATE.merge(None, "r1") is STATE
