"""How the sandbox says no."""

from __future__ import annotations

from collections.abc import Mapping

#: The one text Chatwork's clients know for a wrong path, a wrong method and a malformed id.
INVALID_ENDPOINT = "Invalid Endpoint or HTTP method"
NO_PERMISSION_TO_POST = "You don't have permission to send/edit message."
ROOM_LIMIT_EXCEEDED = "Rate limit for message posting per room exceeded."


class HttpError(Exception):
    """An operation ends here, with this status and these words.

    :param status: the HTTP status.
    :param errors: the texts of ``{"errors": [...]}``.
    :param headers: headers that go with them.
    """

    def __init__(self, status: int, *errors: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = errors
        self.headers = dict(headers or {})


def required(name: str) -> HttpError:
    """Return the 400 for a parameter that is not there."""
    return HttpError(400, f"Parameter '{name}' is required")


def invalid(name: str, rule: str) -> HttpError:
    """Return the 400 for a parameter that breaks a rule; ``rule`` ends the sentence "Parameter 'x' ..."."""
    return HttpError(400, f"Parameter '{name}' {rule}")


def not_found(what: str) -> HttpError:
    """Return the 404 for a message, task, file or request that is not in the room (or not there at all)."""
    return HttpError(404, f"{what} not found")


def forbidden(what: str) -> HttpError:
    """Return the 403 of a room; ``what`` ends the sentence "You don't have permission to ..."."""
    return HttpError(403, f"You don't have permission to {what}.")
