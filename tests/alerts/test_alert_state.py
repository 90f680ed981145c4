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

FULL = TaskFailure(
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
PART = RunFailures(
    run_id="r1",
    logical_date="2026-11-23T00:00:00+00:00",
    url="https://airflow.example/run",
    failed=[("load", 0), ("send", -1)],
    retrying=[("zip", 3)],
    details=[FULL],
    run_failed=True,
    reason="task_failure",
    seconds=61.0,
    text="all over",
)
BOARD = AlertMessageState(
    opened_at=1_800_000_000.0,
    room_id="400000101",
    message_id="1900",
    chatwork_conn_id="chatwork_night",
    lang="en",
    mention_line="[To:1]",
    notified=True,
    note="注",
    lease=("me", 1_800_000_008.0),
    runs={"r1": PART},
)

keys = st.lists(st.tuples(st.text(min_size=1), st.integers(-1, 9)), max_size=3)
maybe = st.none() | st.text(min_size=1)
entries = st.builds(
    TaskFailure, task_id=st.text(min_size=1), map_index=st.integers(-1, 9), error=maybe, text=maybe, label=maybe
)
parts = st.builds(
    RunFailures,
    run_id=st.text(min_size=1),
    failed=keys,
    retrying=keys,
    details=st.lists(entries, max_size=2),
    reason=maybe,
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


class TestJson:
    @pytest.mark.parametrize("whole", [FULL, PART, BOARD], ids=lambda value: type(value).__name__)
    def test_brings_back_everything(self, whole):
        # Whoever adds a field adds it here.
        assert not [name for name, field in type(whole).model_fields.items() if getattr(whole, name) == field.default]
        assert type(whole).load(through_json(whole.to_json())) == whole

    @given(
        st.builds(
            AlertMessageState, runs=st.lists(parts, max_size=3).map(lambda runs: {part.run_id: part for part in runs})
        )
    )
    def test_brings_back_any_board(self, board):
        assert AlertMessageState.load(through_json(board.to_json())) == board

    def test_leaves_out_what_is_empty_but_not_what_is_zero(self):
        assert TaskFailure(task_id="load").to_json() == {"task_id": "load"}
        assert TaskFailure(task_id="load", map_index=0, seconds=0.0).to_json()["map_index"] == 0
        assert RunFailures(run_id="r").to_json() == {"run_id": "r"}
        assert AlertMessageState().to_json() == {}

    @pytest.mark.parametrize("whole", [FULL, PART, BOARD], ids=lambda value: type(value).__name__)
    def test_passes_over_what_a_later_release_has_added(self, whole):
        kept = {**through_json(whole.to_json()), "colour": "red"}
        assert type(whole).load(kept) == whole

    def test_reads_keys_as_they_were(self):
        part = RunFailures.load({"run_id": "r", "failed": [["load", 3]], "retrying": [["send", -1]]})
        assert (part.failed, part.retrying) == ([("load", 3)], [("send", -1)])

    @pytest.mark.parametrize("name", ["error", "text"])
    def test_keeps_the_beginning_and_the_end_of_a_long_text(self, name):
        entry = TaskFailure(task_id="load", **{name: "[info]" + "受注" * 50_000 + "[/info]"})
        kept = entry.to_json()[name]
        assert len(kept) <= MAX_STORED_TEXT
        assert is_whole(kept)
        assert kept.startswith("[info]受注")
        part = RunFailures(run_id="r", details=[entry], text="x" * 100_000)
        assert part.to_json()["details"][0][name] == kept
        assert len(part.to_json()["text"]) <= MAX_STORED_TEXT
        # What is kept already is not cut once more.
        assert TaskFailure.load(entry.to_json()).to_json()[name] == kept


class TestEntry:
    STORY = AlertEvent(
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

    def test_is_made_of_a_story(self):
        assert TaskFailure.from_event(self.STORY, 5.0, "mine") == TaskFailure(
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

    def test_knows_a_retry(self):
        entry = TaskFailure.from_event(replace(self.STORY, kind=EventKind.RETRY, seconds=None), 5.0)
        assert entry is not None
        assert (entry.retrying, entry.seconds, entry.text) == (True, None, None)

    @pytest.mark.parametrize(
        "event",
        [AlertEvent(kind=EventKind.FAILURE), AlertEvent(kind=EventKind.RUN_FAILURE, task_id="load", map_index=1)],
    )
    def test_is_none_where_no_task_is_to_blame(self, event):
        assert TaskFailure.from_event(event, 5.0) is None

    def test_is_called_what_people_call_it(self):
        assert TaskFailure(task_id="load", map_index=1, label="load [那覇]").name == "load [那覇]"
        assert TaskFailure(task_id="load", map_index=1).name == "load [1]"
        assert TaskFailure(task_id="load", map_index=0).name == "load [0]"
        assert TaskFailure(task_id="load").name == "load"


class TestRunPart:
    def test_says_what_a_text_of_it_tells(self):
        assert PART.reported() == {
            ("failed", ("load", 0)),
            ("failed", ("send", -1)),
            ("retrying", ("zip", 3)),
            ("run_failed", True),
        }
        assert RunFailures(run_id="r").reported() == set()


class TestBoard:
    def test_says_what_all_runs_tell(self):
        other = RunFailures(run_id="r2", failed=[("load", 0)])
        board = BOARD.model_copy(update={"runs": {"r1": PART, "r2": other}})
        assert board.reported() == {("r1", *fact) for fact in PART.reported()} | {("r2", "failed", ("load", 0))}

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

    def test_takes_over_the_other_runs_that_another_has_put_on_it(self):
        mine = PART.model_copy(update={"failed": [("mine", -1)]})
        theirs = RunFailures(run_id="r2", failed=[("theirs", -1)])
        merged = BOARD.model_copy(update={"runs": {"r1": mine}}).merge(
            AlertMessageState(runs={"r1": PART, "r2": theirs}, note="x"), "r1"
        )
        assert merged == BOARD.model_copy(update={"runs": {"r1": mine, "r2": theirs}})

    def test_stays_as_it_is_where_nobody_else_has_written(self):
        assert BOARD.merge(None, "r1") is BOARD
