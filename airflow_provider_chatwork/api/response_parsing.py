"""Check decoded JSON against the types of ``models.py``.

A field marked ``REQUIRED`` must be present and have its type, because later calls need it. All other fields are passed
on unchecked: a missing phone number, an unknown role or a new field must not fail a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")

#: Marks a field that must be present.
REQUIRED = "required"


def parse_object(model: type[T]) -> Callable[[object], T]:
    """Return a function that parses one object of ``model``."""
    return partial(_parse, model, model.__name__)


def parse_list(model: type[T]) -> Callable[[object], list[T]]:
    """Return a function that parses a list of ``model``. No body (``None``) is an empty list."""

    def read(value: object) -> list[T]:
        if value is None:
            return []
        return _parse(list[model], f"list of {model.__name__}", value)  # type: ignore[no-any-return, valid-type]

    return read


def parse_none(value: object) -> None:
    """Ignore the content of an answer."""


@cache
def _required_fields(model: type[Any]) -> Mapping[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {
        name: get_args(hint)[0]
        for name, hint in hints.items()
        if get_origin(hint) is Annotated and REQUIRED in get_args(hint)[1:]
    }


def _parse(kind: Any, where: str, value: object) -> Any:
    if is_typeddict(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_kind_of(value)}, not an object")
        result = dict(value)
        for name, field_kind in _required_fields(kind).items():
            if name not in value:
                raise ValueError(f"{where}.{name} is missing")
            result[name] = _parse(field_kind, f"{where}.{name}", value[name])
        return result
    if get_origin(kind) is list:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_kind_of(value)}, not a list")
        (item_kind,) = get_args(kind)
        return [_parse(item_kind, f"{where}[{index}]", item) for index, item in enumerate(value)]
    if kind is int and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    # A message id is text, because a float cannot hold it. Some pages of the API reference still show a number.
    if kind is str and where.endswith("message_id") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if type(value) is not kind:
        raise ValueError(f"{where} is {_kind_of(value)}, not {kind.__name__}")
    return value


def _kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__
