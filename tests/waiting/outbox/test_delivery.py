from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.waiting.outbox.dedup_key import Trace
from airflow_provider_chatwork.waiting.outbox.delivery import Done, Letter, tell

TRACE = Trace("escalation", ("期限超過のお知らせ", "Overdue notice"), 100, "200", 5, 1000.0)
REFUSED = errors.ChatworkForbiddenError("post_message", 403)


def letter(room_id: int = 100) -> Letter:
    return Letter("escalation", 1, 1000.0, room_id, 100, "…", TRACE)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, /, *values: Any) -> None:
        self.lines.append(f"INFO {event % values}")

    def warning(self, event: str, /, *values: Any) -> None:
        self.lines.append(f"WARNING {event % values}")


class TestFailed:
    def test_goes_to_the_room_of_the_tasks(self):
        other = letter(room_id=7).failed(REFUSED)
        assert isinstance(other, Letter)
        assert (other.room_id, other.error) == (100, str(REFUSED))

    def test_ends_where_that_refuses_it_too(self):
        first = letter(room_id=7).failed(REFUSED)
        assert isinstance(first, Letter)
        done = first.failed(errors.ChatworkNotFoundError("post_message", 404))
        assert not isinstance(done, Letter)
        assert (done["outcome"], done["message_id"]) == ("refused", None)
        assert "403" in str(done["error"])
        assert "404" in str(done["error"])

    def test_raises_what_passes(self):
        with pytest.raises(errors.ChatworkServerError):
            letter(room_id=7).failed(errors.ChatworkServerError("post_message", 503))

    def test_raises_that_the_token_is_another_one_by_now(self):
        with pytest.raises(errors.ChatworkAuthError):
            letter(room_id=7).failed(errors.ChatworkAuthError("post_message", 401))


class TestTell:
    def line(self, outcome: str, error: str | None = None) -> str:
        log = Log()
        tell(
            log,
            Done(kind="reminder", number=2, moment=1.0, room_id=100, message_id=None, outcome=outcome, error=error),
        )
        (line,) = log.lines
        return line

    @pytest.mark.parametrize("outcome", ["sent", "found", "withdrawn"])
    def test_says_what_went_well(self, outcome):
        assert self.line(outcome).startswith("INFO Followed up: ")

    @pytest.mark.parametrize(
        ("outcome", "error", "said"),
        [
            ("untold", None, "was not sent: the room shows no more than 100"),
            ("unknown", None, "may not have been sent"),
            ("refused", "no way", "was not sent, as Chatwork refused it: no way"),
            ("sent", "no way", "went to the room of the task, as the other room refused it: no way"),
        ],
    )
    def test_warns_of_what_somebody_may_not_have_heard(self, outcome, error, said):
        assert self.line(outcome, error).startswith(f"WARNING Reminder 2 {said}")
