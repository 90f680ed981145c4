"""Error responses of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

#: Chatwork's text for a wrong path, a wrong method and a malformed id.
INVALID_ENDPOINT = "Invalid Endpoint or HTTP method"
NO_PERMISSION_TO_POST = "You don't have permission to send/edit message."
ROOM_LIMIT_EXCEEDED = "Rate limit for message posting per room exceeded."


class HttpError(Exception):
    """Ends an operation with an error response.

    :param status: the HTTP status.
    :param errors: the texts of ``{"errors": [...]}``.
    :param headers: further response headers.
    """

    def __init__(self, status: int, *errors: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = errors
        self.headers = dict(headers or {})


def required(name: str) -> HttpError:
    """Return the 400 for a missing parameter."""
    return HttpError(400, f"Parameter '{name}' is required")


def invalid(name: str, rule: str) -> HttpError:
    """Return the 400 for an invalid parameter; ``rule`` ends the sentence "Parameter 'x' ..."."""
    return HttpError(400, f"Parameter '{name}' {rule}")


def not_found(kind: str) -> HttpError:
    """Return the 404 for a message, task, file or contact request that does not exist."""
    return HttpError(404, f"{kind} not found")


def forbidden(action: str) -> HttpError:
    """Return a 403; ``action`` ends the sentence "You don't have permission to ..."."""
    return HttpError(403, f"You don't have permission to {action}.")
