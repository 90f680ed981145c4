"""Where an alert goes, in which language, and whom it may call: the author's wishes, the table, the connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts import mentions as people
from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.alerts.formatter import Writer
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.alerts.wishes import Wishes
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkParameterError
from airflow_provider_chatwork.api.notation import safe

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.settings import Settings

_BAD_ENDS = frozenset({Kind.FAILURE, Kind.RUN_FAILURE, Kind.DEADLINE, Kind.SLA_MISS})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided for one alert.

    :param route: the rule of the table that applies.
    :param room_id: where it goes.
    :param mentions: whom it calls where it rings, as the author or the table wrote them.
    :param note: a line that says what was decided otherwise than asked for.
    """

    route: Route
    settings: Settings
    room_id: int
    writer: Writer
    mentions: tuple[int | str, ...]
    owners: tuple[str, ...]
    note: str | None = None

    def call_line(self) -> CallFlow[str]:
        """The line that calls people. It may have to ask who is in the room."""
        if not self.mentions:
            return ""
        members: list[Any] | None = None
        looked_up = True
        if people.needs_members(self.mentions, self.owners):
            # Who cannot be looked up is not called, but named; the alert itself matters more.
            try:
                members = yield api.rooms.list_members(self.room_id)
            except ChatworkError:
                looked_up = False
        found = people.resolve(self.mentions, owners=self.owners, members=members)
        lines = [people.as_notation(found)]
        if found.unknown:
            sentence = "unknown_people" if looked_up else "people_not_looked_up"
            lines.append(self.writer.catalog.text(sentence, names=safe(", ".join(found.unknown))))
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What this Airflow allows: ``[chatwork] alerts`` of its configuration.

    :param on: whether alerts are sent at all.
    :param room_id: the room that gets all of them, without calling anybody.
    """

    on: bool = True
    room_id: int | None = None

    @classmethod
    def read(cls, value: object) -> Switch:
        """Read ``on``, ``off`` or the number of a room.

        :raises ChatworkParameterError: for anything else.
        """
        text = str(value).strip().lower()
        if text in ("on", "true", ""):
            return cls()
        if text in ("off", "false"):
            return cls(on=False)
        try:
            return cls(room_id=api.validation.identifier("[chatwork] alerts", text))
        except ChatworkParameterError:
            raise ChatworkParameterError("[chatwork] alerts", value, "give on, off, or the number of a room") from None


def severity_of(wishes: Wishes, story: Story) -> str:
    """How bad it is: what the author says, of what does not end well; Airflow's own judgement of the rest."""
    if wishes.severity is not None and story.kind in _BAD_ENDS:
        return wishes.severity
    return story.kind.severity


def route_of(table: RoutingTable | None, wishes: Wishes, story: Story) -> Route:
    """The rule that applies to an event."""
    if table is None:
        return Route()
    return table.route(
        dag_id=story.dag_id or "", owners=story.owners, tags=story.tags, severity=severity_of(wishes, story)
    )


def plan(
    wishes: Wishes,
    story: Story,
    route: Route,
    table: RoutingTable | None,
    settings: Settings,
    switch: Switch,
    *,
    rings: bool,
    now: datetime,
) -> Plan:
    """Decide.

    :param settings: of the connection that the alert goes through.
    :raises ChatworkParameterError: where no room is named, or a parameter cannot be right.
    """
    catalog = alert_catalog(_given(route.lang, wishes.lang, settings.lang))
    note = None
    try:
        mentions = people.parse_mentions(wishes.mentions if route.mentions is None else route.mentions)
    except ChatworkParameterError as error:
        # What a template makes of it must not cost the alert.
        mentions, note = (), catalog.text("unknown_people", names=str(error.value))
    quiet = table.quiet_hours if table is not None else None
    if quiet is not None and quiet.applies(severity_of(wishes, story), now.astimezone(ZoneInfo(settings.timezone))):
        note = catalog.text("quiet") if mentions and rings else note
        mentions = ()
    room = _given(route.room_id, api.validation.none_if_blank(wishes.room_id), settings.default_room_id)
    if switch.room_id is not None:
        note = catalog.text("moved", switch="[chatwork] alerts", room=room if room is not None else "?")
        mentions, room = (), switch.room_id
    if room is None:
        raise ChatworkParameterError(
            "room_id", wishes.room_id, "give a room, or set default_room_id in the connection of the alert"
        )
    return Plan(
        route=route,
        settings=settings,
        room_id=api.validation.identifier("room_id", room),
        writer=Writer(catalog, settings.timezone, wishes.style),
        mentions=mentions if rings else (),
        owners=story.owners,
        note=note,
    )


def _given(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


Load = Callable[[str], Any]


def table_of(wishes: Wishes, settings: Settings, load: Load) -> RoutingTable | None:
    """The routing table that applies.

    :param load: reads a Variable, as text; ``None`` where there is none.
    :raises ChatworkParameterError: naming the rule that cannot be right.
    """
    if isinstance(wishes.routing, RoutingTable):
        return wishes.routing
    if wishes.routing is None:
        if settings.routing is None:
            return None
        return RoutingTable.from_json(settings.routing, source="the connection's extra routing")
    value = load(wishes.routing)
    if value is None:
        raise ChatworkParameterError("routing", wishes.routing, "give the name of a Variable that there is")
    return RoutingTable.from_json(value, source=f"the Variable {wishes.routing}")
