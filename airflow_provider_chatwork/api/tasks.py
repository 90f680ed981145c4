"""Tasks of a room. https://developer.chatwork.com/reference/get-rooms-room_id-tasks"""

from __future__ import annotations

from itertools import chain

from airflow_provider_chatwork.api import check, messages, models
from airflow_provider_chatwork.api.call import Call, Request, Search, surely
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkInvalidRequestError,
    ChatworkParameterError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.reading import many, one
from airflow_provider_chatwork.api.rooms import AccountIds


def list_tasks(
    room_id: int | str,
    *,
    account_id: int | str | None = None,
    assigned_by_account_id: int | str | None = None,
    status: str | None = None,
) -> Call[list[models.Task]]:
    """Tasks of a room, at most 100; Chatwork does not page, so narrow the question where there may be more.

    :param account_id: only those of this assignee.
    :param assigned_by_account_id: only those given by this account.
    :param status: ``open`` (Chatwork's default) or ``done``; there is no way to ask for both at once.
    """
    query = {}
    if account_id is not None:
        query["account_id"] = str(check.identifier("account_id", account_id))
    if assigned_by_account_id is not None:
        query["assigned_by_account_id"] = str(check.identifier("assigned_by_account_id", assigned_by_account_id))
    if status is not None:
        query["status"] = check.choice("status", status, check.TASK_STATUSES)
    return Call("list_tasks", Request("GET", _path(room_id), query=query), many(models.Task))


def create_task(
    room_id: int | str,
    body: str,
    to_ids: AccountIds,
    *,
    limit: int | str | None = None,
    limit_type: str | None = None,
) -> Call[models.CreatedTasks]:
    """Give a task to people: one task, with an id of its own, for each of them.

    Chatwork takes 10 messages and tasks in 10 seconds for each room, and has no way to edit or delete a task.

    :param body: 1 to 65535 characters.
    :param to_ids: the account ids of the assignees, who must be members of the room.
    :param limit: the deadline in Unix seconds, in the future.
    :param limit_type: ``time`` (the default with a limit), ``date`` (the day of the limit in Japan) or ``none``
        (the default without).
    """
    room_id = check.identifier("room_id", room_id)
    assignees = check.identifiers("to_ids", to_ids)
    form = {"body": check.text("body", body), "to_ids": ",".join(map(str, assignees))}
    kind = check.choice(
        "limit_type", ("none" if limit is None else "time") if limit_type is None else limit_type, check.LIMIT_TYPES
    )
    if (kind == "none") != (limit is None):
        raise ChatworkParameterError(
            "limit_type",
            limit_type,
            "a deadline needs limit_type time or date" if limit is not None else "this limit_type needs a limit",
        )
    # Sent even when there is none: what Chatwork makes of a missing limit with its own default, `time`, is not known.
    form["limit_type"] = kind
    deadline = None if limit is None else check.limit("limit", limit)
    if deadline is not None:
        form["limit"] = str(deadline)

    def check_now(now: float) -> None:
        if deadline is not None:
            check.limit_is_ahead("limit", deadline, kind, now)

    def find(since: float, account_id: int) -> Search[models.CreatedTasks]:
        # A task carries no time of its own, but its message does.
        page = yield surely(messages.list_messages(room_id))
        recent = {message["message_id"] for message in page if message["send_time"] >= since}
        whole_view = messages.reaches_back(page, since)
        tasks_of: dict[int, list[int]] = {assignee: [] for assignee in assignees}
        for status in check.TASK_STATUSES:
            tasks = yield surely(list_tasks(room_id, assigned_by_account_id=account_id, status=status))
            whole_view = whole_view and len(tasks) < messages.PAGE
            for task in tasks:
                mine = tasks_of.get(task["account"]["account_id"])
                same = task["message_id"] in recent and messages.same_text(task.get("body") or body, body)
                if mine is not None and same:
                    mine.append(task["task_id"])
        found = [sorted(tasks) for tasks in tasks_of.values()]
        sets = min(map(len, found))
        if sets == 0 and any(found):
            raise ChatworkUnknownOutcomeError(
                "create_task", f"only these tasks of it were found: {sorted(chain(*found))}"
            )
        if sets == 0 and not whole_view:
            raise ChatworkUnknownOutcomeError("create_task", f"the room shows no more than {messages.PAGE} items")
        return [{"task_ids": [tasks[index] for tasks in found]} for index in range(sets)]

    request = Request("POST", _path(room_id), form=form)
    return Call("create_task", request, one(models.CreatedTasks), repeatable=False, find=find, check=check_now)


def get_task(room_id: int | str, task_id: int | str) -> Call[models.Task]:
    """One task."""
    return Call("get_task", Request("GET", _path_of_one(room_id, task_id)), one(models.Task))


def set_task_status(room_id: int | str, task_id: int | str, status: str) -> Call[models.ChangedTask]:
    """Tick a task off, or open it again.

    :param status: ``done`` or ``open``.
    """
    status = check.choice("status", status, check.TASK_STATUSES)

    def settle(refusal: ChatworkApiError) -> Search[models.ChangedTask]:
        if not isinstance(refusal, ChatworkInvalidRequestError):
            return []
        task = yield get_task(room_id, task_id)
        return [{"task_id": task["task_id"]}] if task["status"] == status else []

    # The vendor's name for the new status really is `body`.
    request = Request("PUT", f"{_path_of_one(room_id, task_id)}/status", form={"body": status})
    return Call("set_task_status", request, one(models.ChangedTask), settle=settle)


def _path(room_id: int | str) -> str:
    return f"/rooms/{check.identifier('room_id', room_id)}/tasks"


def _path_of_one(room_id: int | str, task_id: int | str) -> str:
    return f"{_path(room_id)}/{check.identifier('task_id', task_id)}"
