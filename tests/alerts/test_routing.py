from __future__ import annotations

import copy
import json
import pickle
import re
from itertools import product

import pytest

from airflow_provider_chatwork.alerts import routing
from airflow_provider_chatwork.alerts.routing import SEVERITIES, QuietHours, Route, RoutingTable
from airflow_provider_chatwork.api.errors import ChatworkParameterError

ALERT = {"dag_id": "etl_orders", "owners": ["yamada", "sato"], "tags": ["prod", "sales"], "severity": "error"}

TABLE = RoutingTable(
    routes=(
        Route(name="night batch", dag_id="nightly_*", severity="error", room_id=1, mentions=("owner", 5)),
        Route(tag="experiment", send=False),
        Route(owner=("yamada", "sato*"), chatwork_conn_id="other", lang="en", mentions=()),
    ),
    quiet_hours=QuietHours(start="22:00", end="07:00", days_off=("sat", "sun")),
)
PLAIN = {
    "routes": [
        {"name": "night batch", "dag_id": "nightly_*", "severity": "error", "room_id": 1, "mentions": ["owner", 5]},
        {"tag": "experiment", "send": False},
        {"owner": ["yamada", "sato*"], "chatwork_conn_id": "other", "lang": "en", "mentions": []},
    ],
    "quiet_hours": {"start": "22:00", "end": "07:00", "below": "error", "days_off": ["sat", "sun"]},
}

#: Every text of up to three of the characters that patterns treat in different ways.
SHORT_IDS = ["".join(text) for length in range(4) for text in product("ab[]-*", repeat=length)]


def refused(parameter: str, remedy: str = ""):
    return pytest.raises(ChatworkParameterError, match=rf"^{re.escape(parameter)}=.*{remedy}")


def read(value: object) -> RoutingTable:
    return RoutingTable.from_json(value, source="routing")


class TestRoute:
    @pytest.mark.parametrize(
        ("fields", "parameter", "remedy"),
        [
            ({"owner": ""}, "owner", "give a text"),
            ({"owner": 5}, "owner", "a list of them"),
            ({"owner": "yamada, sato"}, "owner", "as a list"),
            ({"dag_id": ["a", "b,c"]}, "dag_id", "as a list"),
            ({"tag": []}, "tag", "leave it out"),
            ({"tag": ["a", None]}, "tag", "give a text"),
            ({"tag": {"a": 1}}, "tag", "a list of them"),
            ({"severity": "fatal"}, "severity", "info, warning, error, critical"),
            ({"severity": ["error"]}, "severity", "info, warning"),
            ({"room_id": "room"}, "room_id", "positive whole number"),
            ({"chatwork_conn_id": " "}, "chatwork_conn_id", "give a text"),
            ({"mentions": True}, "mentions", "account ids"),
            ({"lang": "fr"}, "lang", "ja, en"),
            ({"send": 0}, "send", "true or false"),
            ({"send": None}, "send", "true or false"),
            ({"send": "false"}, "send", "true or false"),
            ({"name": 3}, "name", "give a text"),
        ],
    )
    def test_refuses_what_cannot_be_meant(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            Route(**fields)

    def test_names_itself_in_its_errors(self):
        with refused("Route (night batch).severity", "info, warning"):
            Route(name="night batch", severity="fatal")

    def test_keeps_its_values_in_one_form(self):
        route = Route(owner=["a", " b "], tag=" c ", room_id="12", mentions="owner, 5", name=" x ")
        assert route == Route(owner=("a", "b"), tag="c", room_id=12, mentions=("owner", 5), name="x")
        assert (route.room_id, route.mentions) == (12, ("owner", 5))

    def test_tells_nobody_from_nothing_said(self):
        assert Route(mentions=[]).mentions == ()
        assert Route().mentions is None


class TestMatches:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"owner": "sato"},
            {"owner": "*to"},
            {"owner": ["x", "yamada"]},
            {"tag": "sales"},
            {"tag": "[ps]ales"},
            {"tag": ("x", "pr?d")},
            {"dag_id": "etl_*"},
            {"dag_id": ["x", "etl_orders"]},
            {"severity": "info"},
            {"severity": "error"},
            {"owner": "sato", "tag": "prod", "dag_id": "etl_*", "severity": "warning"},
        ],
    )
    def test_is_true_where_all_conditions_are_met(self, fields):
        assert Route(**fields).matches(**ALERT)

    @pytest.mark.parametrize(
        "fields",
        [
            {"owner": "suzuki"},
            {"owner": "Sato"},
            {"owner": "sat"},
            {"tag": "PROD"},
            {"dag_id": "etl"},
            {"dag_id": "Etl_*"},
            {"severity": "critical"},
            {"owner": "suzuki", "tag": "prod", "dag_id": "etl_*", "severity": "warning"},
            {"owner": "sato", "tag": "dev", "dag_id": "etl_*", "severity": "warning"},
            {"owner": "sato", "tag": "prod", "dag_id": "elt_*", "severity": "warning"},
            {"owner": "sato", "tag": "prod", "dag_id": "etl_*", "severity": "critical"},
        ],
    )
    def test_is_false_where_one_is_not(self, fields):
        assert not Route(**fields).matches(**ALERT)

    @pytest.mark.parametrize("field", ["owner", "tag"])
    def test_needs_an_owner_or_tag_for_any_pattern_of_it(self, field):
        assert not Route(**{field: "*"}).matches(**ALERT | {"owners": [], "tags": []})

    def test_parts_the_owners_that_airflow_has_joined(self):
        assert Route(owner="sato").matches(**ALERT | {"owners": "yamada, sato"})

    def test_takes_one_tag_as_a_text(self):
        assert Route(tag="prod").matches(**ALERT | {"tags": "prod"})
        assert not Route(tag="p").matches(**ALERT | {"tags": "prod"})


class TestRoutingTable:
    def test_takes_a_list(self):
        assert RoutingTable(routes=[Route(tag="a")]).routes == (Route(tag="a"),)

    @pytest.mark.parametrize(
        ("fields", "parameter"),
        [
            ({"routes": Route()}, "routes"),
            ({"routes": None}, "routes"),
            ({"routes": [Route(tag="a"), {"tag": "b"}]}, "routes[1]"),
            ({"quiet_hours": {"start": "22:00", "end": "07:00"}}, "quiet_hours"),
        ],
    )
    def test_refuses_what_is_not_made_yet(self, fields, parameter):
        with refused(parameter, r"from_json|Route\(\.\.\.\)"):
            RoutingTable(**fields)

    def test_refuses_two_rules_of_one_name(self):
        with refused("routes[1] (a).name", r"routes\[0\]"):
            RoutingTable(routes=(Route(name="a", tag="x"), Route(name="a", tag="y")))

    def test_can_be_copied_and_pickled(self):
        assert copy.deepcopy(TABLE) == TABLE
        assert pickle.loads(pickle.dumps(TABLE)) == TABLE
        assert hash(copy.copy(TABLE)) == hash(TABLE)


class TestSeverities:
    def test_severities_are_in_ascending_order(self):
        assert SEVERITIES == ("info", "warning", "error", "critical")


class TestTheRouteOfAnAlert:
    def test_is_the_first_that_matches(self):
        table = RoutingTable(routes=(Route(tag="dev"), Route(tag="prod", room_id=1), Route(owner="sato", room_id=2)))
        assert table.route(**ALERT).room_id == 1

    def test_leaves_everything_open_where_none_matches(self):
        assert RoutingTable(routes=(Route(tag="dev", room_id=1),)).route(**ALERT) == Route()
        assert RoutingTable().route(**ALERT) == Route()

    def test_may_be_to_say_nothing(self):
        assert TABLE.route(**ALERT | {"tags": ["experiment"]}).send is False

    def test_reads_owners_and_tags_only_once(self):
        table = RoutingTable(routes=(Route(owner="x"), Route(tag="x"), Route(owner="sato", tag="sales", room_id=1)))
        alert = ALERT | {"owners": iter(ALERT["owners"]), "tags": iter(ALERT["tags"])}
        assert table.route(**alert).room_id == 1

    def test_takes_one_tag_as_a_text(self):
        assert RoutingTable(routes=(Route(tag="prod", room_id=1),)).route(**ALERT | {"tags": "prod"}).room_id == 1

    def test_is_refused_for_a_severity_there_is_not(self):
        with refused("severity", "info, warning"):
            RoutingTable().route(**ALERT | {"severity": "fatal"})


class TestFromJson:
    def test_reads_the_object_and_its_text(self):
        assert read(PLAIN) == TABLE
        assert read(json.dumps(PLAIN)) == TABLE

    def test_takes_a_list_for_the_routes(self):
        expected = RoutingTable(routes=TABLE.routes)
        assert read(PLAIN["routes"]) == expected
        assert read(json.dumps(PLAIN["routes"])) == expected

    @pytest.mark.parametrize("value", [{}, [], "{}", "[]", {"routes": None, "quiet_hours": None}])
    def test_reads_an_empty_table(self, value):
        assert read(value) == RoutingTable()

    def test_takes_null_for_not_given(self):
        value = {"routes": [{"tag": "a", "send": None, "mentions": None}], "quiet_hours": {"days_off": ["sun"]}}
        value["quiet_hours"]["below"] = None
        expected = RoutingTable(routes=(Route(tag="a"),), quiet_hours=QuietHours(days_off=("sun",)))
        assert read(value) == expected

    @pytest.mark.parametrize(
        ("value", "parameter", "remedy"),
        [
            (None, "routing", "routes, quiet_hours"),
            (5, "routing", "routes, quiet_hours"),
            ("", "routing", "give JSON"),
            ("5", "routing", "routes, quiet_hours"),
            ('{"routes": [}', "routing", "line 1 column 13"),
            ("[" * 100_000, "routing", "give JSON"),
            ('[{"tag": "a", "tag": "b"}]', "routing", "there twice"),
            ({"rooms": 1}, "routing.rooms", "there are routes, quiet_hours"),
            ({"routes": {"tag": "a"}}, "routing.routes", "list of objects"),
            ({"routes": "x"}, "routing.routes", "list of objects"),
            ([{"tag": "a"}, "b"], "routing.routes[1]", "owner, tag, dag_id"),
            ([{"dag": "a"}], "routing.routes[0].dag", "there are owner, tag, dag_id, severity"),
            ([{"dag": "a", "name": " x "}], "routing.routes[0] (x).dag", "there are owner"),
            ([{"name": "night batch", "severity": "fatal"}], "routing.routes[0] (night batch).severity", "info"),
            ([{"tag": "a"}, {"room_id": "r"}], "routing.routes[1].room_id", "positive"),
            ([{"name": "n", "mentions": {}}], "routing.routes[0] (n).mentions", "account ids"),
            ([{"name": "n", "mentions": [-1]}], "routing.routes[0] (n).mentions", "positive"),
            ([{"name": 5}], "routing.routes[0].name", "give a text"),
            ([{"name": "a"}, {"name": "a"}], "routing.routes[1] (a).name", r"routes\[0\] has this name"),
            ({"quiet_hours": "22-7"}, "routing.quiet_hours", "start, end, below, days, days_off"),
            ({"quiet_hours": {"from": "22:00"}}, "routing.quiet_hours.from", "there are start, end"),
            ({"quiet_hours": {"start": "22:00"}}, "routing.quiet_hours.end", "both start and end"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_names_what_is_wrong_and_where(self, value, parameter, remedy):
        with refused(parameter, remedy):
            read(value)

    def test_shows_the_value_that_is_wrong(self):
        with pytest.raises(ChatworkParameterError) as caught:
            read([{"name": "n", "severity": "fatal"}])
        assert str(caught.value).startswith("routing.routes[0] (n).severity='fatal': give one of")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


class TestToJson:
    def test_says_what_was_given(self):
        assert TABLE.to_json() == PLAIN

    @pytest.mark.parametrize(
        "table",
        [
            TABLE,
            RoutingTable(),
            RoutingTable(routes=(Route(),)),
            RoutingTable(routes=(Route(tag=("a",), mentions="山田, 5"), Route(tag="b", send=True))),
        ],
    )
    def test_is_read_back_the_same_also_by_way_of_text(self, table):
        assert read(table.to_json()) == table
        assert read(json.dumps(table.to_json())) == table


class TestTheModule:
    def test_offers_the_severities(self):
        assert routing.SEVERITIES == ("info", "warning", "error", "critical")
