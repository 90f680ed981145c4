"""The values that travel between an operation and the wire.

An operation (``api/rooms.py`` and its neighbours) returns a :class:`Call`. ``api/wire.py`` turns its :class:`Request`
into an :class:`HttpRequest`, a transport answers with a :class:`Response`, and ``api/wire.py`` reads that again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar

from airflow_provider_chatwork.api.errors import ChatworkApiError

T = TypeVar("T")

#: Looks for the trace of a call whose answer was lost: yields the reading calls it needs, is sent their results, and
#: returns what the lost answer may have said, oldest first; nothing at all where the call left no trace.
Search: TypeAlias = Generator["Call[Any]", Any, Sequence[T]]


@dataclass(frozen=True, slots=True)
class Upload:
    """The file part of a multipart request: its name as people will see it, its bytes, its media type."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """What an operation asks for, free of host, token and encoding.

    ``path`` starts behind the version (``/rooms/1/messages``). ``query`` and ``form`` hold text that is not yet
    percent-encoded; ``form`` is ``None`` where the operation sends no body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    upload: Upload | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Exactly what goes over the wire. Header names are in lower case; the token is one of the headers.

    ``timeout`` is how many seconds a transport lets Chatwork be silent.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class Response:
    """Exactly what came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One operation with its arguments: what to send, how to read the answer, what to do when no answer comes.

    :param operation: the operation's name, for messages to people (``post_message``).
    :param request: what to send.
    :param read: turns the decoded JSON of a success (``None`` for an empty body) into the result; raises
        :class:`ValueError` where it cannot.
    :param repeatable: whether sending it twice leaves Chatwork as sending it once would. A call that is not is
        repeated only where it is certain that the first one was not executed.
    :param find: for a call that is not repeatable: given a Unix time by Chatwork's clock before which it cannot have
        happened and the account id of the token, the :data:`Search` for its trace. ``None`` where Chatwork shows none.
    :param numbered: for a call with ``find``: whether what it creates has an id of its own, by which the search can
        leave out what earlier calls created.
    :param settle: for a repeatable call whose *repetition* Chatwork refuses (deleted already, read already): given
        the refusal, the :data:`Search` that tells whether an earlier try got through. Asked only where one may have.
    :param check: raises :class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` where, at the given
        Unix time, an argument cannot be right (a deadline in the past). Asked right before sending.
    :param only_204: whether an answer without a body is an empty list only where it is a 204; see :func:`surely`.
    """

    operation: str
    request: Request
    read: Callable[[Any], T]
    repeatable: bool = True
    find: Callable[[float, int], Search[T]] | None = None
    numbered: bool = True
    settle: Callable[[ChatworkApiError], Search[T]] | None = None
    check: Callable[[float], None] | None = None
    only_204: bool = False


def surely(call: Call[T]) -> Call[T]:
    """The same reading call, for a caller who concludes something from what is *not* in the list.

    It does not take a body that got lost on the way for an empty list.
    """
    return replace(call, only_204=True)
