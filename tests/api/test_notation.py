from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_chatwork.api import notation, urls
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation import BREAK, code, info, quote, safe, task, title, to
from tests.api.notation_texts import composed, hostile, is_one_frame, is_whole, tags_in

NOT_IDS = ["", "x", "1.0", "-1", "0", 0, -1, 1.5, True, None, "１２３", "1]", "[toall]"]


class TestTo:
    def test_mentions_an_account(self):
        assert to(123) == "[To:123]"

    def test_accepts_the_number_as_text(self):
        assert to("123") == "[To:123]"

    def test_adds_the_name_to_be_read(self):
        assert to(123, "山田さん") == "[To:123] 山田さん"

    @pytest.mark.parametrize("several", [[1, 2], (1, "2"), "1,2", "[1, 2]", iter([1, 2])])
    def test_mentions_several_accounts(self, several):
        assert to(several) == "[To:1][To:2]"

    def test_writes_one_line_for_each_name(self):
        assert to({1: "山田さん", "2": "佐藤さん"}) == "[To:1] 山田さん\n[To:2] 佐藤さん"

    @pytest.mark.parametrize("nobody", [[], {}, ""])
    def test_returns_an_empty_text_for_no_account(self, nobody):
        assert to(nobody) == ""

    @given(hostile)
    def test_breaks_tags_in_a_name(self, name):
        text = to(1, name)
        assert tags_in(text.removeprefix("[To:1] ")) == []
        assert "\n" not in text

    @pytest.mark.parametrize("account_ids", [[1, 2], []])
    def test_refuses_one_name_for_other_than_one_account(self, account_ids):
        with pytest.raises(ChatworkParameterError, match=r"^name='Yamada': .*mapping"):
            to(account_ids, "Yamada")

    @pytest.mark.parametrize("account_id", [bad for bad in NOT_IDS if bad not in ("", None)])
    def test_refuses_a_value_that_is_not_an_id(self, account_id):
        with pytest.raises(ChatworkParameterError, match=r"^account_ids=.*whole number"):
            to([account_id])


class TestToAll:
    def test_mentions_everybody(self):
        assert notation.to_all() == "[toall]"


class TestReply:
    def test_replies_to_a_message(self):
        assert notation.reply(1, 2, "345678901234567890") == "[rp aid=1 to=2-345678901234567890]"

    def test_accepts_every_number_as_text(self):
        assert notation.reply("1", "2", 3) == "[rp aid=1 to=2-3]"

    def test_adds_the_name_to_be_read(self):
        assert notation.reply(1, 2, "3", "佐藤さん [toall]") == f"[rp aid=1 to=2-3] 佐藤さん [{BREAK}toall]"

    @pytest.mark.parametrize("parameter", ["account_id", "room_id", "message_id"])
    def test_refuses_a_value_that_is_not_an_id(self, parameter):
        arguments = {"account_id": 1, "room_id": 2, "message_id": "3"} | {parameter: "3]"}
        with pytest.raises(ChatworkParameterError, match=rf"^{parameter}='3]'"):
            notation.reply(**arguments)


class TestQuote:
    def test_quotes_with_and_without_a_time(self):
        assert quote("はい", 1) == "[qt][qtmeta aid=1]はい[/qt]"
        assert quote("はい", "1", "1600000000") == "[qt][qtmeta aid=1 time=1600000000]はい[/qt]"

    @given(hostile)
    def test_cannot_be_ended_by_the_quoted_text(self, body):
        assert is_one_frame(quote(body, 1))

    @pytest.mark.parametrize("time", ["now", 0, 1.5, 1600000000000])
    def test_refuses_a_time_that_is_not_in_seconds(self, time):
        with pytest.raises(ChatworkParameterError, match=r"^time="):
            quote("x", 1, time)

    def test_refuses_an_invalid_account_id(self):
        with pytest.raises(ChatworkParameterError, match=r"^account_id='x'"):
            quote("x", "x")


class TestInfo:
    def test_frames_a_body(self):
        assert info("本文") == "[info]本文[/info]"

    def test_adds_a_title(self):
        assert info("本文", "題") == "[info][title]題[/title]本文[/info]"

    def test_omits_an_empty_title(self):
        assert info("本文", "") == "[info]本文[/info]"

    def test_keeps_notation_in_the_body(self):
        body = to(1) + notation.hr() + quote("x", 2) + code("y") + info("z")
        assert info(body) == f"[info]{body}[/info]"

    @pytest.mark.parametrize(
        ("body", "written"),
        [
            ("a[/info]b", f"a[{BREAK}/info]b"),
            ("a[info]b", f"a[{BREAK}info]b"),
            ("a[ / INFO ]b", f"a[{BREAK} / INFO ]b"),
            ("[code]a", f"[{BREAK}code]a"),
            ("[qt][info]a[/qt]", f"[qt][{BREAK}info]a[/qt]"),
            ("[qt][info]a[/qt][/info]", f"[qt][{BREAK}info]a[/qt][{BREAK}/info]"),
            ("[qt]a[/qt][/qt]", f"[qt]a[/qt][{BREAK}/qt]"),
            ("[code][info][/code]", "[code][info][/code]"),
            ("[code][code][/code][/code]", f"[code][code][/code][{BREAK}/code]"),
            ("[ERROR] a[0]", "[ERROR] a[0]"),
        ],
    )
    def test_breaks_only_unpaired_enclosing_tags(self, body, written):
        assert info(body) == f"[info]{written}[/info]"

    @given(hostile, st.none() | hostile)
    @example("[/info", None)
    @example("[code][/info][/code", "[/title][/info]")
    def test_cannot_be_ended_by_its_content(self, body, heading):
        assert is_one_frame(info(body, heading))


class TestTitle:
    def test_is_the_first_line_of_a_frame(self):
        assert title("題") == "[title]題[/title]"

    @pytest.mark.parametrize(
        "inline",
        [
            to(1),
            notation.to_all(),
            notation.picon(1),
            notation.piconname(2),
            notation.pname(3),
            notation.dtext("task_done"),
            notation.url("https://example.com/"),
            notation.reply(1, 2, 3),
            notation.deleted(),
        ],
    )
    def test_keeps_inline_notation(self, inline):
        assert title(f"a {inline} b") == f"[title]a {inline} b[/title]"

    @pytest.mark.parametrize(
        "tag", ["[/title]", "[title]", "[ /Title ]", "[/info]", "[info]", "[code]", "[hr]", "[url]", "[x]"]
    )
    def test_breaks_every_other_tag(self, tag):
        assert title(tag) == f"[title][{BREAK}{tag[1:]}[/title]"

    def test_does_not_repair_broken_tags(self):
        assert title(safe("[toall]")) == f"[title][{BREAK}toall][/title]"

    def test_is_one_line(self):
        assert title("a\r\nb\nc") == "[title]a b c[/title]"

    @given(hostile)
    def test_cannot_be_ended_by_its_content(self, text):
        assert is_one_frame(title(text))


class TestCode:
    def test_shows_text_literally(self):
        assert code("SELECT COUNT(*) FROM t[1];\n") == "[code]SELECT COUNT(*) FROM t[1];\n[/code]"

    def test_accepts_any_value(self):
        assert code({"a": [1]}) == "[code]{'a': [1]}[/code]"

    def test_breaks_mentions(self):
        assert code("[To:1][toall]") == f"[code][{BREAK}To:1][{BREAK}toall][/code]"

    @given(hostile)
    @example("[/code]")
    @example("[ /CODE ]")
    @example("a[")
    def test_cannot_be_ended_by_its_text(self, text):
        written = code(text)
        assert tags_in(written.removeprefix("[code]").removesuffix("[/code]")) == []
        assert len(re.findall(r"\[\s*/\s*code", written, re.IGNORECASE)) == 1
        assert written.endswith("[/code]")


class TestComposition:
    @given(composed)
    def test_of_any_texts_has_only_paired_tags(self, text):
        assert is_whole(text)

    @given(composed)
    def test_is_not_changed_by_being_framed(self, text):
        assert info(text) == f"[info]{text}[/info]"


class TestTask:
    def test_shows_a_task(self):
        assert task("確認", 1) == "[task aid=1 st=open]確認[/task]"
        assert task("確認", 1, "done", "1600000000", "date") == (
            "[task aid=1 st=done lt=1600000000 ltype=date]確認[/task]"
        )

    @given(hostile)
    def test_cannot_be_ended_by_its_content(self, body):
        assert is_one_frame(task(body, 1))

    @pytest.mark.parametrize(
        ("parameter", "value"), [("account_id", 0), ("status", "closed"), ("limit", "soon"), ("limit_type", "none")]
    )
    def test_refuses_values_that_chatwork_does_not_know(self, parameter, value):
        with pytest.raises(ChatworkParameterError, match=rf"^{parameter}="):
            task(**{"body": "x", "account_id": 1} | {parameter: value})


class TestDownload:
    def test_links_to_a_file(self):
        assert notation.download("5", "売上.csv (1.2 KB)") == "[download:5]売上.csv (1.2 KB)[/download]"

    @given(hostile)
    def test_cannot_be_ended_by_its_label(self, label):
        written = notation.download(5, label)
        assert is_one_frame(written)
        assert "\n" not in written


class TestUrl:
    def test_writes_a_link(self):
        assert notation.url("https://example.com/?a=1&b=2") == "[url]https://example.com/?a=1&b=2[/url]"

    def test_encodes_brackets_so_that_a_link_cannot_close_itself(self):
        assert notation.url("https://example.com/[/url]") == "[url]https://example.com/%5B/url%5D[/url]"

    @pytest.mark.parametrize("address", ["", "example.com", "javascript:alert(1)", "https://a b", "https://a\nb", None])
    def test_refuses_a_value_that_is_not_a_url(self, address):
        with pytest.raises(ChatworkParameterError, match=r"^address=.*http or https"):
            notation.url(address)


class TestDtext:
    def test_writes_a_key(self):
        assert notation.dtext("task_added") == "[dtext:task_added]"

    @pytest.mark.parametrize("key", ["", "Task", "task_added]", "a b", None])
    def test_refuses_an_invalid_key(self, key):
        with pytest.raises(ChatworkParameterError, match=r"^key="):
            notation.dtext(key)


class TestPreview:
    def test_shows_an_image_with_and_without_a_height(self):
        assert notation.preview(5) == "[preview id=5]"
        assert notation.preview("5", "120") == "[preview id=5 ht=120]"

    @pytest.mark.parametrize("parameter", ["file_id", "height"])
    def test_refuses_a_value_that_is_not_a_number(self, parameter):
        with pytest.raises(ChatworkParameterError, match=rf"^{parameter}='x'"):
            notation.preview(**{"file_id": 5, "height": 1} | {parameter: "x"})


class TestTagsOfOnePart:
    @pytest.mark.parametrize(
        ("written", "tag"),
        [
            (notation.hr(), "[hr]"),
            (notation.deleted(), "[deleted]"),
            (notation.picon(1), "[picon:1]"),
            (notation.piconname("2"), "[piconname:2]"),
            (notation.pname(3), "[pname:3]"),
        ],
    )
    def test_are_written_as_chatwork_writes_them(self, written, tag):
        assert written == tag

    @pytest.mark.parametrize("function", [notation.picon, notation.piconname, notation.pname])
    @pytest.mark.parametrize("account_id", NOT_IDS)
    def test_refuse_what_is_no_id(self, function, account_id):
        with pytest.raises(ChatworkParameterError, match=r"^account_id="):
            function(account_id)


class TestDocumentation:
    ROWS = re.findall(
        r"^\| `?(\w+)`? \| `(.+)` \| `(.+)` \|$",
        Path(__file__).resolve().parents[2].joinpath("docs/notation.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )

    @pytest.mark.parametrize(("example", "result"), [row[1:] for row in ROWS])
    def test_shows_what_its_examples_return(self, example, result):
        assert eval(example, vars(notation) | vars(urls)) == result.replace("·", BREAK)

    def test_shows_every_function(self):
        functions = {name for name in notation.__all__ if callable(getattr(notation, name))}
        assert functions <= {name for name, _, _ in self.ROWS}
