from __future__ import annotations

import pytest

from tests.waiting.approvals.fake_room import (
    DEADLINE,
    SATO,
    choices,
    page,
    poll_page,
    reply,
)


class TestAfterTheDeadline:
    @pytest.mark.parametrize(("seconds", "counts"), [(3600, True), (3660, True), (3661, False), (90_000, False)])
    def test_does_not_count(self, seconds, counts):
        result = poll_page(page(reply(seconds, SATO, "承認")), now=DEADLINE + 90_000, quorum=1)
        assert (result.outcome == "decided") is counts

    def test_a_reply_does_not_invalidate_a_vote(self):
        result = poll_page(page(reply(5, SATO, "承認"), reply(3661, SATO, "あ")), now=DEADLINE + 90_000)
        assert choices(result) == [(SATO, "承認")]

    def test_an_edit_does_not_count(self):
        late = {"update_time": DEADLINE + 61}
        said = page(reply(5, SATO, "却下"), reply(6, SATO, "承認", **late))
        assert choices(poll_page(said, now=DEADLINE + 90_000)) == []
        assert choices(poll_page(page(reply(6, SATO, "承認", update_time=DEADLINE + 60)), now=DEADLINE + 70)) != []

    def test_a_stored_vote_outlives_an_edit(self):
        first = poll_page(page(reply(6, SATO, "却下")))
        said = page(reply(6, SATO, "承認", update_time=DEADLINE + 61))
        assert choices(poll_page(said, first.state, now=DEADLINE + 90_000)) == [(SATO, "却下")]

    def test_an_edit_does_not_invalidate_a_later_answer(self):
        first = poll_page(page(reply(5, SATO, "却下")))
        replies = page(reply(5, SATO, "却下。", update_time=DEADLINE + 61), reply(6, SATO, "承認"))
        assert choices(poll_page(replies, first.state, now=DEADLINE + 90_000)) == [(SATO, "承認")]
