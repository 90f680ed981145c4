"""Own account, status and tasks; contacts and contact requests."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.parameters import not_found
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext, capped
from airflow_provider_chatwork.sandbox.serializers import open_tasks, unread_counts
from airflow_provider_chatwork.sandbox.store import ContactRequest

STATUSES = ("open", "done")


def get_me(context: RequestContext) -> Answer:
    """``GET /me``."""
    return context.serializer.me(context.account_id)


def get_my_status(context: RequestContext) -> Answer:
    """``GET /my/status``: the sums of the counts in ``GET /rooms``."""
    rooms = context.store.rooms_of(context.account_id)
    counts = [
        {**unread_counts(room, context.account_id), "mytask_num": len(open_tasks(room, context.account_id))}
        for room in rooms
    ]
    kinds = ("unread", "mention", "mytask")
    return {
        **{f"{kind}_room_num": sum(1 for count in counts if count[f"{kind}_num"]) for kind in kinds},
        **{f"{kind}_num": sum(count[f"{kind}_num"] for count in counts) for kind in kinds},
    }


def get_my_tasks(context: RequestContext) -> Answer:
    """``GET /my/tasks``."""
    assigned_by = context.query.number("assigned_by_account_id")
    status = context.query.choice("status", STATUSES) or "open"
    tasks = [
        (task, room)
        for room in context.store.rooms_of(context.account_id)
        for task in room.tasks.values()
        if task.account_id == context.account_id
        and task.status == status
        and assigned_by in (None, task.assigned_by_account_id)
    ]
    tasks.sort(key=lambda pair: pair[0].task_id)
    return capped([context.serializer.my_task(task, room, context.account_id) for task, room in tasks])


def list_contacts(context: RequestContext) -> Answer:
    """``GET /contacts``."""
    contacts = context.store.contacts.get(context.account_id, {})
    return [context.serializer.contact(account_id, room_id) for account_id, room_id in contacts.items()] or None


def list_incoming_requests(context: RequestContext) -> Answer:
    """``GET /incoming_requests``."""
    requests = (request for request in context.store.requests.values() if request.to_account_id == context.account_id)
    return capped([context.serializer.request(request) for request in requests])


def accept_incoming_request(context: RequestContext, request_id: int) -> Answer:
    """``PUT /incoming_requests/{request_id}``: adds the contact and a direct chat."""
    request = _my_request(context, request_id)
    del context.store.requests[request_id]
    room = context.changes.add_contact(context.account_id, request.account_id)
    return context.serializer.contact(request.account_id, room.room_id)


def reject_incoming_request(context: RequestContext, request_id: int) -> Answer:
    """``DELETE /incoming_requests/{request_id}``."""
    _my_request(context, request_id)
    del context.store.requests[request_id]
    context.store.touch()
    return None


def _my_request(context: RequestContext, request_id: int) -> ContactRequest:
    request = context.store.requests.get(request_id)
    if request is None or request.to_account_id != context.account_id:
        raise not_found("Incoming request")
    return request
