"""Myself, my status, my tasks; contacts and those who ask to become one."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.http_errors import not_found
from airflow_provider_chatwork.sandbox.request_context import Answer, Visit, capped
from airflow_provider_chatwork.sandbox.serializers import open_tasks, unread_counts
from airflow_provider_chatwork.sandbox.store import ContactRequest

STATUSES = ("open", "done")


def get_me(visit: Visit) -> Answer:
    """``GET /me``."""
    return visit.shapes.me(visit.account_id)


def get_my_status(visit: Visit) -> Answer:
    """``GET /my/status``: the sums of what ``GET /rooms`` tells room by room."""
    rooms = visit.world.rooms_of(visit.account_id)
    counts = [
        {**unread_counts(room, visit.account_id), "mytask_num": len(open_tasks(room, visit.account_id))}
        for room in rooms
    ]
    kinds = ("unread", "mention", "mytask")
    return {
        **{f"{kind}_room_num": sum(1 for count in counts if count[f"{kind}_num"]) for kind in kinds},
        **{f"{kind}_num": sum(count[f"{kind}_num"] for count in counts) for kind in kinds},
    }


def get_my_tasks(visit: Visit) -> Answer:
    """``GET /my/tasks``."""
    assigned_by = visit.query.number("assigned_by_account_id")
    status = visit.query.choice("status", STATUSES) or "open"
    found = [
        (task, room)
        for room in visit.world.rooms_of(visit.account_id)
        for task in room.tasks.values()
        if task.account_id == visit.account_id
        and task.status == status
        and assigned_by in (None, task.assigned_by_account_id)
    ]
    found.sort(key=lambda pair: pair[0].task_id)
    return capped([visit.shapes.my_task(task, room, visit.account_id) for task, room in found])


def list_contacts(visit: Visit) -> Answer:
    """``GET /contacts``."""
    contacts = visit.world.contacts.get(visit.account_id, {})
    return [visit.shapes.contact(account_id, room_id) for account_id, room_id in contacts.items()] or None


def list_incoming_requests(visit: Visit) -> Answer:
    """``GET /incoming_requests``."""
    mine = (request for request in visit.world.requests.values() if request.to_account_id == visit.account_id)
    return capped([visit.shapes.request(request) for request in mine])


def accept_incoming_request(visit: Visit, request_id: int) -> Answer:
    """``PUT /incoming_requests/{request_id}``: the two become contacts and get a direct chat."""
    request = _my_request(visit, request_id)
    del visit.world.requests[request_id]
    room = visit.happen.befriend(visit.account_id, request.account_id)
    return visit.shapes.contact(request.account_id, room.room_id)


def reject_incoming_request(visit: Visit, request_id: int) -> Answer:
    """``DELETE /incoming_requests/{request_id}``."""
    _my_request(visit, request_id)
    del visit.world.requests[request_id]
    visit.world.touch()
    return None


def _my_request(visit: Visit, request_id: int) -> ContactRequest:
    request = visit.world.requests.get(request_id)
    if request is None or request.to_account_id != visit.account_id:
        raise not_found("Incoming request")
    return request
