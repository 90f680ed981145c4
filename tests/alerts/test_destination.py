from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.destination import (
    AlertsSetting,
    Destination,
    find_route,
    load_routing_table,
    resolve_destination,
    severity_of,
)
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.alerts.routing import QuietHours, Route, RoutingTable
from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkParameterError
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

EN = AlertFormatter("en", "UTC").catalog.text
#: 10 o'clock on a Monday morning in Tokyo.
NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
NIGHT = QuietHours(start="22:00", end="07:00")
MEMBERS = [{"account_id": 7, "name": "山田 太郎", "chatwork_id": "yamada"}]


def options(**more: Any) -> ChatworkNotifier:
    return ChatworkNotifier(**more)


def event(kind: EventKind = EventKind.FAILURE, **more: Any) -> AlertEvent:
    return AlertEvent(
        **{"kind": kind, "dag_id": "report", "run_id": "r", "task_id": "load", "owners": ("yamada",), **more}
    )


def resolve(
    *,
    kind: EventKind = EventKind.FAILURE,
    route: Route | None = None,
    table: RoutingTable | None = None,
    setting: AlertsSetting | None = None,
    settings: dict[str, Any] | None = None,
    notifies: bool = True,
    now: datetime = NOW,
    **parameters: Any,
) -> Destination:
    connection = Settings(token="t", **{"default_room_id": 1, **(settings or {})})
    given = (options(**parameters), event(kind), route or Route(), table, connection, setting or AlertsSetting())
    return resolve_destination(*given, notifies=notifies, now=now)


class TestAlertsSetting:
    @pytest.mark.parametrize("value", ["on", "On", " true ", "True", "", True])
    def test_on_enables_alerts(self, value):
        setting = AlertsSetting.parse(value)
        assert setting.enabled is True
        assert setting.room_id is None

    @pytest.mark.parametrize("value", ["off", "OFF", "false", False])
    def test_off_disables_alerts(self, value):
        assert AlertsSetting.parse(value).enabled is False

    @pytest.mark.parametrize("value", ["400000101", 400000101])
    def test_a_room_gets_all_alerts(self, value):
        setting = AlertsSetting.parse(value)
        assert setting.enabled is True
        assert setting.room_id == 400000101

    @pytest.mark.parametrize("value", ["yes", "0", "-5", "room 5", "1.5", None])
    def test_another_value_is_refused(self, value):
        with pytest.raises(ChatworkParameterError, match=r"\[chatwork\] alerts.*give on, off, or the number of a room"):
            AlertsSetting.parse(value)


class TestSeverityOf:
    @pytest.mark.parametrize(
        ("kind", "severity"),
        [
            (EventKind.FAILURE, "error"),
            (EventKind.RUN_FAILURE, "error"),
            (EventKind.RETRY, "warning"),
            (EventKind.DEADLINE, "warning"),
            (EventKind.SLA_MISS, "warning"),
            (EventKind.SUCCESS, "info"),
            (EventKind.RUN_SUCCESS, "info"),
            (EventKind.QUESTION, "info"),
        ],
        ids=lambda value: getattr(value, "value", value),
    )
    def test_each_kind_has_a_severity(self, kind, severity):
        assert severity_of(options(), event(kind)) == severity

    @pytest.mark.parametrize(
        "kind",
        [EventKind.FAILURE, EventKind.RUN_FAILURE, EventKind.DEADLINE, EventKind.SLA_MISS],
        ids=lambda kind: kind.value,
    )
    def test_the_authors_severity_applies_to_bad_ends(self, kind):
        assert severity_of(options(severity="critical"), event(kind)) == "critical"

    @pytest.mark.parametrize(
        "kind", [EventKind.RETRY, EventKind.SUCCESS, EventKind.RUN_SUCCESS], ids=lambda kind: kind.value
    )
    def test_the_authors_severity_does_not_apply_to_other_events(self, kind):
        assert severity_of(options(severity="critical"), event(kind)) == kind.severity


class TestFindRoute:
    def test_without_a_table_the_route_sets_nothing(self):
        assert find_route(None, options(), event()) == Route()

    @pytest.mark.parametrize(
        "condition", [{"dag_id": "rep*"}, {"owner": "yamada"}, {"tag": "batch"}, {"severity": "critical"}], ids=str
    )
    def test_the_matching_rule_is_found(self, condition):
        table = RoutingTable(routes=(Route(name="other", dag_id="x"), Route(name="this", **condition)))
        found = find_route(table, options(severity="critical"), event(tags=("batch",)))
        assert found.name == "this"

    def test_an_event_without_a_dag_matches_no_dag_id(self):
        table = RoutingTable(routes=(Route(name="other", dag_id="None"), Route(name="this")))
        assert find_route(table, options(), event(dag_id=None)).name == "this"


class TestRoom:
    def test_the_room_of_the_rule_comes_first(self):
        assert resolve(route=Route(room_id=3), room_id=2).room_id == 3

    def test_the_room_of_the_notifier_comes_next(self):
        assert resolve(room_id="2").room_id == 2

    @pytest.mark.parametrize("room_id", [None, "", "None"])
    def test_the_room_of_the_connection_comes_last(self, room_id):
        assert resolve(room_id=room_id).room_id == 1

    def test_a_missing_room_is_an_error(self):
        with pytest.raises(ChatworkParameterError, match=r"room_id.*set default_room_id in the connection"):
            resolve(settings={"default_room_id": None})

    def test_an_invalid_room_is_an_error(self):
        with pytest.raises(ChatworkParameterError, match="room_id"):
            resolve(room_id="the room")


class TestLanguage:
    @pytest.mark.parametrize(
        ("route", "author", "connection", "lang"),
        [
            (None, None, None, "ja"),
            (None, None, "en", "en"),
            (None, "ja", "en", "ja"),
            ("en", "ja", "ja", "en"),
        ],
    )
    def test_the_language_is_that_of_the_rule_the_notifier_or_the_connection(self, route, author, connection, lang):
        settings = {} if connection is None else {"lang": connection}
        assert resolve(route=Route(lang=route), lang=author, settings=settings).formatter.catalog.lang == lang

    def test_an_unknown_language_is_refused(self):
        with pytest.raises(ChatworkParameterError, match="lang"):
            resolve(lang="fr")

    def test_times_are_in_the_time_zone_of_the_connection(self):
        assert resolve(settings={"timezone": "Europe/Paris"}).formatter.timezone == "Europe/Paris"


class TestMentions:
    def test_the_mentions_of_the_rule_come_first(self):
        assert resolve(route=Route(mentions=("owner",)), mentions="5").mentions == ("owner",)

    def test_empty_mentions_of_the_rule_mention_nobody(self):
        assert resolve(route=Route(mentions=()), mentions="5").mentions == ()

    def test_the_mentions_of_the_notifier_come_next(self):
        assert resolve(mentions="5, 山田").mentions == (5, "山田")

    def test_an_event_that_notifies_nobody_has_no_mentions(self):
        assert resolve(mentions="5", notifies=False).mentions == ()

    def test_invalid_mentions_are_named_in_the_note(self):
        found = resolve(mentions=1.5, lang="en")
        assert found.mentions == ()
        assert found.note == EN("unknown_people", names="1.5")


class TestQuietHours:
    def test_quiet_hours_remove_the_mentions_and_add_a_note(self):
        # Half past five in the morning in Tokyo.
        night = datetime(2026, 11, 1, 20, 30, tzinfo=UTC)
        found = resolve(
            kind=EventKind.DEADLINE, table=RoutingTable(quiet_hours=NIGHT), mentions="5", now=night, lang="en"
        )
        assert found.mentions == ()
        assert found.note == EN("quiet")

    def test_quiet_hours_are_in_the_time_zone_of_the_connection(self):
        settings = {"timezone": "America/New_York"}
        found = resolve(kind=EventKind.DEADLINE, table=RoutingTable(quiet_hours=NIGHT), mentions="5", settings=settings)
        # Where it is 20 o'clock.
        assert found.mentions == (5,)

    @pytest.mark.parametrize(("more", "kind"), [({}, EventKind.FAILURE), ({"severity": "error"}, EventKind.DEADLINE)])
    def test_a_high_severity_is_not_quiet(self, more, kind):
        night = datetime(2026, 11, 1, 20, 30, tzinfo=UTC)
        found = resolve(kind=kind, table=RoutingTable(quiet_hours=NIGHT), mentions="5", now=night, **more)
        assert found.mentions == (5,)
        assert found.note is None

    @pytest.mark.parametrize(
        ("below", "quiet"),
        [("warning", ["info"]), ("error", ["info", "warning"]), ("critical", ["info", "warning", "error"])],
    )
    def test_only_severities_below_the_limit_are_quiet(self, below, quiet):
        table = RoutingTable(quiet_hours=QuietHours(start="00:00", end="23:59", below=below))
        severities = ("info", "warning", "error", "critical")
        found = {name: resolve(table=table, mentions="5", severity=name) for name in severities}
        assert [name for name, destination in found.items() if not destination.mentions] == quiet

    def test_errors_are_not_quiet_by_default(self):
        hours = QuietHours(start="00:00", end="23:59")
        assert resolve(table=RoutingTable(quiet_hours=hours), mentions="5").mentions == (5,)

    def test_critical_alerts_are_not_quiet_on_a_day_off(self):
        hours = QuietHours(days_off=["mon"])
        assert resolve(table=RoutingTable(quiet_hours=hours), mentions="5", severity="critical").mentions == (5,)

    @pytest.mark.parametrize("more", [{}, {"mentions": "5", "notifies": False}], ids=["nobody", "silent"])
    def test_there_is_no_note_if_nobody_would_be_mentioned(self, more):
        night = datetime(2026, 11, 1, 20, 30, tzinfo=UTC)
        assert resolve(kind=EventKind.DEADLINE, table=RoutingTable(quiet_hours=NIGHT), now=night, **more).note is None


class TestMoved:
    def test_the_room_of_the_setting_gets_the_alert_without_mentions(self):
        found = resolve(setting=AlertsSetting(room_id=9), room_id=2, mentions="5", lang="en")
        assert found.room_id == 9
        assert found.mentions == ()
        assert found.note == EN("moved", switch="[chatwork] alerts", room=2)

    def test_the_room_of_the_setting_needs_no_other_room(self):
        found = resolve(setting=AlertsSetting(room_id=9), settings={"default_room_id": None}, lang="en")
        assert found.room_id == 9
        assert found.note == EN("moved", switch="[chatwork] alerts", room="?")


class TestLoadRoutingTable:
    TABLE = RoutingTable(routes=(Route(name="all", room_id=3),))
    JSON = TABLE.to_json()

    def test_the_table_of_the_notifier_comes_first(self):
        settings = Settings(token="t", routing={"routes": []})
        assert load_routing_table(self.TABLE, settings, self.fail_to_load) == self.TABLE

    def test_the_notifier_names_a_variable(self):
        requested: list[str] = []

        def load(name: str) -> str:
            requested.append(name)
            return json.dumps(self.JSON)

        assert load_routing_table("alert_routes", Settings(token="t"), load) == self.TABLE
        assert requested == ["alert_routes"]

    def test_the_table_of_the_connection_comes_next(self):
        assert load_routing_table(None, Settings(token="t", routing=self.JSON), self.fail_to_load) == self.TABLE

    def test_there_may_be_no_table(self):
        assert load_routing_table(None, Settings(token="t"), self.fail_to_load) is None

    def test_a_missing_variable_is_an_error(self):
        with pytest.raises(ChatworkParameterError, match=r"routing.*alert_routes.*give the name of a Variable"):
            load_routing_table("alert_routes", Settings(token="t"), lambda name: None)

    @pytest.mark.parametrize(
        ("source", "routing"),
        [
            ("the Variable alert_routes", "alert_routes"),
            ("the connection's extra routing", None),
        ],
    )
    def test_an_invalid_table_is_named(self, source, routing):
        wrong = [{"severity": "bad"}]
        settings = Settings(token="t", routing=wrong)
        with pytest.raises(ChatworkParameterError, match=rf"{source}\.routes\[0\]\.severity"):
            load_routing_table(routing, settings, lambda name: json.dumps(wrong))

    @staticmethod
    def fail_to_load(name: str) -> Any:
        raise AssertionError(f"unexpected Variable {name}")


def run_flow(flow: Generator[Any, Any, str], response: Any = None) -> tuple[list[str], str]:
    """Run a flow, and return the operations it called and its result."""
    requested: list[str] = []
    try:
        call = next(flow)
        while True:
            requested.append(call.operation)
            call = flow.throw(response) if isinstance(response, Exception) else flow.send(response)
    except StopIteration as end:
        return requested, end.value


class TestMentionLine:
    def test_no_mentions_give_an_empty_line(self):
        assert run_flow(resolve().mention_line()) == ([], "")

    def test_account_ids_need_no_call(self):
        assert run_flow(resolve(mentions=[5, "toall"]).mention_line()) == ([], "[toall]\n[To:5]")

    def test_names_need_one_call_for_the_members(self):
        line = resolve(mentions=["owner", "山田太郎"]).mention_line()
        assert run_flow(line, MEMBERS) == (["list_members"], "[To:7] 山田 太郎")

    def test_unknown_names_are_shown(self):
        line = resolve(mentions=["yamada", "佐藤", "[To:9]"], lang="en").mention_line()
        unknown = EN("unknown_people", names=safe("佐藤, [To:9]"))
        assert run_flow(line, MEMBERS) == (["list_members"], f"[To:7] 山田 太郎\n{unknown}")

    def test_account_ids_are_mentioned_if_the_members_cannot_be_read(self):
        line = resolve(mentions=[5, "山田"], lang="en").mention_line()
        refusal = ChatworkForbiddenError("list_members", 403, ())
        unknown = EN("people_not_looked_up", names="山田")
        assert run_flow(line, refusal) == (["list_members"], f"[To:5]\n{unknown}")
