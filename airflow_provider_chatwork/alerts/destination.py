"""The destination of an alert: connection, room, language and mentions.

The routing table comes before the notifier, and the notifier before the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts import mentions
from airflow_provider_chatwork.alerts.alert_state import AlertMessageState
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.alerts.routing import DEFAULT_ROUTE, SEVERITIES, Route, RoutingTable
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkParameterError
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.connection import Settings

_WITH_AUTHORS_SEVERITY = frozenset(
    {EventKind.FAILURE, EventKind.RUN_FAILURE, EventKind.DEADLINE, EventKind.SLA_MISS},
)


class AlertOptions(Protocol):
    """The parameters of :class:`~airflow_provider_chatwork.notifications.chatwork.ChatworkNotifier`, rendered."""

    chatwork_conn_id: str
    room_id: int | str | None
    lang: str | None
    mentions: Any
    when: str
    fold: str
    fold_window: float
    severity: str | None
    routing: RoutingTable | str | None
    attach_traceback: bool


@dataclass(frozen=True, kw_only=True)
class AlertsSetting:
    """``[chatwork] alerts`` in Airflow's configuration.

    :param enabled: whether alerts are sent.
    :param room_id: the room that gets all alerts, without mentions.
    """

    enabled: bool = True
    room_id: int | None = None

    @classmethod
    def parse(cls, value: object) -> AlertsSetting:
        """Read ``on``, ``off`` or a room id.

        :raises ChatworkParameterError: for another value.
        """
        text = str(value).strip().lower()
        if text in ("on", "true", ""):
            return cls()
        if text in ("off", "false"):
            return cls(enabled=False)
        try:
            return cls(room_id=api.validation.identifier("[chatwork] alerts", text))
        except ChatworkParameterError:
            raise ChatworkParameterError("[chatwork] alerts", value, "give on, off, or the number of a room") from None


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where an alert is posted.

    :param mentions: whom a message mentions if it notifies, as the author or the routing table wrote it.
    :param note: a line that explains a deviation from what the author wrote.
    """

    chatwork_conn_id: str
    room_id: int
    formatter: AlertFormatter
    mentions: tuple[int | str, ...] = ()
    owners: tuple[str, ...] = ()
    note: str | None = None

    def mention_line(self) -> CallFlow[str]:
        """Return the mentions as notation. Yields a call for the members of the room where names need it."""
        members: list[Any] | None = None
        was_read = True
        if mentions.needs_members(self.mentions, self.owners):
            # An alert without mentions is better than no alert.
            try:
                members = yield api.rooms.list_members(self.room_id)
            except ChatworkError:
                was_read = False
        found = mentions.resolve_mentions(self.mentions, owners=self.owners, members=members)
        lines = [mentions.to_notation(found)]
        if found.unknown:
            key = "unknown_people" if was_read else "people_not_looked_up"
            lines.append(self.formatter.catalog.text(key, names=safe(", ".join(found.unknown))))
        return "\n".join(line for line in lines if line)

    def new_state(self, now: float) -> AlertMessageState:
        """Return the state of a message that is not posted yet.

        :param now: Unix time.
        """
        return AlertMessageState(
            opened_at=now,
            room_id=str(self.room_id),
            chatwork_conn_id=self.chatwork_conn_id,
            lang=self.formatter.catalog.lang,
            note=self.note,
        )


def severity_of(options: AlertOptions, event: AlertEvent) -> str:
    """Return the author's severity for an event that ended badly, and the severity of its kind for others."""
    if options.severity is not None and event.kind in _WITH_AUTHORS_SEVERITY:
        return options.severity
    return event.kind.severity


def find_route(table: RoutingTable | None, options: AlertOptions, event: AlertEvent) -> Route:
    """Return the rule that applies to an event."""
    if table is None:
        return DEFAULT_ROUTE
    return table.route(
        dag_id=event.dag_id or "", owners=event.owners, tags=event.tags, severity=severity_of(options, event)
    )


def resolve_destination(
    options: AlertOptions,
    event: AlertEvent,
    route: Route,
    table: RoutingTable | None,
    settings: Settings,
    setting: AlertsSetting,
    *,
    notifies: bool,
    now: datetime,
) -> Destination:
    """Return the destination of an event.

    :param settings: the settings of the connection that the alert is sent with.
    :param notifies: whether the alert may mention people.
    :raises ChatworkParameterError: if there is no room, or if a parameter is invalid.
    """
    formatter = AlertFormatter(route.lang or options.lang or settings.lang, settings.timezone)
    text = formatter.catalog.text
    note, wanted = None, options.mentions if route.mentions is None else route.mentions
    if wanted is not None:
        try:
            wanted = mentions.parse_mentions(wanted)
        except ChatworkParameterError as error:
            # A template may render to an invalid value. The alert is sent nevertheless.
            wanted, note = (), text("unknown_people", names=str(error.value))
    if table is not None and _is_quiet(table, severity_of(options, event), now.astimezone(ZoneInfo(settings.timezone))):
        note = text("quiet") if wanted and notifies else note
        wanted = ()
    rooms = (route.room_id, api.validation.none_if_blank(options.room_id), settings.default_room_id)
    room = next((room for room in rooms if room is not None), None)
    if setting.room_id is not None:
        note = text("moved", switch="[chatwork] alerts", room=room if room is not None else "?")
        wanted, room = (), setting.room_id
    if room is None:
        raise ChatworkParameterError(
            "room_id", options.room_id, "give a room, or set default_room_id in the connection of the alert"
        )
    return Destination(
        chatwork_conn_id=route.chatwork_conn_id or options.chatwork_conn_id,
        room_id=api.validation.identifier("room_id", room),
        formatter=formatter,
        mentions=wanted if wanted and notifies else (),
        owners=event.owners,
        note=note,
    )


def _is_quiet(table: RoutingTable, severity: str, now: datetime) -> bool:
    quiet = table.quiet_hours
    return quiet is not None and SEVERITIES.index(severity) < SEVERITIES.index(quiet.below) and quiet.contains(now)


def load_routing_table(
    routing: RoutingTable | str | None, settings: Settings, load: Callable[[str], Any]
) -> RoutingTable | None:
    """Return the routing table that applies.

    :param routing: the table, or the name of a Variable; the table of the connection if ``None``.
    :param load: returns the text of a Variable, or ``None`` if there is no such Variable.
    :raises ChatworkParameterError: naming the invalid rule.
    """
    if isinstance(routing, RoutingTable):
        return routing
    if routing is None:
        if settings.routing is None:
            return None
        return RoutingTable.from_json(settings.routing, source="the connection's extra routing")
    value = load(routing)
    if value is None:
        raise ChatworkParameterError("routing", routing, "give the name of a Variable that there is")
    return RoutingTable.from_json(value, source=f"the Variable {routing}")
