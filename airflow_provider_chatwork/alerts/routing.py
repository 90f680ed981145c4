"""The routing table: rules that decide where alerts are sent. It is validated as a whole when it is created.

In Python::

    RoutingTable(
        routes=(
            Route(name="night batch", dag_id="nightly_*", severity="error", room_id=123, mentions=("owner",)),
            Route(tag="experiment", send=False),
        ),
        quiet_hours=QuietHours(start="22:00", end="07:00", days_off=("sat", "sun")),
    )

The same as JSON, for a Variable or the extra of a connection; a list alone is read as the routes::

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
from typing import Any, Final, Literal, TypeAlias

from airflow_provider_chatwork.alerts.mentions import owner_names, parse_mentions
from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.business_hours import QuietHours

__all__ = ["DEFAULT_ROUTE", "LANGUAGES", "SEVERITIES", "QuietHours", "Route", "RoutingTable"]

LANGUAGES = validation.LANGUAGES
#: In ascending order.
SEVERITIES: Final = ("info", "warning", "error", "critical")

#: One shell pattern, or several of which at least one has to match.
Patterns: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One rule: conditions, all of which an alert has to match, and where the alert is sent. ``None`` sets nothing.

    :param owner: a shell pattern (``*``, ``?``, ``[ab]``; case-sensitive), or several of which at least one has to
        match. One owner of the DAG has to match it.
    :param tag: the same for the tags of the DAG.
    :param dag_id: the same for the id of the DAG.
    :param severity: the lowest of :data:`SEVERITIES` that matches.
    :param room_id: the room to post to.
    :param chatwork_conn_id: id of the connection to post with.
    :param mentions: whom to mention, as in :mod:`~airflow_provider_chatwork.alerts.mentions`. Empty: nobody, even if
        the notifier mentions somebody.
    :param lang: ``ja`` or ``en``.
    :param send: ``False`` to send no alert.
    :param name: the name of the rule in logs and errors.
    :raises ChatworkParameterError: naming the invalid field.
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
        with _prefix_errors(f"Route ({self.name})" if isinstance(self.name, str) else ""):
            for field, value in _validated(vars(self)).items():
                object.__setattr__(self, field, value)

    def matches(self, *, dag_id: str, owners: str | Iterable[str], tags: str | Iterable[str], severity: str) -> bool:
        """Whether an alert matches all conditions; see :meth:`RoutingTable.route`."""
        return (
            (self.severity is None or SEVERITIES.index(severity) >= SEVERITIES.index(self.severity))
            and _any_matches(self.dag_id, (dag_id,))
            and _any_matches(self.owner, owner_names(owners))
            and _any_matches(self.tag, (tags,) if isinstance(tags, str) else tuple(tags))
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as plain JSON."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return {name: value for name, value in given.items() if value is not None and (name, value) != ("send", True)}


@dataclass(frozen=True, kw_only=True)
class RoutingTable:
    """Rules in the order in which they are tried, and quiet hours for low severities.

    :param routes: the first rule that matches an alert applies.
    :param quiet_hours: the quiet hours for all rules.
    :raises ChatworkParameterError: naming the invalid rule.
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
        names: dict[str, int] = {}
        for index, route in enumerate(self.routes):
            if route.name is not None and names.setdefault(route.name, index) != index:
                raise ChatworkParameterError(
                    f"{_label(index, route.name)}.name",
                    route.name,
                    f"routes[{names[route.name]}] has this name; give another",
                )

    def route(self, *, dag_id: str, owners: str | Iterable[str], tags: str | Iterable[str], severity: str) -> Route:
        """Return the first rule that matches an alert; :data:`DEFAULT_ROUTE` if there is none.

        :param owners: the owners of the DAG, as a list or as Airflow joins them (``"yamada, sato"``).
        :param tags: the tags of the DAG.
        :param severity: one of :data:`SEVERITIES`.
        :raises ChatworkParameterError: if the severity is invalid.
        """
        validation.choice("severity", severity, SEVERITIES)
        # Iterators can be read only once.
        alert: dict[str, Any] = {"dag_id": dag_id, "severity": severity, "owners": owner_names(owners)}
        alert["tags"] = (tags,) if isinstance(tags, str) else tuple(tags)
        return next((route for route in self.routes if route.matches(**alert)), DEFAULT_ROUTE)

    @classmethod
    def from_json(cls, value: object, *, source: str) -> RoutingTable:
        """Read a table.

        :param value: a JSON text, or the decoded JSON: the table as an object, or only its routes as a list.
        :param source: the name of the table in errors.
        :raises ChatworkParameterError: naming the invalid rule and field.
        """
        with _prefix_errors(source):
            decoded = _parse_json(value) if isinstance(value, str) else value
            table = {"routes": decoded} if isinstance(decoded, (list, tuple)) else _fields(decoded, cls)
            routes = table.get("routes", [])
            if not isinstance(routes, (list, tuple)):
                raise ChatworkParameterError("routes", routes, "give a list of objects, one for each rule")
            hours = None
            if "quiet_hours" in table:
                with _prefix_errors("quiet_hours"):
                    hours = QuietHours(**_fields(table["quiet_hours"], QuietHours))
            return cls(routes=tuple(_parse_route(item, index) for index, item in enumerate(routes)), quiet_hours=hours)

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain JSON: ``from_json(table.to_json(), source=...) == table``."""
        plain: dict[str, Any] = {"routes": [route.to_json() for route in self.routes]}
        if self.quiet_hours is not None:
            plain["quiet_hours"] = self.quiet_hours.to_json()
        return plain


@contextmanager
def _prefix_errors(where: str) -> Iterator[None]:
    """Put the place of a field in front of its name in errors."""
    try:
        yield
    except ChatworkParameterError as error:
        parameter = ".".join(filter(None, (where, error.parameter)))
        raise ChatworkParameterError(parameter, error.value, error.remedy) from error.__cause__


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ChatworkParameterError("", text, f"give JSON; this is none: {error}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            # `json.loads` would keep the last one silently.
            raise ChatworkParameterError("", key, "this key is there twice in one object; give it once")
        found[key] = value
    return found


def _fields(value: object, kind: type[Route | RoutingTable | QuietHours]) -> dict[str, Any]:
    """Return the fields of an object that are not ``null``."""
    names = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping):
        raise ChatworkParameterError("", value, f"give an object with any of the keys {', '.join(names)}")
    for key in value:
        if key not in names:
            raise ChatworkParameterError(str(key), value[key], f"there is no such key; there are {', '.join(names)}")
    return {name: given for name, given in value.items() if given is not None}


def _parse_route(value: object, index: int) -> Route:
    name = value.get("name") if isinstance(value, Mapping) else None
    with _prefix_errors(_label(index, name)):
        # Validated here, as the errors of `Route` would begin with the name of the rule once more.
        return Route(**_validated(_fields(value, Route)))


def _label(index: int, name: object) -> str:
    return f"routes[{index}]" + (f" ({name.strip()})" if isinstance(name, str) and name.strip() else "")


def _validated(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given fields of a route, normalized."""
    checks = {
        **dict.fromkeys(("owner", "tag", "dag_id"), _patterns),
        "severity": lambda field, value: validation.choice(field, value, SEVERITIES),
        "room_id": validation.identifier,
        "chatwork_conn_id": _text,
        "mentions": lambda field, value: parse_mentions(value, parameter=field),
        "lang": lambda field, value: validation.choice(field, value, LANGUAGES),
        "send": _boolean,
        "name": _text,
    }
    # Only `send` may not be null.
    set_fields = {field: value for field, value in given.items() if value is not None or field == "send"}
    return {field: checks[field](field, value) for field, value in set_fields.items()}


def _patterns(field: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _pattern(field, value)
    if not isinstance(value, (list, tuple)) or not value:
        raise ChatworkParameterError(field, value, "give a pattern such as etl_*, or a list of them, or leave it out")
    return tuple(_pattern(field, item) for item in value)


def _pattern(field: str, value: object) -> str:
    pattern = _text(field, value)
    if "," in pattern and field != "tag":
        # Owners and DAG ids contain no commas, so this would never match.
        raise ChatworkParameterError(field, value, "give several patterns as a list")
    return pattern


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ChatworkParameterError(field, value, "give a text, or leave it out")
    return value.strip()


def _boolean(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ChatworkParameterError(field, value, "give true or false (in Python: True or False)")
    return value


def _any_matches(patterns: Patterns | None, texts: Iterable[str]) -> bool:
    return patterns is None or any(fnmatchcase(text, pattern) for text in texts for pattern in _as_tuple(patterns))


def _as_tuple(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


#: The rule that sets nothing.
DEFAULT_ROUTE: Final = Route()
