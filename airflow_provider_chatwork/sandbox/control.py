"""The control endpoints: what tests and the page can tell a sandbox behind a port.

JSON in, JSON out, no token. With ``H='content-type: application/json'`` and ``S=http://127.0.0.1:8765/sandbox``::

    curl -H "$H" -d '{}' $S/reset
    curl -H "$H" -d '{"accounts": [{"name": "渡辺 真"}]}' $S/seed
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "body": "はい"}' $S/speak
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "message_id": "19...", "body": "了解"}' $S/reply
    curl -H "$H" -d '{"room_id": 400000101, "message_id": "19...", "body": "訂正"}' $S/edit
    curl -H "$H" -d '{"room_id": 400000101, "message_id": "19..."}' $S/delete
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "to_ids": [1001001], "body": "確認"}' $S/assign
    curl -H "$H" -d '{"room_id": 400000101, "task_id": 600001000}' $S/tick          # also: untick, delete_task
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001005}' $S/remove_member # also: add_member (role)
    curl -H "$H" -d '{"kind": "lost_reply", "operation": "post_message"}' $S/misbehave
    curl -H "$H" -d '{"kind": "status", "status": 429, "headers": {}, "times": 3}' $S/misbehave
    curl -H "$H" -d '{}' $S/behave                                                  # forget all faults
    curl -H "$H" -d '{"requests": 5, "window": 60, "posts": null}' $S/limits
    curl -H "$H" -d '{"token": "second-token", "account_id": 1001002}' $S/add_token
    curl $S/state > saved.json; curl -H "$H" -d @saved.json $S/restore
    curl $S/requests        # the log: method, path, operation, status, account_id, time, fault, query, form
    curl $S/acted           # {"post_message": 2}: what really changed something
    curl $S/faults          # orders that are still open
    curl -N $S/events       # a line for every change, as server-sent events

The fields are the arguments of the methods of :class:`~airflow_provider_chatwork.sandbox.sandbox.Sandbox` and
:class:`~airflow_provider_chatwork.sandbox.user_actions.People`, and of :class:`~airflow_provider_chatwork.sandbox.Fault` and
:class:`~airflow_provider_chatwork.sandbox.Limits`. Wrong fields are answered with 400, unknown rooms, accounts,
messages and tasks with 404, both as ``{"errors": [...]}``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_chatwork.sandbox.faults import Fault
from airflow_provider_chatwork.sandbox.rate_limits import Limits
from airflow_provider_chatwork.sandbox.routes import OPERATIONS
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "room_id": int,
    "account_id": int,
    "task_id": int,
    "message_id": str,
    "body": str,
    "to_ids": list,
    "limit": int,
    "limit_type": str,
    "role": str,
    "token": str,
}
_PEOPLE = (
    "speak",
    "reply",
    "edit",
    "delete",
    "assign",
    "tick",
    "untick",
    "delete_task",
    "add_member",
    "remove_member",
    "add_token",
)
_RESULTS = {"speak": "message_id", "reply": "message_id", "assign": "task_ids"}


class ControlError(Exception):
    """An order cannot be carried out: the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def order(sandbox: Sandbox, name: str, given: Any) -> dict[str, Any]:
    """Carry out ``POST /sandbox/{name}`` and return what to answer.

    :raises ControlError: the order is unknown or wrong.
    """
    if not isinstance(given, dict):
        raise ControlError(400, "Send a JSON object")
    try:
        if name in _PEOPLE:
            result = _call(getattr(sandbox, name), given)
            return {_RESULTS[name]: result} if name in _RESULTS else {}
        if name in _ORDERS:
            return _ORDERS[name](sandbox, given) or {}
    except LookupError as error:
        raise ControlError(404, str(error)) from error
    except (TypeError, ValueError) as error:
        raise ControlError(400, str(error)) from error
    raise ControlError(404, f"There is no order {name!r}; there are {', '.join(sorted([*_PEOPLE, *_ORDERS]))}")


def look(sandbox: Sandbox, name: str) -> Any:
    """Return what ``GET /sandbox/{name}`` answers.

    :raises ControlError: there is no such thing to see.
    """
    if name == "state":
        return sandbox.snapshot()
    if name == "requests":
        return [asdict(record) for record in sandbox.requests]
    if name == "acted":
        return {operation: times for operation in OPERATIONS if (times := sandbox.acted(operation))}
    if name == "faults":
        return [asdict(fault) for fault in sandbox.open_faults]
    raise ControlError(404, f"There is nothing at /sandbox/{name}")


def _call(method: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    bound = inspect.signature(method).bind(**given)
    for name, value in bound.arguments.items():
        expected = _TYPES[name]
        if not isinstance(value, expected) or isinstance(value, bool):
            raise TypeError(f"{name}={value!r}: must be {expected!r}")
    return method(**given)


def _limits(sandbox: Sandbox, given: dict[str, Any]) -> None:
    sandbox.limits = Limits(**given)


_ORDERS: Mapping[str, Callable[[Sandbox, dict[str, Any]], dict[str, Any] | None]] = {
    "reset": lambda sandbox, given: sandbox.reset(),
    "seed": lambda sandbox, given: sandbox.seed(given),
    "restore": lambda sandbox, given: sandbox.restore(given),
    "misbehave": lambda sandbox, given: sandbox.misbehave(Fault(**given)),
    "behave": lambda sandbox, given: sandbox.behave(),
    "limits": _limits,
}
