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
    def test_an_invalid_field_is_refused(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            Route(**fields)

    def test_an_error_names_the_rule(self):
        with refused("Route (night batch).severity", "info, warning"):
            Route(name="night batch", severity="fatal")

    def test_values_are_normalized(self):
        route = Route(owner=["a", " b "], tag=" c ", room_id="12", mentions="owner, 5", name=" x ")
        assert route == Route(owner=("a", "b"), tag="c", room_id=12, mentions=("owner", 5), name="x")
        assert (route.room_id, route.mentions) == (12, ("owner", 5))

    def test_empty_mentions_differ_from_none(self):
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
    def test_an_alert_that_meets_all_conditions_matches(self, fields):
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
    def test_an_alert_that_misses_one_condition_does_not_match(self, fields):
        assert not Route(**fields).matches(**ALERT)

    @pytest.mark.parametrize("field", ["owner", "tag"])
    def test_a_pattern_needs_an_owner_or_a_tag(self, field):
        assert not Route(**{field: "*"}).matches(**ALERT | {"owners": [], "tags": []})

    def test_joined_owners_are_split(self):
        assert Route(owner="sato").matches(**ALERT | {"owners": "yamada, sato"})

    def test_one_tag_may_be_a_text(self):
        assert Route(tag="prod").matches(**ALERT | {"tags": "prod"})
        assert not Route(tag="p").matches(**ALERT | {"tags": "prod"})


class TestRoutingTable:
    def test_routes_may_be_a_list(self):
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
    def test_routes_have_to_be_objects(self, fields, parameter):
        with refused(parameter, r"from_json|Route\(\.\.\.\)"):
            RoutingTable(**fields)

    def test_two_rules_with_one_name_are_refused(self):
        with refused("routes[1] (a).name", r"routes\[0\]"):
            RoutingTable(routes=(Route(name="a", tag="x"), Route(name="a", tag="y")))

    def test_a_table_can_be_copied_and_pickled(self):
        assert copy.deepcopy(TABLE) == TABLE
        assert pickle.loads(pickle.dumps(TABLE)) == TABLE
        assert hash(copy.copy(TABLE)) == hash(TABLE)


class TestSeverities:
    def test_severities_are_in_ascending_order(self):
        assert SEVERITIES == ("info", "warning", "error", "critical")


class TestFindingARoute:
    def test_the_first_matching_route_applies(self):
        table = RoutingTable(routes=(Route(tag="dev"), Route(tag="prod", room_id=1), Route(owner="sato", room_id=2)))
        assert table.route(**ALERT).room_id == 1

    def test_without_a_match_the_route_sets_nothing(self):
        assert RoutingTable(routes=(Route(tag="dev", room_id=1),)).route(**ALERT) == Route()
        assert RoutingTable().route(**ALERT) == Route()

    def test_a_route_may_send_nothing(self):
        assert TABLE.route(**ALERT | {"tags": ["experiment"]}).send is False

    def test_owners_and_tags_may_be_iterators(self):
        table = RoutingTable(routes=(Route(owner="x"), Route(tag="x"), Route(owner="sato", tag="sales", room_id=1)))
        alert = ALERT | {"owners": iter(ALERT["owners"]), "tags": iter(ALERT["tags"])}
        assert table.route(**alert).room_id == 1

    def test_one_tag_may_be_a_text(self):
        assert RoutingTable(routes=(Route(tag="prod", room_id=1),)).route(**ALERT | {"tags": "prod"}).room_id == 1

    def test_an_unknown_severity_is_refused(self):
        with refused("severity", "info, warning"):
            RoutingTable().route(**ALERT | {"severity": "fatal"})


class TestFromJson:
    def test_an_object_and_its_text_are_read(self):
        assert read(PLAIN) == TABLE
        assert read(json.dumps(PLAIN)) == TABLE

    def test_a_list_is_read_as_the_routes(self):
        expected = RoutingTable(routes=TABLE.routes)
        assert read(PLAIN["routes"]) == expected
        assert read(json.dumps(PLAIN["routes"])) == expected

    @pytest.mark.parametrize("value", [{}, [], "{}", "[]", {"routes": None, "quiet_hours": None}])
    def test_an_empty_table_is_read(self, value):
        assert read(value) == RoutingTable()

    def test_null_is_read_as_not_given(self):
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
    def test_an_error_names_the_rule_and_the_field(self, value, parameter, remedy):
        with refused(parameter, remedy):
            read(value)

    def test_an_error_shows_the_value(self):
        with pytest.raises(ChatworkParameterError) as caught:
            read([{"name": "n", "severity": "fatal"}])
        assert str(caught.value).startswith("routing.routes[0] (n).severity='fatal': give one of")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


class TestToJson:
    def test_the_json_contains_the_set_fields(self):
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
    def test_the_json_is_read_back(self, table):
        assert read(table.to_json()) == table
        assert read(json.dumps(table.to_json())) == table


class TestTheModule:
    def test_the_module_exports_the_severities(self):
        assert routing.SEVERITIES == ("info", "warning", "error", "critical")
