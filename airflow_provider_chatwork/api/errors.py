"""Everything that can go wrong with Chatwork, as classes a caller can tell apart.

::

    ChatworkError
    ├── ChatworkParameterError            an argument is wrong; nothing was sent          (also a ValueError)
    ├── ChatworkNetworkError              no usable answer came back
    ├── ChatworkUnknownOutcomeError       a write may or may not have happened
    ├── ChatworkUnexpectedResponseError   an answer came back that this client cannot read
    └── ChatworkApiError                  Chatwork refused: status and its own words
        ├── ChatworkInvalidRequestError   400 and the other 4xx
        ├── ChatworkAuthError             401
        ├── ChatworkForbiddenError        403
        ├── ChatworkNotFoundError         404
        ├── ChatworkRateLimitError        429, with ``retry_after``
        └── ChatworkServerError           5xx

No message ever holds the API token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class ChatworkError(Exception):
    """The root of the tree."""


class ChatworkParameterError(ChatworkError, ValueError):
    """An argument cannot be right. Raised before anything is sent.

    :param parameter: the argument's name.
    :param value: what was given.
    :param remedy: what to give instead, as a sentence.
    """

    def __init__(self, parameter: str, value: object, remedy: str) -> None:
        super().__init__(parameter, value, remedy)
        self.parameter = parameter
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        shown = repr(self.value)
        if len(shown) > 100:
            shown = f"{shown[:100]}... ({len(shown)} characters)"
        return f"{self.parameter}={shown}: {self.remedy}"


class ChatworkNetworkError(ChatworkError):
    """The connection failed before a whole answer arrived.

    :param reason: what happened, without the token.
    :param sent: ``False`` where it is certain that Chatwork never got the request (refused, no route, no name, TLS).
    :param timed_out: ``True`` where waiting ended on our side, so that Chatwork may still act on the request.
    """

    def __init__(self, reason: str, sent: bool = True, timed_out: bool = False) -> None:
        super().__init__(reason, sent, timed_out)
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out

    def __str__(self) -> str:
        return f"Chatwork could not be reached: {self.reason}"


class ChatworkUnknownOutcomeError(ChatworkError):
    """A write was sent, its answer was lost, and what Chatwork shows does not decide whether it happened.

    The write is not repeated by itself, as that could do it twice. The ``__cause__`` says how the answer was lost.

    :param operation: the operation's name.
    :param reason: why it could not be decided.
    """

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.operation} was sent to Chatwork and its answer was lost; {self.reason}. "
            "It was not sent again, as it could then happen twice: look into the room before you repeat it."
        )


class ChatworkUnexpectedResponseError(ChatworkError):
    """Chatwork (or something between) answered with what this client cannot read.

    :param operation: the operation's name.
    :param status: the HTTP status.
    :param reason: what is wrong with the answer.
    """

    def __init__(self, operation: str, status: int, reason: str) -> None:
        super().__init__(operation, status, reason)
        self.operation = operation
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: unexpected answer (HTTP {self.status}): {self.reason}"


class ChatworkApiError(ChatworkError):
    """Chatwork refused.

    :param operation: the operation's name.
    :param status: the HTTP status.
    :param errors: Chatwork's own words, possibly none.
    """

    #: What to do about it, as a sentence.
    remedy = ""

    def __init__(self, operation: str, status: int, errors: Sequence[str] = ()) -> None:
        super().__init__(operation, status, tuple(errors))
        self.operation = operation
        self.status = status
        self.errors = tuple(errors)

    def __str__(self) -> str:
        said = "; ".join(self.errors).rstrip(".") or "no reason given"
        return f"{self.operation}: Chatwork answered {self.status}: {said}" + (
            f". {self.remedy}" if self.remedy else ""
        )


class ChatworkInvalidRequestError(ChatworkApiError):
    """400, and every other 4xx without a class of its own: the request as it stands will never be accepted."""

    remedy = "Chatwork does not take the request as it is: check its arguments, and the state of what it is about"


class ChatworkAuthError(ChatworkApiError):
    """401: the API token is wrong, was re-issued, or was withdrawn by an administrator."""

    remedy = "Check the password (the API token) of the connection; re-issuing a token ends the earlier ones"


class ChatworkForbiddenError(ChatworkApiError):
    """403: the account of the token may not do this, mostly because it is not in the room or only reads there."""

    remedy = "Check that the account of the token is in the room and may do this there"


class ChatworkNotFoundError(ChatworkApiError):
    """404: the room, message, task, file or request does not exist for this account.

    :param hidden_by_plan: whether Chatwork said that it exists or existed, but is hidden by the Free plan.
    """

    def __init__(self, operation: str, status: int, errors: Sequence[str] = (), hidden_by_plan: bool = False) -> None:
        super().__init__(operation, status, errors)
        self.args = (operation, status, tuple(errors), hidden_by_plan)
        self.hidden_by_plan = hidden_by_plan
        self.remedy = (
            "It is hidden by the limits of the Free plan"
            if hidden_by_plan
            else "Check the ids: it was deleted, never was, or is in a room that the account of the token is not in"
        )


class ChatworkRateLimitError(ChatworkApiError):
    """429: too many requests. The request was not executed.

    :param retry_after: seconds until it is worth trying again.
    :param per_room: whether it was the posting limit of the room (10 in 10 seconds) and not that of the account.
    """

    def __init__(
        self,
        operation: str,
        status: int,
        errors: Sequence[str] = (),
        retry_after: float = 60.0,
        per_room: bool = False,
    ) -> None:
        super().__init__(operation, status, errors)
        self.args = (operation, status, tuple(errors), retry_after, per_room)
        self.retry_after = retry_after
        self.per_room = per_room
        self.remedy = f"Try again in {retry_after:.0f} s"


class ChatworkServerError(ChatworkApiError):
    """5xx: Chatwork failed. Of a write it is not known whether it was executed."""


def to_plain(error: ChatworkError) -> dict[str, Any]:
    """Write an error as plain JSON, as it travels from the triggerer to a worker."""
    return {"class": type(error).__name__, "args": [_plain(arg) for arg in error.args]}


def from_plain(plain: Mapping[str, Any]) -> ChatworkError:
    """Read what :func:`to_plain` has written."""
    return _CLASSES[plain["class"]](*plain["args"])


def _plain(arg: object) -> object:
    if isinstance(arg, (list, tuple)):
        return [_plain(item) for item in arg]
    # The value of a wrong argument can be anything.
    return arg if arg is None or isinstance(arg, (str, int, float)) else repr(arg)


_CLASSES: Mapping[str, Callable[..., ChatworkError]] = {
    cls.__name__: cls
    for cls in (
        *(ChatworkParameterError, ChatworkNetworkError, ChatworkUnknownOutcomeError, ChatworkUnexpectedResponseError),
        *(ChatworkInvalidRequestError, ChatworkAuthError, ChatworkForbiddenError, ChatworkNotFoundError),
        *(ChatworkRateLimitError, ChatworkServerError),
    )
}
