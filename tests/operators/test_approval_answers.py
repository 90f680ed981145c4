"""How replies are parsed, and what hints, edits and withdrawals do."""

from __future__ import annotations

import pytest

from tests.operators.approval_cases import (
    BUSY,
    NO_POSTS,
    TWO_OF_THREE,
    breaks,
    busy,
    chat,
    check,
    decided,
    deletes,
    edits,
    recovers,
    replies,
    replies_again,
    replies_to_last_hint,
    speaks,
    times_out,
)
from tests.operators.approval_scenarios import BOT, BOTH, MODES, SATO, TAKAHASHI, THREE, YAMADA, Scenario

UPLOAD = "[info][title][dtext:file_uploaded][/title][preview id=1 ht=100][download:1]a.png (1 KB)[/download][/info]"
LOST_POST = {"kind": "lost_reply", "operation": "post_message", "times": 1}

CASES = {
    "by number": decided("却下", [SATO], replies(90, SATO, "２。\n数字が合いません")),
    "edited answer": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(90, SATO, "却下"), edits(200, SATO, "承認"), replies(300, YAMADA, "承認")),
        **TWO_OF_THREE,
    ),
    "deleted answer": decided(
        "却下",
        [YAMADA, TAKAHASHI],
        *(replies(90, SATO, "却下"), deletes(200, SATO)),
        *(replies(300, YAMADA, "却下"), replies(500, TAKAHASHI, "却下")),
        **TWO_OF_THREE,
    ),
    "negated": decided("却下", [SATO], replies(90, SATO, "承認しません"), replies(300, SATO, "却下"), hints=1),
    "negated on the next lines": times_out("no answer", replies(90, SATO, "まだです\n承認"), hints=1),
    "hint only once": decided(
        "承認",
        [SATO],
        *(replies(90, SATO, "承認できません"), replies(300, SATO, "うーん"), replies(600, SATO, "承認")),
        approvers=THREE,
        hints=1,
    ),
    "a hint for each": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(90, SATO, "よさそうです"), replies(300, YAMADA, "どれどれ"), replies(400, YAMADA, "ふむふむ")),
        *(replies(600, SATO, "承認"), replies(700, YAMADA, "承認")),
        **BOTH,
        hints=2,
    ),
    "politely": decided(
        "承認", [SATO, YAMADA], replies(90, SATO, "承認します。"), replies(99, YAMADA, "1です"), **TWO_OF_THREE
    ),
    "answer to the hint": decided(
        "承認", [SATO], replies(90, SATO, "よさそうです"), replies_to_last_hint(300, SATO, "承認"), hints=1
    ),
    "unclear answer that was edited": decided(
        "承認", [SATO], replies(90, SATO, "OKです"), edits(300, SATO, "承認"), hints=1
    ),
    "unclear and corrected before the poll": decided(
        "承認",
        [SATO, YAMADA],
        *(replies(61, SATO, "ＯＫ"), replies(62, SATO, "承認"), replies(300, YAMADA, "承認")),
        **TWO_OF_THREE,
    ),
    "with a quote and another mention": decided(
        "承認",
        [SATO],
        speaks(
            90,
            SATO,
            f"RPデータ連携ボットさん\n[To:{YAMADA}]山田 太郎さん\n"
            f"[qt][qtmeta aid={BOT} time=1]却下[/qt]\n承認\nよろしくお願いします",
        ),
    ),
    "on the line of the tag": decided("承認", [SATO], speaks(90, SATO, "RP データ連携ボットさん 承認")),
    "with another question in one message": decided(
        "却下", [SATO], speaks(90, SATO, "OTHERボットさん\n承認\n\nRPデータ連携ボットさん\n却下")
    ),
    "with a file": decided("却下", [SATO], replies(90, SATO, f"却下\n数字が違います。\n{UPLOAD}")),
    "withdrawn with a file": times_out(
        f"no answer from {SATO}",
        *(replies(70, SATO, "承認"), replies(90, SATO, f"取り消します。\n{UPLOAD}"), replies(300, YAMADA, "承認")),
        **BOTH,
        hints=1,
    ),
    "negated on the line of the tag": times_out(
        "no answer", speaks(90, SATO, "RP データ連携ボットさん まだです\n承認"), hints=1
    ),
    "a doubt on the line of the tag that ends like a name": times_out(
        "no answer", speaks(90, SATO, "RPまだ承認しないでください鈴木さん\n承認"), hints=1
    ),
    "answered to the old name, and to the new one": decided(
        "承認",
        [SATO, YAMADA],
        replies(30, SATO, "承認"),
        (200, lambda s: setattr(s.sandbox.store.accounts[BOT], "name", "Robot")),
        speaks(210, BOT, "改名しました"),
        replies(400, YAMADA, "承認"),
        **BOTH,
    ),
    "not an approver": times_out(f"no answer from {SATO}", replies(90, YAMADA, "承認")),
    "a mention": times_out("no answer", speaks(90, SATO, f"[To:{BOT}]データ連携ボットさん\n承認")),
    "a bare message": times_out("no answer", speaks(90, SATO, "承認")),
    "a reply to something else": times_out("no answer", speaks(90, SATO, "OTHERデータ連携ボットさん\n承認")),
    "the own account": times_out("no answer", replies(90, BOT, "承認"), approvers=[BOT, SATO]),
    "edited in a busy room": decided(
        "却下",
        [SATO],
        *(replies(30, SATO, "承認"), *BUSY, edits(600, SATO, "却下"), replies(700, YAMADA, "承認")),
        **BOTH,
        votes=[SATO, YAMADA],
    ),
    "deleted in a busy room": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        *(replies(30, SATO, "承認"), *BUSY, deletes(600, SATO), replies(700, YAMADA, "承認")),
        **BOTH,
    ),
    "an earlier message edited last": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        *(replies(70, SATO, "却下"), replies_again(80, SATO, "承認"), edits(200, SATO, "却下\nやはり却下です")),
        replies(300, YAMADA, "承認"),
        **BOTH,
        hints=1,
    ),
    "an earlier message edited last, which then left the page": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        *(replies(70, SATO, "却下"), replies_again(80, SATO, "承認"), edits(200, SATO, "却下\nやはり却下です")),
        *(chat(250, 60), chat(330, 38), replies(500, YAMADA, "承認")),
        **BOTH,
        hints=1,
    ),
    "withdrawn by a reply that is deleted": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        *(replies(70, SATO, "承認"), replies(150, SATO, "すみません、取り消します"), deletes(400, SATO)),
        replies(500, YAMADA, "承認"),
        **BOTH,
        hints=1,
    ),
    "hint rejected": decided(
        "承認",
        [SATO],
        *(breaks(70, operation="post_message", status=403), replies(90, SATO, "いいです")),
        *(recovers(400), replies(500, SATO, "承認")),
    ),
    "hint delayed": decided(
        "承認",
        [SATO],
        *(breaks(70, **NO_POSTS), replies(90, SATO, "いいです"), recovers(400), replies(900, SATO, "承認")),
        hints=1,
    ),
    "unclear in the last minute": times_out("no answer", replies(3590, SATO, "いいです")),
    "withdrawn": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        *(replies(30, YAMADA, "いいね"), replies(90, SATO, "承認")),
        *(replies(300, SATO, "すみません、先ほどの承認は取り消します"), replies(600, YAMADA, "承認")),
        replies(900, SATO, "まだです"),
        **BOTH,
        hints=2,
    ),
    "withdrawn and answered again": decided(
        "承認",
        [YAMADA, SATO],
        *(replies(90, SATO, "承認"), replies(300, SATO, "待ってください"), replies(600, YAMADA, "承認")),
        replies_to_last_hint(900, SATO, "承認"),
        **BOTH,
        hints=1,
    ),
    "withdrawn in a busy room": times_out(
        f"no answer from {SATO}",
        *(replies(30, SATO, "承認"), *BUSY, replies(450, SATO, "取り消します"), *busy(510)),
        replies(900, YAMADA, "承認"),
        **BOTH,
        hints=1,
    ),
    "withdrawn, notice delayed": times_out(
        f"no answer from {SATO}",
        *(replies(30, SATO, "承認"), *BUSY, breaks(440, **NO_POSTS), replies(450, SATO, "取り消します")),
        recovers(900),
        **BOTH,
        hints=1,
    ),
    "withdrawn, notice of unknown outcome": times_out(
        f"no answer from {SATO}",
        *(breaks(70, **LOST_POST), replies(80, SATO, "承認"), replies(90, SATO, "取り消します")),
        **BOTH,
        hints=1,
    ),
    "hint of unknown outcome": decided(
        "承認", [SATO], breaks(70, **LOST_POST), replies(90, SATO, "いいです"), replies(900, SATO, "承認"), hints=1
    ),
}


class TestAnswers:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", CASES)
    def test_is_the_same_in_every_mode(self, name: str, mode: str, scenario: Scenario) -> None:
        check(CASES[name], mode, scenario)
