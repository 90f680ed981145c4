"""Turns decoded JSON into the types of ``models.py``, strict where it matters and nowhere else.

A field marked ``NEEDED`` must be there and be of its type, as later calls are built on it. All other fields are passed
on as they came: a profile without a phone number, an unknown role or a new field must not stop anybody's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")

#: Marks a field the client cannot do without.
NEEDED = "needed"


def one(model: type[T]) -> Callable[[object], T]:
    """Read one object of ``model``."""
    return lambda value: _read(model, value, model.__name__)


def many(model: type[T]) -> Callable[[object], list[T]]:
    """Read a list of ``model``. Chatwork answers 204 without a body where the list is empty."""

    def read(value: object) -> list[T]:
        if value is None:
            return []
        return _read(list[model], value, f"list of {model.__name__}")  # type: ignore[no-any-return, valid-type]

    return read


def nothing(value: object) -> None:
    """Read an answer that says no more than that it was done."""


@cache
def _needed_fields(model: type[Any]) -> Mapping[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {
        name: get_args(hint)[0]
        for name, hint in hints.items()
        if get_origin(hint) is Annotated and NEEDED in get_args(hint)[1:]
    }


def _read(kind: Any, value: object, where: str) -> Any:
    if is_typeddict(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_kind_of(value)}, not an object")
        result = dict(value)
        for name, field_kind in _needed_fields(kind).items():
            if name not in value:
                raise ValueError(f"{where}.{name} is missing")
            result[name] = _read(field_kind, value[name], f"{where}.{name}")
        return result
    if get_origin(kind) is list:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_kind_of(value)}, not a list")
        (item_kind,) = get_args(kind)
        return [_read(item_kind, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if kind is int and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    # A message id outgrows a float, so it is text; some descriptions of the API still show a number.
    if kind is str and where.endswith("message_id") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if type(value) is not kind:
        raise ValueError(f"{where} is {_kind_of(value)}, not {kind.__name__}")
    return value


def _kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__
