from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.alerts.mentions import (
    ResolvedMentions,
    needs_members,
    owner_names,
    parse_mentions,
    resolve_mentions,
    to_notation,
)
from airflow_provider_chatwork.api import notation
from airflow_provider_chatwork.api.errors import ChatworkParameterError


def member(account_id: int, name: str, chatwork_id: str = "") -> dict[str, object]:
    return {"account_id": account_id, "role": "member", "name": name, "chatwork_id": chatwork_id, "department": "開発"}


YAMADA = member(11, "山田 太郎", "yamada")
SATO = member(12, "佐藤花子", "hanako")
SMITH = member(13, "Smith, John", "")
ROOM = [YAMADA, SATO, SMITH]


def refused(parameter: str = "mentions", remedy: str = ""):
    return pytest.raises(ChatworkParameterError, match=rf"^{parameter}=.*{remedy}")


class TestParseMentions:
    @pytest.mark.parametrize(
        ("value", "mentions"),
        [
            (None, ()),
            ("", ()),
            ("None", ()),
            ([], ()),
            ([None, "", " "], ()),
            (11, (11,)),
            ("11", (11,)),
            (" １１ ", (11,)),
            ("11, yamada,,山田 太郎 ", (11, "yamada", "山田 太郎")),
            ("山田、佐藤，鈴木\n高橋", ("山田", "佐藤", "鈴木", "高橋")),
            (["11", 11, "yamada", "yamada"], (11, "yamada")),
            (("Smith, John",), ("Smith, John",)),
            ("[11, 'yamada']", (11, "yamada")),
            ('["Smith, John", "11"]', ("Smith, John", 11)),
            ("('owner', 'toall')", ("owner", "toall")),
            ("[yamada, 11]", ("yamada", 11)),
            ("[]", ()),
            (" ['a, b', 11]\n", ("a, b", 11)),
            ("[営業]山田", ("[営業]山田",)),
            ("山田[営業]", ("山田[営業]",)),
            ("1_0, 2", ("1_0", 2)),
            ("('ab')", ("('ab')",)),
            ("(株)山田", ("(株)山田",)),
            ("(株)山田(営業)", ("(株)山田(営業)",)),
            ("Owner", ("owner",)),
            ("TOALL", ("toall",)),
            ("[toall]", ("toall",)),
            (["[toall]"], ("toall",)),
            ((name for name in ("a", "b")), ("a", "b")),
            ({"a": 1}.keys(), ("a",)),
        ],
    )
    def test_several_mentions_can_be_written_in_several_ways(self, value, mentions):
        assert parse_mentions(value) == mentions

    @pytest.mark.parametrize(
        ("value", "remedy"),
        [
            (True, "account ids, names"),
            ({"id": 11}, "account ids, names"),
            (1.5, "account ids, names"),
            (b"11", "account ids, names"),
            ([True], "account ids, names"),
            ([[11]], "account ids, names"),
            ("[[11]]", "account ids, names"),
            ([{"id": 11}], "account ids, names"),
            (-1, "positive whole number"),
            (0, "positive whole number"),
            ("-1", "positive whole number"),
            ("11, -5", "positive whole number"),
            ("1" * 19, "positive whole number"),
        ],
    )
    def test_an_invalid_mention_is_refused(self, value, remedy):
        with refused("routing.mentions", remedy):
            parse_mentions(value, parameter="routing.mentions")

    @given(st.text() | st.lists(st.text() | st.integers(1, 10**18 - 1)))
    def test_parsed_mentions_are_parsed_the_same(self, value):
        try:
            mentions = parse_mentions(value)
        except ChatworkParameterError:
            return
        assert parse_mentions(mentions) == mentions

    @pytest.mark.parametrize("text", ["[" * 10_000, "1 \0", "'\\d'", "*a", "a: b", "1 2"])
    def test_any_text_is_parsed_or_refused(self, text):
        assert parse_mentions(f"[{text}]") == (text,)


class TestOwnerNames:
    @pytest.mark.parametrize("owners", ["yamada, sato", ["yamada, sato"], ("yamada", " sato "), "yamada,,sato,"])
    def test_joined_owners_are_split(self, owners):
        assert owner_names(owners) == ("yamada", "sato")

    def test_each_owner_is_returned_once_and_in_order(self):
        assert owner_names(["b", "a, b"]) == ("b", "a")

    def test_a_dag_may_have_no_owners(self):
        assert owner_names(["", " "]) == ()


class TestNeedsMembers:
    @pytest.mark.parametrize(
        ("mentions", "owners", "needed"),
        [
            (None, ["yamada"], False),
            ([11, "12", "toall"], ["yamada"], False),
            ("11,toall", [], False),
            (["yamada"], [], True),
            ("11, yamada", [], True),
            (["owner"], ["yamada"], True),
            (["owner"], ["airflow"], False),
            (["owner"], ["airflow, yamada"], True),
            (["owner"], ["12"], False),
            (["owner"], ["toall"], True),
            (["owner"], [], False),
        ],
    )
    def test_only_names_need_the_members(self, mentions, owners, needed):
        assert needs_members(mentions, owners) is needed


class TestResolveMentions:
    @pytest.mark.parametrize(
        "mention",
        [
            *(11, "11", "１１", "yamada", "YAMADA", "ｙａｍａｄａ", "@yamada", "＠yamada", " yamada "),
            *("山田 太郎", "山田太郎", "山田　太郎", "山田太郎さん", "山田 太郎 さん", "山田\u200b太郎"),
            *("yamada@example.com", "Yamada@Example.com", "山田太郎@example.com"),
        ],
    )
    def test_a_member_is_found_in_every_spelling(self, mention):
        assert resolve_mentions([mention], members=ROOM) == ResolvedMentions(accounts=((11, "山田 太郎"),))

    @pytest.mark.parametrize("mention", ["山田", "yama", "太郎", "yamada2", "さん", "@", "\u200b", "開発", "None さん"])
    def test_similar_names_do_not_match(self, mention):
        assert resolve_mentions([mention], members=ROOM) == ResolvedMentions(unknown=(mention,))

    def test_an_empty_field_matches_nobody(self):
        assert resolve_mentions(["@example.com", "@"], members=[member(1, "", "")]).accounts == ()

    def test_a_name_may_be_an_honorific(self):
        assert resolve_mentions(["さん"], members=[member(1, "さん")]).account_ids == (1,)

    def test_a_name_may_end_in_an_honorific(self):
        assert resolve_mentions(["佐藤"], members=[member(1, "佐藤さん")]).account_ids == (1,)

    def test_each_account_is_returned_once_and_in_order(self):
        people = resolve_mentions(["hanako", 11, "佐藤花子", "yamada@example.com", 12], members=ROOM)
        assert people == ResolvedMentions(accounts=((12, "佐藤花子"), (11, "山田 太郎")))
        assert people.account_ids == (12, 11)

    def test_a_name_in_a_list_may_contain_a_comma(self):
        assert resolve_mentions(["Smith, John"], members=ROOM).account_ids == (13,)

    def test_a_rendered_text_is_resolved(self):
        assert resolve_mentions("yamada, 12, toall, x", members=ROOM) == ResolvedMentions(
            accounts=((11, "山田 太郎"), (12, "佐藤花子")), everybody=True, unknown=("x",)
        )

    def test_an_account_outside_of_the_room_is_unknown(self):
        assert resolve_mentions([99, 11, "99"], members=ROOM) == ResolvedMentions(
            accounts=((11, "山田 太郎"),), unknown=("99",)
        )

    def test_a_name_of_two_members_is_unknown(self):
        assert resolve_mentions(["佐藤"], members=[member(1, "佐藤"), member(2, "佐 藤")]) == ResolvedMentions(
            unknown=("佐藤",)
        )

    def test_a_name_and_a_chatwork_id_of_two_members_are_unknown(self):
        assert resolve_mentions(["sato"], members=[member(1, "Sato"), member(2, "x", "sato")]).unknown == ("sato",)

    def test_a_member_that_is_listed_twice_is_one_member(self):
        assert resolve_mentions(["yamada"], members=[YAMADA, YAMADA]).account_ids == (11,)

    def test_a_whole_address_matches_first(self):
        members = [member(1, "x", "ken"), member(2, "ken@example.com"), member(3, "y", "mai"), member(4, "mai@a.jp")]
        assert resolve_mentions(["ken@example.com", "mai@a.jp"], members=members).account_ids == (2, 4)

    def test_the_chatwork_id_of_an_address_matches_before_a_name(self):
        members = [member(1, "ken"), member(2, "x", "ken")]
        assert resolve_mentions(["ken@example.com"], members=members).account_ids == (2,)

    def test_an_address_of_two_members_is_unknown(self):
        assert resolve_mentions(["ken@a.jp"], members=[member(1, "ken"), member(2, "Ken")]).unknown == ("ken@a.jp",)

    def test_an_ambiguous_match_is_not_replaced_by_a_weaker_one(self):
        members = [member(1, "ken@a.jp"), member(2, "Ken@a.jp"), member(3, "x", "ken")]
        assert resolve_mentions(["ken@a.jp"], members=members).unknown == ("ken@a.jp",)

    def test_owner_is_replaced_by_the_owners(self):
        people = resolve_mentions([13, "owner", 11], owners=["yamada, hanako", "nobody"], members=ROOM)
        assert people.account_ids == (13, 11, 12)
        assert people.unknown == ("nobody",)

    @pytest.mark.parametrize("owner", ["airflow", "Airflow", " airflow "])
    def test_the_default_owner_is_nobody(self, owner):
        assert resolve_mentions(["owner"], owners=[owner], members=[member(1, "airflow")]) == ResolvedMentions()

    def test_an_account_named_airflow_can_be_mentioned(self):
        assert resolve_mentions(["airflow"], members=[member(1, "airflow")]).account_ids == (1,)

    @pytest.mark.parametrize("owner", ["toall", "[toall]", "owner", "-5", "0", "9" * 19])
    def test_an_owner_is_neither_everybody_nor_an_error(self, owner):
        assert resolve_mentions(["owner"], owners=[owner], members=ROOM) == ResolvedMentions(unknown=(owner,))

    def test_owners_are_only_mentioned_with_owner(self):
        assert resolve_mentions([12], owners=["yamada"], members=ROOM).account_ids == (12,)

    def test_ids_are_accepted_without_the_members(self):
        assert resolve_mentions(["99", "toall", "yamada", "owner"], owners=["11", "sato"]) == ResolvedMentions(
            accounts=((99, None), (11, None)), everybody=True, unknown=("yamada", "sato")
        )

    def test_in_an_empty_room_everybody_is_unknown(self):
        assert resolve_mentions([11], members=[]) == ResolvedMentions(unknown=("11",))

    def test_members_may_lack_fields(self):
        assert resolve_mentions([5, "x"], members=[{"account_id": 5}]) == ResolvedMentions(
            accounts=((5, ""),), unknown=("x",)
        )

    def test_an_invalid_mention_is_refused(self):
        with refused():
            resolve_mentions([True], members=ROOM)


class TestToNotation:
    @pytest.mark.parametrize(
        ("people", "text"),
        [
            (ResolvedMentions(), ""),
            (ResolvedMentions(unknown=("x",)), ""),
            (ResolvedMentions(everybody=True), "[toall]"),
            (ResolvedMentions(accounts=((1, None), (2, None))), "[To:1][To:2]"),
            (ResolvedMentions(accounts=((1, "山田"), (2, "佐藤"))), "[To:1] 山田\n[To:2] 佐藤"),
            (ResolvedMentions(accounts=((1, ""), (2, "佐藤"))), "[To:1]\n[To:2] 佐藤"),
            (ResolvedMentions(accounts=((1, "山田"),), everybody=True), "[toall]\n[To:1] 山田"),
        ],
    )
    def test_all_accounts_are_mentioned(self, people, text):
        assert to_notation(people) == text

    def test_notation_in_a_name_is_broken(self):
        name = "[toall]\n[To:9] (*)"
        text = to_notation(ResolvedMentions(accounts=((1, name),)))
        assert "[toall]" not in text
        assert "[To:9]" not in text
        assert text == f"[To:1] {notation.safe(name)}".replace("\n", " ")
