"""Faults: which requests fail, and what the client gets then."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from airflow_provider_chatwork.api.call import Response
from airflow_provider_chatwork.sandbox.routes import OPERATIONS

Kind = Literal["lost_reply", "timeout", "refuse", "status", "delay", "malformed", "cut"]
#: What happens to the connection.
Ending = Literal["whole", "lost", "timed_out", "refused", "cut"]
Shape = Literal["truncated", "html", "wrong_types", "empty"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that lets matching requests fail.

    ========== ======== =====================================================================================
    kind       executed what the client sees
    ========== ======== =====================================================================================
    lost_reply yes      the connection ends without a response
    timeout    (yes)    no response in time; on a port it comes ``seconds`` late (not at all if not executed)
    refuse     no       no connection; on a port it ends at once without a response
    status     (no)     ``status`` with ``body`` and ``headers``
    delay      yes      the right response, ``seconds`` late
    malformed  yes      200 with ``body``, or with the right body changed as in ``shape``
    cut        yes      half of the body, then the connection ends
    ========== ======== =====================================================================================

    :param kind: see the table.
    :param operation: only requests of this operation (``post_message``).
    :param method: only requests with this HTTP method.
    :param path: only requests whose whole path, without the version, matches this regular expression.
    :param times: how many matching requests fail, ``None`` for all from now on.
    :param after: how many matching requests succeed first.
    :param executed: whether ``status`` and ``timeout`` execute the request; the table has the default in brackets.
    :param seconds: the delay of ``delay`` and ``timeout``.
    :param status: the HTTP status of ``status``.
    :param body: for ``status`` and ``malformed``: a text, or a value that is sent as JSON.
    :param headers: for ``status``: replace the three ``x-ratelimit-`` headers.
    :param shape: how ``malformed`` changes the body.
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
        """Reject faults that can never match: a test would pass without its fault."""
        _require_choice("kind", self.kind, get_args(Kind))
        _require_choice("shape", self.shape, get_args(Shape))
        if self.operation is not None:
            _require_choice("operation", self.operation, OPERATIONS)
        re.compile(self.path or "")

    @property
    def executes(self) -> bool:
        """Whether the request is executed."""
        if self.kind in ("status", "timeout") and self.executed is not None:
            return self.executed
        return self.kind not in ("status", "refuse")

    def matches(self, operation: str | None, method: str, path: str) -> bool:
        """Return whether the fault applies to a request."""
        return (
            self.operation in (None, operation)
            and (self.method or method).upper() == method
            and (self.path is None or re.fullmatch(self.path, path) is not None)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends: the response if there is one, its delay, and what happens to the connection."""

    response: Response | None
    ending: Ending = "whole"
    delay: float = 0.0


@dataclass(slots=True)
class ActiveFault:
    """A fault that is not used up: how many matching requests succeed first, and how many fail then."""

    fault: Fault
    skip: int
    remaining: int | None


def take_fault(faults: list[ActiveFault], operation: str | None, method: str, path: str) -> Fault | None:
    """Return the first fault that applies to a request, and count it as used."""
    for active in faults:
        if not active.fault.matches(operation, method, path):
            continue
        if active.skip:
            active.skip -= 1
            continue
        if active.remaining is not None:
            active.remaining -= 1
            if not active.remaining:
                faults.remove(active)
        return active.fault
    return None


def apply_fault(fault: Fault, response: Response | None, limit_headers: Mapping[str, str], date: str) -> Outcome:
    """Return what the client gets instead of the right response (``None`` if the request was not executed)."""
    if fault.kind == "lost_reply":
        return Outcome(None, "lost")
    if fault.kind == "refuse":
        return Outcome(None, "refused")
    if fault.kind == "timeout":
        return Outcome(response, "timed_out", fault.seconds)
    if fault.kind == "status":
        headers = {"date": date}
        if fault.body is not None:
            headers["content-type"] = _content_type(html=isinstance(fault.body, str))
        headers.update(limit_headers if fault.headers is None else fault.headers)
        return Outcome(Response(fault.status, headers, _encode_body(fault.body)))
    assert response is not None
    if fault.kind == "cut":
        return Outcome(response, "cut")
    if fault.kind == "delay":
        return Outcome(response, delay=fault.seconds)
    headers = {**response.headers, "content-type": _content_type(html=fault.shape == "html" and fault.body is None)}
    return Outcome(Response(200, headers, _malformed_body(fault, response.body)))


def _malformed_body(fault: Fault, body: bytes) -> bytes:
    if fault.body is not None:
        return _encode_body(fault.body)
    if fault.shape == "html":
        return b"<html><body><h1>Service maintenance</h1></body></html>"
    if fault.shape == "empty":
        return b""
    if fault.shape == "wrong_types":
        return json.dumps(_with_wrong_types(json.loads(body or b"[]"))).encode()
    return body[: len(body) // 2] or b'{"'


def _with_wrong_types(value: Any) -> Any:
    """Return JSON with the same names and other types."""
    if isinstance(value, dict):
        return {name: _with_wrong_types(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return {"items": value}
    return len(value) if isinstance(value, str) else str(value)


def _content_type(html: bool) -> str:
    return f"{'text/html' if html else 'application/json'}; charset=utf-8"


def _encode_body(body: Any) -> bytes:
    if body is None or isinstance(body, str):
        return (body or "").encode()
    return json.dumps(body, ensure_ascii=False).encode()


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")
