"""Maps method and path to operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_chatwork.sandbox.operations import account, files, messages, rooms, tasks
from airflow_provider_chatwork.sandbox.parameters import INVALID_ENDPOINT, HttpError
from airflow_provider_chatwork.sandbox.request_context import Answer


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and the ids of its path."""

    operation: str
    handler: Callable[..., Answer]
    ids: tuple[int, ...] = ()


_TABLE: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", "/me", account.get_me),
    ("GET", "/my/status", account.get_my_status),
    ("GET", "/my/tasks", account.get_my_tasks),
    ("GET", "/contacts", account.list_contacts),
    ("GET", "/rooms", rooms.list_rooms),
    ("POST", "/rooms", rooms.create_room),
    ("GET", "/rooms/{id}", rooms.get_room),
    ("PUT", "/rooms/{id}", rooms.update_room),
    ("DELETE", "/rooms/{id}", rooms.delete_room),
    ("GET", "/rooms/{id}/members", rooms.list_members),
    ("PUT", "/rooms/{id}/members", rooms.update_members),
    ("GET", "/rooms/{id}/messages", messages.list_messages),
    ("POST", "/rooms/{id}/messages", messages.post_message),
    ("PUT", "/rooms/{id}/messages/read", messages.mark_messages_read),
    ("PUT", "/rooms/{id}/messages/unread", messages.mark_messages_unread),
    ("GET", "/rooms/{id}/messages/{id}", messages.get_message),
    ("PUT", "/rooms/{id}/messages/{id}", messages.edit_message),
    ("DELETE", "/rooms/{id}/messages/{id}", messages.delete_message),
    ("GET", "/rooms/{id}/tasks", tasks.list_tasks),
    ("POST", "/rooms/{id}/tasks", tasks.create_task),
    ("GET", "/rooms/{id}/tasks/{id}", tasks.get_task),
    ("PUT", "/rooms/{id}/tasks/{id}/status", tasks.set_task_status),
    ("GET", "/rooms/{id}/files", files.list_files),
    ("POST", "/rooms/{id}/files", files.upload_file),
    ("GET", "/rooms/{id}/files/{id}", files.get_file),
    ("GET", "/rooms/{id}/link", rooms.get_invite_link),
    ("POST", "/rooms/{id}/link", rooms.create_invite_link),
    ("PUT", "/rooms/{id}/link", rooms.update_invite_link),
    ("DELETE", "/rooms/{id}/link", rooms.delete_invite_link),
    ("GET", "/incoming_requests", account.list_incoming_requests),
    ("PUT", "/incoming_requests/{id}", account.accept_incoming_request),
    ("DELETE", "/incoming_requests/{id}", account.reject_incoming_request),
)
#: Not in the reference, which has shorter paths, but used by the vendor's own tools.
_UNDOCUMENTED: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("PUT", "/incoming_requests/{id}/accept", account.accept_incoming_request),
    ("DELETE", "/incoming_requests/{id}/reject", account.reject_incoming_request),
)
_ROUTES = [
    (method, re.compile(path.replace("{id}", "([0-9]{1,20})")), handler)
    for method, path, handler in (*_TABLE, *_UNDOCUMENTED)
]

#: The names of all operations, in the vendor's order.
OPERATIONS = tuple(handler.__name__ for _, _, handler in _TABLE)


def find_route(method: str, path: str) -> Route:
    """Return the operation of a path without the version. An unknown path is a 404, a wrong method a 405."""
    matches = [(allowed, match, handler) for allowed, pattern, handler in _ROUTES if (match := pattern.fullmatch(path))]
    for allowed, match, handler in matches:
        if allowed == method:
            return Route(handler.__name__, handler, tuple(int(group) for group in match.groups()))
    if matches:
        raise HttpError(405, INVALID_ENDPOINT, headers={"allow": ", ".join(allowed for allowed, _, _ in matches)})
    raise HttpError(404, INVALID_ENDPOINT)
