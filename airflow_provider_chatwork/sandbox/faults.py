"""Misbehaviour on order: what goes wrong with which requests, and how it looks to the client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from airflow_provider_chatwork.api.call import Response
from airflow_provider_chatwork.sandbox.routes import OPERATIONS

Kind = Literal["lost_reply", "timeout", "refuse", "status", "delay", "malformed", "cut"]
#: What may become of a connection instead of a whole answer.
Ending = Literal["whole", "lost", "timed_out", "refused", "cut"]
Shape = Literal["truncated", "html", "wrong_types", "empty"]


@dataclass(frozen=True, slots=True)
class Fault:
    """An order to add_fault.

    ========== ======== =====================================================================================
    kind       executed what the client sees
    ========== ======== =====================================================================================
    lost_reply yes      the connection ends without an answer
    timeout    ``executed``  no answer in time; on a port the answer comes ``seconds`` late (none, if not executed)
    refuse     no       no connection (on a port: it ends at once without an answer)
    status     ``executed``  ``status`` with ``body`` and ``headers``
    delay      yes      the right answer, ``seconds`` late
    malformed  yes      200 with a broken body: ``body``, or the right one spoilt as ``shape`` says
    cut        yes      half of the body, then the connection ends
    ========== ======== =====================================================================================

    :param kind: what goes wrong.
    :param operation: only requests of this operation (``post_message``).
    :param method: only requests with this HTTP method.
    :param path: only requests whose path, behind the version, this regular expression matches in full.
    :param times: how many matching requests fail, ``None`` for all from now on.
    :param after: how many matching requests are let through first.
    :param executed: whether ``status`` and ``timeout`` execute the request; by default only ``timeout`` does.
    :param seconds: how late ``delay`` and ``timeout`` are.
    :param status: the HTTP status of ``status``.
    :param body: for ``status`` and ``malformed``: text as it is, anything else as JSON.
    :param headers: for ``status``: these instead of the three ``x-ratelimit-`` headers; ``{}`` sends none of them.
    :param shape: how ``malformed`` spoils the body.
    """

    kind: Kind
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    times: int | None = 1
    after: int = 0
    executed: bool | None = None
    seconds: float = 30.0
    status: int = 500
    body: Any = None
    headers: Mapping[str, str] | None = None
    shape: Shape = "truncated"

    def __post_init__(self) -> None:
        """Refuse orders that could never match, which would make a test pass for the wrong reason."""
        _one_of("kind", self.kind, get_args(Kind))
        _one_of("shape", self.shape, get_args(Shape))
        if self.operation is not None:
            _one_of("operation", self.operation, OPERATIONS)
        re.compile(self.path or "")

    @property
    def executes(self) -> bool:
        """Whether the request is executed."""
        if self.kind in ("status", "timeout") and self.executed is not None:
            return self.executed
        return self.kind not in ("status", "refuse")

    def matches(self, operation: str | None, method: str, path: str) -> bool:
        """Return whether a request is meant."""
        return (
            self.operation in (None, operation)
            and (self.method or method).upper() == method
            and (self.path is None or re.fullmatch(self.path, path) is not None)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends: perhaps an answer, how late, and what becomes of the connection."""

    response: Response | None
    ending: Ending = "whole"
    delay: float = 0.0


@dataclass(slots=True)
class _Order:
    fault: Fault
    skip: int
    left: int | None


@dataclass(slots=True)
class Faults:
    """The orders that are still open, the oldest first."""

    _orders: list[_Order] = field(default_factory=list)

    def order(self, fault: Fault) -> None:
        """Take an order."""
        self._orders.append(_Order(fault, fault.after, fault.times))

    def open(self) -> list[Fault]:
        """Return the orders that have not been used up."""
        return [order.fault for order in self._orders]

    def clear(self) -> None:
        """Forget all orders."""
        self._orders.clear()

    def take(self, operation: str | None, method: str, path: str) -> Fault | None:
        """Return the fault for a request and use it up by one."""
        for order in self._orders:
            if not order.fault.matches(operation, method, path):
                continue
            if order.skip:
                order.skip -= 1
                continue
            if order.left is not None:
                order.left -= 1
                if not order.left:
                    self._orders.remove(order)
            return order.fault
        return None


def apply_fault(fault: Fault, response: Response | None, limit_headers: Mapping[str, str], date: str) -> Outcome:
    """Turn the right answer (``None`` when the request was not executed) into what the client gets to see."""
    if fault.kind == "lost_reply":
        return Outcome(None, "lost")
    if fault.kind == "refuse":
        return Outcome(None, "refused")
    if fault.kind == "timeout":
        return Outcome(response, "timed_out", fault.seconds)
    if fault.kind == "status":
        headers = {"date": date, **_content_type(fault.body)}
        headers.update(limit_headers if fault.headers is None else fault.headers)
        return Outcome(Response(fault.status, headers, _encoded(fault.body)))
    assert response is not None
    if fault.kind == "cut":
        return Outcome(response, "cut")
    if fault.kind == "delay":
        return Outcome(response, delay=fault.seconds)
    html = fault.shape == "html" and fault.body is None
    headers = {**response.headers, "content-type": "text/html" if html else "application/json; charset=utf-8"}
    return Outcome(Response(200, headers, _broken(fault, response.body)))


def _broken(fault: Fault, body: bytes) -> bytes:
    if fault.body is not None:
        return _encoded(fault.body)
    if fault.shape == "html":
        return b"<html><body><h1>Service maintenance</h1></body></html>"
    if fault.shape == "empty":
        return b""
    if fault.shape == "wrong_types":
        return json.dumps(_other_types(json.loads(body or b"[]"))).encode()
    return body[: len(body) // 2] or b'{"'


def _other_types(value: Any) -> Any:
    """Return JSON with the right names and wrong types everywhere."""
    if isinstance(value, dict):
        return {name: _other_types(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return {"items": value}
    return len(value) if isinstance(value, str) else str(value)


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()


def _content_type(body: Any) -> dict[str, str]:
    if body is None:
        return {}
    return {"content-type": "text/html; charset=utf-8" if isinstance(body, str) else "application/json; charset=utf-8"}


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")
