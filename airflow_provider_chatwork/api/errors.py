"""The errors of this package.

::

    ChatworkError
    ├── ChatworkParameterError            an argument is wrong; nothing was sent          (also a ValueError)
    ├── ChatworkNetworkError              no usable answer came back
    │   └── ChatworkSetupError            ... and a person has to change the setup of this machine or of the connection
    ├── ChatworkUnknownOutcomeError       a write may or may not have happened
    ├── ChatworkUnexpectedResponseError   an answer came back that cannot be decoded
    └── ChatworkApiError                  Chatwork refused the request: status and error messages
        ├── ChatworkInvalidRequestError   400 and the other 4xx
        ├── ChatworkAuthError             401
        ├── ChatworkForbiddenError        403
        ├── ChatworkNotFoundError         404
        ├── ChatworkRateLimitError        429, with ``retry_after``
        └── ChatworkServerError           5xx

No error text contains the API token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class ChatworkError(Exception):
    """The base class of all errors of this package."""


class ChatworkParameterError(ChatworkError, ValueError):
    """An argument is invalid. Raised before anything is sent.

    :param parameter: the name of the argument.
    :param value: its value.
    :param remedy: what to give instead.
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
    """The connection failed before a whole answer arrived, or the answer is too large.

    :param reason: what happened, without the token.
    :param sent: ``False`` if no part of the request was sent, so Chatwork did not receive it.
    :param timed_out: ``True`` if this side stopped waiting, so Chatwork may still execute the request.
    """

    def __init__(self, reason: str, sent: bool = True, timed_out: bool = False) -> None:
        super().__init__(reason, sent, timed_out)
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out

    def __str__(self) -> str:
        return f"Chatwork could not be reached: {self.reason}"


class ChatworkSetupError(ChatworkNetworkError):
    """The proxy or the certificates of this machine do not work. Nothing was sent, and trying again does not help.

    :param reason: what happened, without the token.
    :param remedy: what to change.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, sent=False)
        self.args = (reason, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.remedy}"


class ChatworkUnknownOutcomeError(ChatworkError):
    """A write was sent, its answer was lost, and Chatwork does not show whether the write was executed.

    The write is not sent again, because it could then be executed twice. The ``__cause__`` is the lost answer.

    :param operation: the name of the operation.
    :param reason: why the outcome is unknown.
    """

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.operation} was sent to Chatwork and its answer was lost; {self.reason}. "
            "It was not sent again, because it could then be executed twice: look into the room before you repeat it."
        )


class ChatworkUnexpectedResponseError(ChatworkError):
    """An answer of Chatwork, or of a proxy, cannot be decoded.

    :param operation: the name of the operation.
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
    """Chatwork refused the request.

    :param operation: the name of the operation.
    :param status: the HTTP status.
    :param errors: the error messages of Chatwork; may be empty.
    """

    #: What to do about it.
    remedy = ""

    def __init__(self, operation: str, status: int, errors: Sequence[str] = ()) -> None:
        super().__init__(operation, status, tuple(errors))
        self.operation = operation
        self.status = status
        self.errors = tuple(errors)

    def __str__(self) -> str:
        messages = "; ".join(self.errors).rstrip(".") or "no reason given"
        return f"{self.operation}: Chatwork answered {self.status}: {messages}" + (
            f". {self.remedy}" if self.remedy else ""
        )


class ChatworkInvalidRequestError(ChatworkApiError):
    """400, and every 4xx without a class of its own: the same request will always be refused."""

    remedy = "Check the arguments of the request, and the state of the room, message or task"


class ChatworkAuthError(ChatworkApiError):
    """401: the API token is wrong, was re-issued, or was revoked by an administrator."""

    remedy = "Check the password (the API token) of the connection; re-issuing a token ends the earlier ones"


class ChatworkForbiddenError(ChatworkApiError):
    """403: the account has no permission. Often it is not in the room, or has the role readonly there."""

    remedy = "Check that the account of the token is in the room and has the permission"


class ChatworkNotFoundError(ChatworkApiError):
    """404: the room, message, task, file or request does not exist for this account.

    :param hidden_by_plan: whether the item is hidden by the limits of the Free plan.
    """

    def __init__(self, operation: str, status: int, errors: Sequence[str] = (), hidden_by_plan: bool = False) -> None:
        super().__init__(operation, status, errors)
        self.args = (operation, status, tuple(errors), hidden_by_plan)
        self.hidden_by_plan = hidden_by_plan
        self.remedy = (
            "It is hidden by the limits of the Free plan"
            if hidden_by_plan
            else "Check the ids: the item was deleted, never existed, or the account of the token is not in its room"
        )


class ChatworkRateLimitError(ChatworkApiError):
    """429: too many requests. The request was not executed.

    :param retry_after: seconds to wait before the next try.
    :param per_room: whether it is the posting limit of a room (10 in 10 seconds) and not the limit of the account.
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
    """5xx: Chatwork failed. A write may have been executed."""


def to_plain(error: ChatworkError) -> dict[str, Any]:
    """Convert an error to plain JSON, to send it from the triggerer to a worker."""
    return {"class": type(error).__name__, "args": [_plain(arg) for arg in error.args]}


def from_plain(plain: Mapping[str, Any]) -> ChatworkError:
    """Convert the result of :func:`to_plain` back to an error."""
    return _CLASSES[plain["class"]](*plain["args"])


def _plain(arg: object) -> object:
    if isinstance(arg, (list, tuple)):
        return [_plain(item) for item in arg]
    # The value of an invalid argument can have any type.
    return arg if arg is None or isinstance(arg, (str, int, float)) else repr(arg)


_CLASSES: Mapping[str, Callable[..., ChatworkError]] = {
    cls.__name__: cls
    for cls in (
        *(ChatworkParameterError, ChatworkNetworkError, ChatworkSetupError),
        *(ChatworkUnknownOutcomeError, ChatworkUnexpectedResponseError),
        *(ChatworkInvalidRequestError, ChatworkAuthError, ChatworkForbiddenError, ChatworkNotFoundError),
        *(ChatworkRateLimitError, ChatworkServerError),
    )
}
