"""The types between an operation and HTTP.

An operation (a function in ``api/rooms.py``, ``api/messages.py`` ...) returns a :class:`Call`. ``api/http.py`` encodes
its :class:`Request` as an :class:`HttpRequest`, a transport returns a :class:`Response`, ``api/http.py`` decodes it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar

from airflow_provider_chatwork.api.errors import ChatworkApiError

T = TypeVar("T")

#: A generator that yields calls, is sent their results (or thrown their errors) and returns a ``T``. A client runs it:
#: :meth:`~airflow_provider_chatwork.client.Client.run_flow`.
CallFlow: TypeAlias = Generator["Call[Any]", Any, T]
#: Looks in Chatwork for what a call without an answer may have done. Returns the possible results, oldest first.
Lookup: TypeAlias = CallFlow[Sequence[T]]


@dataclass(frozen=True, slots=True)
class Upload:
    """The file part of a multipart request. ``filename`` is the name shown in Chatwork."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """A request without host, token and encoding.

    ``path`` starts after the API version (``/rooms/1/messages``). ``query`` and ``form`` are not percent-encoded.
    ``form`` is ``None`` for a request without a body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    upload: Upload | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An encoded HTTP request. Header names are in lower case; the API token is one of the headers.

    ``timeout`` limits the seconds of the whole exchange: connecting, sending, and reading the answer.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One operation with its arguments.

    :param operation: the operation's name, for error texts (``post_message``).
    :param request: what to send.
    :param read: turns the decoded JSON of a success (``None`` for an empty body) into the result. Raises
        :class:`ValueError` for JSON of another form.
    :param repeatable: whether sending the request twice has the effect of sending it once. Other calls are sent again
        only after an error that proves that Chatwork did not execute the request.
    :param find_executed: for a call that is not repeatable: builds the :data:`Lookup` of its results from a Unix time
        (by Chatwork's clock) before which it was not sent, and the account id of the token. ``None`` where Chatwork
        shows nothing to look for.
    :param has_unique_id: for a call with ``find_executed``: whether its result has an id, so that the results of
        earlier calls can be told from it.
    :param confirm_already_done: for a repeatable call whose repetition Chatwork refuses (the message is already
        deleted): builds from the refusal the :data:`Lookup` of the result of an earlier try. It runs only where an
        earlier try may have been executed.
    :param check: raises :class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` for an argument that is
        invalid at the given Unix time (a deadline in the past). It runs right before sending.
    :param empty_list_only_on_204: see :func:`strict_empty_list`.
    """

    operation: str
    request: Request
    read: Callable[[Any], T]
    repeatable: bool = True
    find_executed: Callable[[float, int], Lookup[T]] | None = None
    has_unique_id: bool = True
    confirm_already_done: Callable[[ChatworkApiError], Lookup[T]] | None = None
    check: Callable[[float], None] | None = None
    empty_list_only_on_204: bool = False


def strict_empty_list(call: Call[T]) -> Call[T]:
    """The same list call, but an empty body means an empty list only with status 204.

    For callers that draw conclusions from what is missing in the list: a body lost on the way becomes an error.
    """
    return replace(call, empty_list_only_on_204=True)
