"""Tasks of a room. https://developer.chatwork.com/reference/get-rooms-room_id-tasks"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from airflow_provider_chatwork.api import messages, models, notation, validation
from airflow_provider_chatwork.api.call import Call, CallFlow, Lookup, Request, strict_empty_list
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkInvalidRequestError,
    ChatworkParameterError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.response_parsing import parse_list, parse_object
from airflow_provider_chatwork.api.rooms import AccountIds
from airflow_provider_chatwork.api.system_messages import may_mention_task


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
        query["account_id"] = str(validation.identifier("account_id", account_id))
    if assigned_by_account_id is not None:
        query["assigned_by_account_id"] = str(validation.identifier("assigned_by_account_id", assigned_by_account_id))
    if status is not None:
        query["status"] = validation.choice("status", status, validation.TASK_STATUSES)
    return Call("list_tasks", Request("GET", _path(room_id), query=query), parse_list(models.Task))


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
    room_id = validation.identifier("room_id", room_id)
    assignees = validation.identifiers("to_ids", to_ids)
    form = {"body": validation.text("body", body), "to_ids": ",".join(map(str, assignees))}
    kind = validation.choice(
        "limit_type",
        ("none" if limit is None else "time") if limit_type is None else limit_type,
        validation.LIMIT_TYPES,
    )
    if (kind == "none") != (limit is None):
        raise ChatworkParameterError(
            "limit_type",
            limit_type,
            "a deadline needs limit_type time or date" if limit is not None else "this limit_type needs a limit",
        )
    # Sent even when there is none: what Chatwork makes of a missing limit with its own default, `time`, is not known.
    form["limit_type"] = kind
    deadline = None if limit is None else validation.limit("limit", limit)
    if deadline is not None:
        form["limit"] = str(deadline)

    def check_now(now: float) -> None:
        if deadline is not None:
            validation.require_future_deadline("limit", deadline, kind, now)

    def find_executed(since: float, account_id: int) -> Lookup[models.CreatedTasks]:
        # A task carries no time of its own, but its message does.
        page = yield strict_empty_list(messages.list_messages(room_id))
        whole_view = messages.reaches_back(page, since)
        recent = {message["message_id"] for message in page if message["send_time"] >= since}

        def is_it(task: models.Task) -> bool:
            is_recent = task["message_id"] in recent and task["account"]["account_id"] in assignees
            return is_recent and messages.same_text(task.get("body") or body, body)

        tasks, hidden = yield from search_tasks(room_id, account_id, assignees, is_it)
        tasks_of: dict[int, list[int]] = {assignee: [] for assignee in assignees}
        for task in tasks:
            tasks_of[task["account"]["account_id"]].append(task["task_id"])
        found = [sorted(tasks) for tasks in tasks_of.values()]
        sets = min(map(len, found))
        if sets == 0 and any(found):
            raise ChatworkUnknownOutcomeError(
                "create_task", f"only these tasks of it were found: {sorted(chain(*found))}"
            )
        if sets == 0 and hidden and whole_view and not may_be_announced(page, since, body, account_id):
            return []
        if sets == 0 and (hidden or not whole_view):
            raise ChatworkUnknownOutcomeError("create_task", f"the room shows no more than {messages.PAGE} items")
        return [{"task_ids": [tasks[index] for tasks in found]} for index in range(sets)]

    request = Request("POST", _path(room_id), form=form)
    return Call(
        "create_task",
        request,
        parse_object(models.CreatedTasks),
        repeatable=False,
        find_executed=find_executed,
        check=check_now,
    )


def search_tasks(
    room_id: int | str, account_id: int, to_ids: Sequence[int], is_it: Callable[[models.Task], bool]
) -> CallFlow[tuple[list[models.Task], list[int]]]:
    """Find tasks that an account has given, open and done. Yields the calls to run.

    A list that is full may hide some; then each assignee of whom none was found is asked for by itself.

    :param account_id: who gave them.
    :param to_ids: the assignees.
    :param is_it: tells a task that is looked for.
    :return: the tasks, and the assignees of whom there may be one behind 100 others, so that it is not known.
    """
    found: dict[int, models.Task] = {}

    def look(status: str, **query: int) -> CallFlow[bool]:
        page = yield strict_empty_list(list_tasks(room_id, assigned_by_account_id=account_id, status=status, **query))
        found.update({task["task_id"]: task for task in page if is_it(task)})
        return len(page) >= messages.PAGE

    def is_found(assignee: int) -> bool:
        return any(task["account"]["account_id"] == assignee for task in found.values())

    is_full = False
    for status in validation.TASK_STATUSES:
        is_full = (yield from look(status)) or is_full
    hidden = []
    for assignee in to_ids if is_full else ():
        for status in validation.TASK_STATUSES if not is_found(assignee) else ():
            if (yield from look(status, account_id=assignee)):
                hidden.append(assignee)
    return list(found.values()), [each for each in dict.fromkeys(hidden) if not is_found(each)]


def may_be_announced(page: Sequence[models.Message], since: float, body: str, account_id: int) -> bool:
    """Whether messages of a room may tell of a task with a text that an account has given since a Unix time.

    A task is not given without a message. Where those since then tell of none, there is none behind lists that end at
    100 tasks. How such a message looks is not described by Chatwork: it is asked only where the lists do not tell.
    """
    return any(
        message["send_time"] >= since
        and (
            may_mention_task(body, message["body"])
            or (message["account"]["account_id"] == account_id and _changed(message))
        )
        for message in page
    )


def _changed(message: models.Message) -> bool:
    return bool(message["update_time"]) or message["body"] == notation.deleted()


def get_task(room_id: int | str, task_id: int | str) -> Call[models.Task]:
    """One task."""
    return Call("get_task", Request("GET", _path_of_one(room_id, task_id)), parse_object(models.Task))


def set_task_status(room_id: int | str, task_id: int | str, status: str) -> Call[models.ChangedTask]:
    """Tick a task off, or open it again.

    :param status: ``done`` or ``open``.
    """
    status = validation.choice("status", status, validation.TASK_STATUSES)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.ChangedTask]:
        if not isinstance(refusal, ChatworkInvalidRequestError):
            return []
        task = yield get_task(room_id, task_id)
        return [{"task_id": task["task_id"]}] if task["status"] == status else []

    # The vendor's name for the new status really is `body`.
    request = Request("PUT", f"{_path_of_one(room_id, task_id)}/status", form={"body": status})
    return Call("set_task_status", request, parse_object(models.ChangedTask), confirm_already_done=confirm_already_done)


def _path(room_id: int | str) -> str:
    return f"/rooms/{validation.identifier('room_id', room_id)}/tasks"


def _path_of_one(room_id: int | str, task_id: int | str) -> str:
    return f"{_path(room_id)}/{validation.identifier('task_id', task_id)}"
