from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.alerts.alert_state import LONGEST_TEXT, Board, Entry, RunPart, name_of
from airflow_provider_chatwork.alerts.event import Kind, Story
from tests.api.notation_texts import is_whole

FULL = Entry(
    task_id="load",
    map_index=0,
    label="load [那覇]",
    error="RuntimeError: 受注テーブルを読めません",
    killed=True,
    where="load.py, line 12, in load",
    try_number=1,
    tries=3,
    seconds=83.4,
    owners=["data-team"],
    log_url="https://airflow.example/log",
    at=1_800_000_000.5,
    retrying=True,
    text="[To:5]",
)
PART = RunPart(
    run_id="r1",
    logical_date="2026-11-23T00:00:00+00:00",
    url="https://airflow.example/run",
    failed=[("load", 0), ("send", -1)],
    retrying=[("zip", 3)],
    details=[FULL],
    ended="failed",
    reason="task_failure",
    seconds=61.0,
    text="all over",
)
BOARD = Board(
    since=1_800_000_000.0,
    room_id="400000101",
    message_id="1900",
    chatwork_conn_id="chatwork_night",
    lang="en",
    to="[To:1]",
    rang=True,
    note="注",
    writer=["me", 1_800_000_008.0],
    runs={"r1": PART},
)

keys = st.lists(st.tuples(st.text(min_size=1), st.integers(-1, 9)), max_size=3)
maybe = st.none() | st.text(min_size=1)
entries = st.builds(
    Entry, task_id=st.text(min_size=1), map_index=st.integers(-1, 9), error=maybe, text=maybe, label=maybe
)
parts = st.builds(
    RunPart, run_id=st.text(min_size=1), failed=keys, retrying=keys, details=st.lists(entries, max_size=2), reason=maybe
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


class TestJson:
    @pytest.mark.parametrize("whole", [FULL, PART, BOARD], ids=lambda value: type(value).__name__)
    def test_brings_back_everything(self, whole):
        # Whoever adds a field adds it here.
        assert not [field.name for field in fields(whole) if getattr(whole, field.name) == field.default]
        assert type(whole).from_json(through_json(whole.to_json())) == whole

    @given(st.builds(Board, runs=st.lists(parts, max_size=3).map(lambda runs: {part.run_id: part for part in runs})))
    def test_brings_back_any_board(self, board):
        assert Board.from_json(through_json(board.to_json())) == board

    def test_leaves_out_what_is_empty_but_not_what_is_zero(self):
        assert Entry(task_id="load").to_json() == {"task_id": "load", "map_index": -1, "at": 0.0}
        assert Entry(task_id="load", map_index=0, seconds=0.0).to_json()["map_index"] == 0
        assert RunPart(run_id="r").to_json() == {"run_id": "r"}
        assert Board().to_json() == {"since": 0.0, "runs": {}}

    @pytest.mark.parametrize("whole", [FULL, PART, BOARD], ids=lambda value: type(value).__name__)
    def test_passes_over_what_a_later_release_has_added(self, whole):
        kept = {**through_json(whole.to_json()), "colour": "red"}
        assert type(whole).from_json(kept) == whole

    def test_reads_keys_as_they_were(self):
        part = RunPart.from_json({"run_id": "r", "failed": [["load", 3]], "retrying": [["send", -1]]})
        assert (part.failed, part.retrying) == ([("load", 3)], [("send", -1)])

    @pytest.mark.parametrize("name", ["error", "text"])
    def test_keeps_the_beginning_and_the_end_of_a_long_text(self, name):
        entry = Entry(task_id="load", **{name: "[info]" + "受注" * 50_000 + "[/info]"})
        kept = entry.to_json()[name]
        assert len(kept) <= LONGEST_TEXT
        assert is_whole(kept)
        assert kept.startswith("[info]受注")
        part = RunPart(run_id="r", details=[entry], text="x" * 100_000)
        assert part.to_json()["details"][0][name] == kept
        assert len(part.to_json()["text"]) <= LONGEST_TEXT
        # What is kept already is not cut once more.
        assert Entry.from_json(entry.to_json()).to_json()[name] == kept


class TestEntry:
    STORY = Story(
        kind=Kind.FAILURE,
        task_id="load",
        map_index=1,
        label="load [那覇]",
        error="E: x",
        killed=True,
        where="load.py, line 1, in load",
        try_number=2,
        tries=3,
        seconds=1.26,
        owners=("a", "b"),
        log_url="https://log",
    )

    def test_is_made_of_a_story(self):
        assert Entry.of(self.STORY, 5.0, "mine") == Entry(
            task_id="load",
            map_index=1,
            label="load [那覇]",
            error="E: x",
            killed=True,
            where="load.py, line 1, in load",
            try_number=2,
            tries=3,
            seconds=1.3,
            owners=["a", "b"],
            log_url="https://log",
            at=5.0,
            text="mine",
        )

    def test_knows_a_retry(self):
        entry = Entry.of(replace(self.STORY, kind=Kind.RETRY, seconds=None), 5.0)
        assert entry is not None
        assert (entry.retrying, entry.seconds, entry.text) == (True, None, None)

    @pytest.mark.parametrize(
        "story", [Story(kind=Kind.FAILURE), Story(kind=Kind.RUN_FAILURE, task_id="load", map_index=1)]
    )
    def test_is_none_where_no_task_is_to_blame(self, story):
        assert Entry.of(story, 5.0) is None

    def test_is_called_what_people_call_it(self):
        assert Entry(task_id="load", map_index=1, label="load [那覇]").name == "load [那覇]"
        assert Entry(task_id="load", map_index=1).name == "load [1]"
        assert Entry(task_id="load").name == "load"


class TestRunPart:
    def test_says_what_a_text_of_it_tells(self):
        assert PART.told() == {
            ("failed", ("load", 0)),
            ("failed", ("send", -1)),
            ("retrying", ("zip", 3)),
            ("ended", "failed"),
        }
        assert RunPart(run_id="r").told() == set()


class TestBoard:
    def test_says_what_all_runs_tell(self):
        other = RunPart(run_id="r2", failed=[("load", 0)])
        board = replace(BOARD, runs={"r1": PART, "r2": other})
        assert board.told() == {("r1", *fact) for fact in PART.told()} | {("r2", "failed", ("load", 0))}

    @pytest.mark.parametrize(
        ("writer", "name", "now", "held"),
        [
            (None, "me", 0.0, False),
            (["you", 10.0], "me", 9.9, True),
            (["you", 10.0], "me", 10.0, False),
            (["me", 10.0], "me", 9.9, False),
        ],
    )
    def test_is_held_by_another_until_the_time_is_over(self, writer, name, now, held):
        assert Board(writer=writer).held_by_another(name, now) is held

    def test_takes_over_the_other_runs_that_another_has_put_on_it(self):
        mine = replace(PART, failed=[("mine", -1)])
        theirs = RunPart(run_id="r2", failed=[("theirs", -1)])
        merged = replace(BOARD, runs={"r1": mine}).merged(Board(runs={"r1": PART, "r2": theirs}, note="x"), "r1")
        assert merged == replace(BOARD, runs={"r1": mine, "r2": theirs})

    def test_stays_as_it_is_where_nobody_else_has_written(self):
        assert BOARD.merged(None, "r1") is BOARD


class TestNameOf:
    @pytest.mark.parametrize(("key", "name"), [(("load", -1), "load"), (("load", 0), "load [0]")])
    def test_names_a_task_instance(self, key, name):
        assert name_of(key) == name
