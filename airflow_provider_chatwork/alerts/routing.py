"""Which alert goes where: a table of rules, checked as a whole when it is made.

In Python::

    RoutingTable(
        routes=(
            Route(name="night batch", dag_id="nightly_*", severity="error", room_id=123, mentions=("owner",)),
            Route(tag="experiment", send=False),
        ),
        quiet_hours=QuietHours(start="22:00", end="07:00", days_off=("sat", "sun")),
    )

The same as JSON, with the same names, for a Variable or the extra of a connection; a list alone is the routes::

    {
      "routes": [
        {"name": "night batch", "dag_id": "nightly_*", "severity": "error", "room_id": 123, "mentions": ["owner"]},
        {"tag": "experiment", "send": false}
      ],
      "quiet_hours": {"start": "22:00", "end": "07:00", "days_off": ["sat", "sun"]}
    }

Every error is a :class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` that names the rule, such as
``routing.routes[0] (night batch).severity``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from airflow_provider_chatwork.alerts.mentions import owner_names, parse_mentions
from airflow_provider_chatwork.alerts.severity import SEVERITIES, rank
from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.quiet_hours import QuietHours

__all__ = ["LANGUAGES", "SEVERITIES", "QuietHours", "Route", "RoutingTable"]

LANGUAGES = validation.LANGUAGES

#: One shell pattern, or several of which one has to match.
Patterns: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One rule: alerts that all of its conditions match, and where they go. ``None`` leaves the matter open.

    :param owner: shell pattern (``*``, ``?``, ``[ab]``; upper and lower case differ), or several of which one has to
        match. Matches if any owner of the DAG does.
    :param tag: the same, of the DAG's tags.
    :param dag_id: the same, of the DAG's id.
    :param severity: the lowest of :data:`SEVERITIES` that matches.
    :param room_id: the room to post to.
    :param chatwork_conn_id: id of the connection to post with.
    :param mentions: who is called, as :mod:`~airflow_provider_chatwork.alerts.mentions` reads it. Empty: nobody, whatever
        the notifier says.
    :param lang: ``ja`` or ``en``.
    :param send: ``False`` drops the alerts.
    :param name: what logs and errors call the rule.
    :raises ChatworkParameterError: naming the field that cannot be right.
    """

    owner: Patterns | None = None
    tag: Patterns | None = None
    dag_id: Patterns | None = None
    severity: str | None = None
    room_id: int | str | None = None
    chatwork_conn_id: str | None = None
    mentions: int | str | Sequence[int | str] | None = None
    lang: Literal["ja", "en"] | None = None
    send: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        with _within(f"Route ({self.name})" if isinstance(self.name, str) else ""):
            for field, value in _checked(vars(self)).items():
                object.__setattr__(self, field, value)

    def matches(self, *, dag_id: str, owners: str | Iterable[str], tags: str | Iterable[str], severity: str) -> bool:
        """Whether it is the rule for such an alert; see :meth:`RoutingTable.route`."""
        return (
            (self.severity is None or rank(severity) >= rank(self.severity))
            and _any_matches(self.dag_id, (dag_id,))
            and _any_matches(self.owner, owner_names(owners))
            and _any_matches(self.tag, (tags,) if isinstance(tags, str) else tuple(tags))
        )

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return {name: value for name, value in given.items() if value is not None and (name, value) != ("send", True)}


@dataclass(frozen=True, kw_only=True)
class RoutingTable:
    """Rules in the order they are asked, and when low severities are kept quiet.

    :param routes: the first that matches an alert counts. One that no alert can reach, as an earlier one matches all
        that it matches, is an error.
    :param quiet_hours: the same for all rules.
    :raises ChatworkParameterError: naming the rule that cannot be right.
    """

    routes: tuple[Route, ...] = ()
    quiet_hours: QuietHours | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.routes, (list, tuple)):
            raise ChatworkParameterError("routes", self.routes, "give a tuple of Route(...)")
        for index, route in enumerate(self.routes):
            if not isinstance(route, Route):
                raise ChatworkParameterError(f"routes[{index}]", route, "give a Route(...), or use from_json")
        if not isinstance(self.quiet_hours, (QuietHours, type(None))):
            raise ChatworkParameterError("quiet_hours", self.quiet_hours, "give QuietHours(...), or use from_json")
        object.__setattr__(self, "routes", tuple(self.routes))
        _refuse_unreachable(self.routes)

    def route(self, *, dag_id: str, owners: str | Iterable[str], tags: str | Iterable[str], severity: str) -> Route:
        """Find the rule for an alert; ``Route()``, which leaves everything open, where no rule matches.

        :param owners: the owners of the DAG, one by one or as Airflow joins them (``"yamada, sato"``).
        :param tags: the tags of the DAG.
        :param severity: one of :data:`SEVERITIES`.
        :raises ChatworkParameterError: if the severity is none of them.
        """
        validation.choice("severity", severity, SEVERITIES)
        # Read once, as they may come from an iterator.
        alert: dict[str, Any] = {"dag_id": dag_id, "severity": severity, "owners": owner_names(owners)}
        alert["tags"] = (tags,) if isinstance(tags, str) else tuple(tags)
        return next((route for route in self.routes if route.matches(**alert)), Route())

    @classmethod
    def from_json(cls, value: object, *, source: str) -> RoutingTable:
        """Read a table.

        :param value: a JSON text, or what it decodes to: the table as an object, or only its routes as a list.
        :param source: what errors call the table, such as ``routing``, or the name of the Variable.
        :raises ChatworkParameterError: naming the rule and field that cannot be right.
        """
        with _within(source):
            decoded = _decoded(value) if isinstance(value, str) else value
            table = {"routes": decoded} if isinstance(decoded, (list, tuple)) else _known(decoded, cls)
            routes = table.get("routes", [])
            if not isinstance(routes, (list, tuple)):
                raise ChatworkParameterError("routes", routes, "give a list of objects, one for each rule")
            hours = None
            if "quiet_hours" in table:
                with _within("quiet_hours"):
                    hours = QuietHours(**_known(table["quiet_hours"], QuietHours))
            return cls(routes=tuple(_route_from(item, index) for index, item in enumerate(routes)), quiet_hours=hours)

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON: ``from_json(table.to_json(), source=...) == table``."""
        plain: dict[str, Any] = {"routes": [route.to_json() for route in self.routes]}
        if self.quiet_hours is not None:
            plain["quiet_hours"] = self.quiet_hours.to_json()
        return plain


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Let an error say where the field is that it names."""
    try:
        yield
    except ChatworkParameterError as error:
        parameter = ".".join(filter(None, (where, error.parameter)))
        raise ChatworkParameterError(parameter, error.value, error.remedy) from error.__cause__


def _decoded(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ChatworkParameterError("", text, f"give JSON; this is none: {error}") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            # Python would keep the last one and say nothing.
            raise ChatworkParameterError("", key, "this key is there twice in one object; give it once")
        found[key] = value
    return found


def _known(value: object, kind: type[Route | RoutingTable | QuietHours]) -> dict[str, Any]:
    """The fields of an object, without those that are ``null``."""
    names = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping):
        raise ChatworkParameterError("", value, f"give an object with any of the keys {', '.join(names)}")
    for key in value:
        if key not in names:
            raise ChatworkParameterError(str(key), value[key], f"there is no such key; there are {', '.join(names)}")
    return {name: given for name, given in value.items() if given is not None}


def _route_from(value: object, index: int) -> Route:
    name = value.get("name") if isinstance(value, Mapping) else None
    with _within(_label(index, name)):
        # Checked before it is a Route, which would put a name of its own before the field's.
        return Route(**_checked(_known(value, Route)))


def _label(index: int, name: object) -> str:
    return f"routes[{index}]" + (f" ({name.strip()})" if isinstance(name, str) and name.strip() else "")


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a route that are given, in the form they are kept in."""
    checks = {
        **dict.fromkeys(("owner", "tag", "dag_id"), _patterns),
        "severity": lambda field, value: validation.choice(field, value, SEVERITIES),
        "room_id": validation.identifier,
        "chatwork_conn_id": _word,
        "mentions": lambda field, value: parse_mentions(value, parameter=field),
        "lang": lambda field, value: validation.choice(field, value, LANGUAGES),
        "send": _truth,
        "name": _word,
    }
    # Every field but `send` may be left open.
    needed = {field: value for field, value in given.items() if value is not None or field == "send"}
    return {field: checks[field](field, value) for field, value in needed.items()}


def _patterns(field: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _pattern(field, value)
    if not isinstance(value, (list, tuple)) or not value:
        raise ChatworkParameterError(field, value, "give a pattern such as etl_*, or a list of them, or leave it out")
    return tuple(_pattern(field, item) for item in value)


def _pattern(field: str, value: object) -> str:
    pattern = _word(field, value)
    if "," in pattern and field != "tag":
        # Neither an owner nor a DAG's id can hold one, so this would never match.
        raise ChatworkParameterError(field, value, "give several patterns as a list")
    return pattern


def _word(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ChatworkParameterError(field, value, "give a text, or leave it out")
    return value.strip()


def _truth(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ChatworkParameterError(field, value, "give true or false (in Python: True or False)")
    return value


def _any_matches(patterns: Patterns | None, texts: Iterable[str]) -> bool:
    return patterns is None or any(fnmatchcase(text, pattern) for text in texts for pattern in _several(patterns))


def _several(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _refuse_unreachable(routes: Sequence[Route]) -> None:
    for index, route in enumerate(routes):
        for before, earlier in enumerate(routes[:index]):
            if route.name is not None and route.name == earlier.name:
                raise ChatworkParameterError(
                    f"{_label(index, route.name)}.name", route.name, f"routes[{before}] has this name; give another"
                )
            if _covers(earlier, route):
                raise ChatworkParameterError(
                    _label(index, route.name),
                    route.to_json(),
                    f"it can never match, as {_label(before, earlier.name)} comes first and matches all that it "
                    "matches; put it before that rule, or take it out",
                )


def _covers(earlier: Route, later: Route) -> bool:
    """Whether it is certain that every alert that ``later`` matches is matched by ``earlier`` too."""
    return (
        rank(earlier.severity or SEVERITIES[0]) <= rank(later.severity or SEVERITIES[0])
        and _patterns_cover(earlier.owner, later.owner)
        and _patterns_cover(earlier.tag, later.tag)
        # Unlike owners and tags, there is always an id.
        and _patterns_cover(earlier.dag_id, "*" if later.dag_id is None else later.dag_id)
    )


def _patterns_cover(wide: Patterns | None, narrow: Patterns | None) -> bool:
    if wide is None:
        return True
    return narrow is not None and all(any(_covered(one, by) for by in _several(wide)) for one in _several(narrow))


def _covered(narrow: str, wide: str) -> bool:
    if wide in ("*", narrow):
        return True
    # A pattern read as if it were a plain text tells the truth only where each of its wildcards meets a `*`.
    plain = not set("*?[") & set(narrow)
    comparable = "[" not in narrow and not set("?[") & set(wide)
    return (plain or comparable) and fnmatchcase(narrow, wide)
