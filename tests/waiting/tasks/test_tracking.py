from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_chatwork.waiting.tasks.tracking import (
    assignees_of,
    done_of,
    ids_of,
    is_possible,
    message_of,
    new_track,
    note,
    text_hash,
)


def task(**changed: Any) -> Any:
    return {
        "task_id": 5,
        "account": {"account_id": 1, "name": "佐藤"},
        "message_id": "90",
        "body": "確認",
        "limit_time": 0,
        "status": "open",
        "limit_type": "none",
        **changed,
    }


def track_of(*looks: tuple[float, Any]) -> Any:
    track = new_track(5)
    for at, seen in looks:
        note(track, seen, seen is None, at)
    return track


class TestNote:
    def test_keeps_how_a_task_was_first_seen(self) -> None:
        track = track_of((110, task()), (120, task(limit_time=9, limit_type="time")))
        assert track["asked"]["limit_time"] == 0
        assert track["terms"]["limit_time"] == 9
        assert track["message_id"] == "90"
        assert json.loads(json.dumps(track)) == track

    def test_tells_since_when_it_is_done(self) -> None:
        track = track_of((110, task()), (120, task(status="done")), (130, task(status="done")))
        assert (track["status"], track["seen_done_at"]) == ("done", 120)

    def test_that_is_opened_again_is_not_done(self) -> None:
        track = track_of((120, task(status="done")), (130, task()))
        assert (track["status"], track["seen_done_at"]) == ("open", None)
        assert track["changes"] == ["reopened"]

    @pytest.mark.parametrize(
        ("changed", "change"),
        [
            ({"limit_time": 9}, "due_moved"),
            ({"limit_type": "date"}, "due_moved"),
            ({"body": "別"}, "text_changed"),
            ({"account": {"account_id": 2, "name": "山田"}}, "assignee_swapped"),
        ],
        ids=str,
    )
    def test_names_a_change_once(self, changed: dict[str, Any], change: str) -> None:
        track = track_of((110, task()), (120, task(**changed)), (130, task(**changed)))
        assert track["changes"] == [change]

    def test_keeps_a_change_that_was_taken_back(self) -> None:
        assert track_of((110, task()), (120, task(body="別")), (130, task()))["changes"] == ["text_changed"]

    @pytest.mark.parametrize("same", [{"body": " 確認\r\n"}, {"status": "done"}, {"message_id": "91"}], ids=str)
    def test_takes_nothing_else_for_a_change(self, same: dict[str, Any]) -> None:
        assert track_of((110, task()), (120, task(**same)))["changes"] == []

    @pytest.mark.parametrize("name", ["body", "limit_time", "limit_type"])
    @pytest.mark.parametrize("nothing", [None, "missing"])
    def test_takes_a_task_that_tells_little(self, name: str, nothing: object) -> None:
        sparse = task(**{name: None})
        if nothing == "missing":
            del sparse[name]
        track = track_of((110, sparse), (120, sparse))
        assert (track["status"], track["changes"]) == ("open", [])

    def test_of_one_that_is_gone_keeps_what_was_known(self) -> None:
        track = track_of((110, task()), (120, None))
        assert (track["status"], track["account_name"], track["terms"]["account_id"]) == ("deleted", "佐藤", 1)

    def test_of_one_that_was_never_seen_knows_nothing(self) -> None:
        track = new_track(5)
        note(track, None, False, 110)
        assert track == new_track(5)


class TestNewTrack:
    def test_without_an_id_is_one_that_was_deleted(self) -> None:
        track = new_track(None, account_id=3)
        assert track["status"] == "deleted"
        assert track["terms"] is not None
        assert track["terms"]["account_id"] == 3


class TestSeveral:
    def test_tell_their_ids_assignees_and_message(self) -> None:
        tracks = [new_track(None, account_id=3), *(new_track(number) for number in (5, 6, 7))]
        note(tracks[1], task(message_id="100"), False, 10)
        note(tracks[2], task(task_id=6, message_id="99", status="done"), False, 10)
        assert ids_of(tracks) == [5, 6, 7]
        assert done_of(tracks) == [6]
        assert assignees_of(tracks) == {5: 1, 6: 1}
        assert message_of(tracks) == "99"
        assert message_of([new_track(5)]) is None

    def test_are_possible_while_enough_are_left(self) -> None:
        tracks = [new_track(None, account_id=3), new_track(5), new_track(6)]
        assert [is_possible(tracks, needed) for needed in (1, 2, 3)] == [True, True, False]


class TestTextHash:
    @pytest.mark.parametrize("other", ["a\nb", " a\r\nb\n", "a\nb  "])
    def test_is_the_same_for_the_same_text(self, other: str) -> None:
        assert text_hash(other) == text_hash("a\nb")

    @pytest.mark.parametrize("other", ["a b", "a\nB", "", "a\n\nb"])
    def test_is_another_for_another_text(self, other: str) -> None:
        assert text_hash(other) != text_hash("a\nb")

    def test_is_short_and_takes_half_a_character(self) -> None:
        assert len(text_hash("x" * 65535)) == len(text_hash("\ud800")) == 16
