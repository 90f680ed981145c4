from __future__ import annotations

import pytest

from airflow_provider_chatwork.waiting.approvals.votes import describe, result_of
from tests.waiting.approvals.asked import (
    DEADLINE,
    SATO,
    YAMADA,
    ask,
    choices,
    look,
    page,
    reply,
)


class TestWhatIsSaidAfterTheTime:
    @pytest.mark.parametrize(("seconds", "counts"), [(3600, True), (3660, True), (3661, False), (90_000, False)])
    def test_does_not_count(self, seconds, counts):
        found = look(page(reply(seconds, SATO, "承認")), now=DEADLINE + 90_000, needed=1)
        assert (found.outcome == "decided") is counts

    def test_takes_nothing_back(self):
        found = look(page(reply(5, SATO, "承認"), reply(3661, SATO, "あ")), now=DEADLINE + 90_000)
        assert choices(found) == [(SATO, "承認")]

    def test_does_not_count_where_it_is_an_edit(self):
        late = {"update_time": DEADLINE + 61}
        said = page(reply(5, SATO, "却下"), reply(6, SATO, "承認", **late))
        assert choices(look(said, now=DEADLINE + 90_000)) == []
        assert choices(look(page(reply(6, SATO, "承認", update_time=DEADLINE + 60)), now=DEADLINE + 70)) != []

    def test_leaves_what_was_heard_before_an_edit(self):
        first = look(page(reply(6, SATO, "却下")))
        said = page(reply(6, SATO, "承認", update_time=DEADLINE + 61))
        assert choices(look(said, first.heard, now=DEADLINE + 90_000)) == [(SATO, "却下")]


class TestDescribe:
    def test_says_who_chose_what_and_who_is_missing_by_account(self):
        heard = look(page(reply(5, SATO, "却下\n秘密"))).heard
        assert describe(ask(), heard) == f"'却下' by {SATO}; no answer from {YAMADA}"


class TestResultOf:
    def test_tells_those_who_decided_from_those_who_did_not(self):
        heard = look(page(reply(5, SATO, "却下"), reply(6, YAMADA, "承認"), reply(7, SATO, "承認"))).heard
        result = result_of(ask(), heard, "承認", "answered")
        assert [vote["message_id"] for vote in result["who"]] == ["1006", "1007"]
        assert result["votes"] == result["who"]
        assert [vote["message_id"] for vote in result_of(ask(), heard, "却下", "timeout_default")["who"]] == []
