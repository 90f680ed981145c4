"""How a question ends: by votes, by a timeout, by changes in the room, and by failures of Chatwork."""

from __future__ import annotations

import pytest

from tests.operators.approval_cases import (
    BUSY,
    TWO_OF_THREE,
    Case,
    breaks,
    busy,
    chat,
    check,
    decided,
    deletes_question,
    fails,
    leaves,
    recovers,
    replies,
    times_out,
)
from tests.operators.approval_scenarios import BOT, BOTH, MODES, SATO, TAKAHASHI, THREE, YAMADA, Scenario

REJECTED_BY_DEFAULT = {"on_timeout": "却下"}

CASES = {
    "approved": decided("承認", [SATO], replies(30, SATO, "承認")),
    "rejected": decided("却下", [SATO], replies(30, SATO, "却下")),
    "by any of three": decided("承認", [TAKAHASHI], replies(90, TAKAHASHI, "承認"), approvers=THREE),
    "the first of two": decided(
        "却下", [YAMADA], replies(70, YAMADA, "却下"), replies(75, SATO, "承認"), approvers=THREE, votes=[YAMADA, SATO]
    ),
    "two of three": decided(
        "承認", [SATO, TAKAHASHI], replies(90, SATO, "承認"), replies(500, TAKAHASHI, "1"), **TWO_OF_THREE
    ),
    "two of three as text": decided(
        "承認",
        [SATO, TAKAHASHI],
        replies(90, SATO, "承認"),
        replies(500, TAKAHASHI, "1"),
        approvers=",".join(map(str, THREE)),
        complete_when="2",
    ),
    "two of three against one": decided(
        "承認",
        [YAMADA, SATO],
        *(replies(90, TAKAHASHI, "却下"), replies(200, YAMADA, "承認"), replies(300, SATO, "承認")),
        **TWO_OF_THREE,
        votes=[TAKAHASHI, YAMADA, SATO],
    ),
    "all of three": decided(
        "承認",
        THREE,
        *(replies(100 * number, person, "承認") for number, person in enumerate(THREE, 1)),
        approvers=THREE,
        complete_when="all",
    ),
    "one dissent among all": decided(
        "却下",
        [YAMADA],
        *(replies(90, SATO, "承認"), replies(200, YAMADA, "却下")),
        approvers=THREE,
        complete_when="all",
        votes=[SATO, YAMADA],
    ),
    "another choice": decided(
        "承認",
        [YAMADA, SATO],
        *(replies(90, SATO, "却下"), replies(200, YAMADA, "承認"), replies(300, SATO, "承認")),
        **TWO_OF_THREE,
    ),
    "tied": fails(
        f"tied: '甲' by {SATO}; '乙' by {YAMADA}",
        *(replies(90, SATO, "甲"), replies(200, YAMADA, "乙")),
        options={"甲": True, "乙": True},
        **BOTH,
    ),
    "busy room": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(30, SATO, "承認\n先に見ました"), *busy(150, minutes=5), replies(900, YAMADA, "承認")),
        **TWO_OF_THREE,
    ),
    "question deleted": fails("was deleted", deletes_question(90), replies(300, SATO, "承認")),
    "question deleted in a busy room": fails("was deleted", *BUSY, deletes_question(600)),
    "old messages cannot be read for a while": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(30, SATO, "承認"), *BUSY, breaks(600, operation="get_message", status=503)),
        *(replies(700, YAMADA, "承認"), recovers(1500)),
        **BOTH,
    ),
    "old messages cannot be read": times_out(
        "the last messages could not be read",
        *(replies(30, SATO, "承認"), *BUSY, breaks(600, operation="get_message", status=503)),
        replies(700, YAMADA, "承認"),
        **BOTH,
        on_timeout="却下",
    ),
    "question not found once": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(30, SATO, "承認"), *BUSY, breaks(600, operation="get_message", status=404, times=1)),
        replies(700, YAMADA, "承認"),
        **BOTH,
    ),
    "an approver leaves": fails(
        f"'承認' by {SATO}; left the room or may only read: {YAMADA}",
        *(replies(30, SATO, "承認"), leaves(90, YAMADA)),
        **BOTH,
        timeout=86400,
    ),
    "an approver leaves in the last hour": fails(
        f"left the room or may only read: {SATO}", leaves(90, SATO), timeout=600
    ),
    "an approver leaves and enough are left": decided(
        "承認",
        [YAMADA, TAKAHASHI],
        *(replies(30, SATO, "承認"), leaves(90, SATO)),
        *(replies(4000, YAMADA, "承認"), replies(4100, TAKAHASHI, "承認")),
        **TWO_OF_THREE,
        timeout=86400,
    ),
    "an answer may have been missed, an option": times_out(
        "may have been missed", replies(90, SATO, "却下"), chat(95, 150), on_timeout="承認"
    ),
    "timeout": times_out("No decision"),
    "timeout after some votes": times_out(
        f"'承認' by {SATO}; no answer from {YAMADA}", replies(90, SATO, "承認"), **BOTH
    ),
    "timeout, skip": Case("skipped", error="No decision", arguments={"on_timeout": "skip"}),
    "timeout, an option": decided("却下", [], **REJECTED_BY_DEFAULT),
    "timeout, an option after a vote": decided(
        "却下", [], replies(90, SATO, "承認"), votes=[SATO], **REJECTED_BY_DEFAULT, **TWO_OF_THREE
    ),
    "answered in the last minute": decided("承認", [SATO], replies(3599, SATO, "承認")),
    "answered right away, no time": times_out("No decision", replies(1, SATO, "承認"), timeout=0),
    "outage": decided("承認", [SATO], breaks(90, status=503), recovers(700), replies(800, SATO, "承認")),
    "answered in an outage": decided(
        "承認", [SATO], breaks(90, kind="refuse"), replies(300, SATO, "承認"), recovers(700)
    ),
    "rate limit": decided("承認", [SATO], breaks(90, status=429), recovers(700), replies(800, SATO, "承認")),
    "outage over the deadline": decided(
        "承認", [SATO], breaks(3500, status=503), replies(3590, SATO, "承認"), recovers(3640)
    ),
    "timeout in an outage": times_out("the last messages could not be read", breaks(90, status=503)),
    "timeout in an outage, skip": Case(
        "skipped", [breaks(90, status=503)], error="No decision", arguments={"on_timeout": "skip"}
    ),
    "timeout in an outage, an option": times_out(
        "the last messages could not be read",
        *(replies(3000, SATO, "承認"), breaks(90, status=503)),
        **REJECTED_BY_DEFAULT,
    ),
    "lost room": fails("", leaves(90, BOT), cause="ChatworkForbiddenError"),
    "revoked token": fails("", breaks(90, status=401), cause="ChatworkAuthError"),
    "redirect": Case("failed", [breaks(90, status=302)], cause="ChatworkUnexpectedResponseError"),
    "rejected, fail_on_reject": fails(
        f"'却下' was decided for, by {SATO}", replies(90, SATO, "却下"), fail_on_reject=True
    ),
    "rejected by default, fail_on_reject": fails("by nobody in time", **REJECTED_BY_DEFAULT, fail_on_reject=True),
    "approved, fail_on_reject": decided("承認", [SATO], replies(90, SATO, "承認"), fail_on_reject=True),
}


class TestOutcomes:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", CASES)
    def test_is_the_same_in_every_mode(self, name: str, mode: str, scenario: Scenario) -> None:
        check(CASES[name], mode, scenario)
