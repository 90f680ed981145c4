"""Tasks of a room. https://developer.chatwork.com/reference/get-rooms-room_id-tasks"""

from __future__ import annotations

import re
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
from airflow_provider_chatwork.api.http import parse_list, parse_object
from airflow_provider_chatwork.api.rooms import AccountIds


def list_tasks(
    room_id: int | str,
    *,
    account_id: int | str | None = None,
    assigned_by_account_id: int | str | None = None,
    status: str | None = None,
) -> Call[list[models.Task]]:
    """Tasks of a room, at most 100. There are no pages, so filter the list if there may be more.

    :param account_id: only tasks of this assignee.
    :param assigned_by_account_id: only tasks that this account assigned.
    :param status: ``open`` (Chatwork's default) or ``done``; one call cannot return both.
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
    """Create a task for each of the assignees.

    Chatwork accepts 10 messages and tasks in 10 seconds for each room. The API cannot edit or delete a task.

    :param body: 1 to 65535 characters.
    :param to_ids: the account ids of the assignees, who must be members of the room.
    :param limit: the deadline in Unix seconds, in the future.
    :param limit_type: ``time`` (the default with a limit), ``date`` (the day of the limit in Japan) or ``none`` (the
        default without a limit).
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
    # Always sent: it is not documented what Chatwork does without a limit and with its default `time`.
    form["limit_type"] = kind
    deadline = None if limit is None else validation.limit("limit", limit)
    if deadline is not None:
        form["limit"] = str(deadline)

    def check_now(now: float) -> None:
        if deadline is not None:
            validation.require_future_deadline("limit", deadline, kind, now)

    def find_executed(since: float, account_id: int) -> Lookup[models.CreatedTasks]:
        # A task has no creation time, but its message has.
        page = yield strict_empty_list(messages.list_messages(room_id))
        page_is_complete = messages.reaches_back(page, since)
        recent = {message["message_id"] for message in page if message["send_time"] >= since}

        def is_match(task: models.Task) -> bool:
            is_recent = task["message_id"] in recent and task["account"]["account_id"] in assignees
            return is_recent and messages.same_text(task.get("body") or body, body)

        tasks, hidden = yield from search_tasks(room_id, account_id, assignees, is_match)
        tasks_of: dict[int, list[int]] = {assignee: [] for assignee in assignees}
        for task in tasks:
            tasks_of[task["account"]["account_id"]].append(task["task_id"])
        found = [sorted(tasks) for tasks in tasks_of.values()]
        sets = min(map(len, found))
        if sets == 0 and any(found):
            raise ChatworkUnknownOutcomeError(
                "create_task", f"only some of its tasks were found: {sorted(chain(*found))}"
            )
        if sets == 0 and hidden and page_is_complete and not may_be_announced(page, since, body, account_id):
            return []
        if sets == 0 and (hidden or not page_is_complete):
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
    room_id: int | str, account_id: int, to_ids: Sequence[int], is_match: Callable[[models.Task], bool]
) -> CallFlow[tuple[list[models.Task], list[int]]]:
    """Find open and done tasks that an account assigned.

    A full list may hide tasks. Then the tasks of each assignee without a match are listed separately.

    :param account_id: the account that assigned them.
    :param to_ids: the assignees.
    :param is_match: whether a task is one of those looked for.
    :return: the tasks, and the assignees whose own list is full and shows no match.
    """
    found: dict[int, models.Task] = {}

    def search(status: str, **query: int) -> CallFlow[bool]:
        page = yield strict_empty_list(list_tasks(room_id, assigned_by_account_id=account_id, status=status, **query))
        found.update({task["task_id"]: task for task in page if is_match(task)})
        return len(page) >= messages.PAGE

    def is_found(assignee: int) -> bool:
        return any(task["account"]["account_id"] == assignee for task in found.values())

    is_full = False
    for status in validation.TASK_STATUSES:
        is_full = (yield from search(status)) or is_full
    hidden = []
    for assignee in to_ids if is_full else ():
        for status in validation.TASK_STATUSES if not is_found(assignee) else ():
            if (yield from search(status, account_id=assignee)):
                hidden.append(assignee)
    return list(found.values()), [each for each in dict.fromkeys(hidden) if not is_found(each)]


def may_be_announced(page: Sequence[models.Message], since: float, body: str, account_id: int) -> bool:
    """Whether one of a room's messages since a Unix time may announce a task of an account.

    Chatwork posts a message for each new task. If no message may announce the task, it was not created, even if the
    task lists are full. The form of the message is not documented, so use this only if the lists do not decide.

    :param body: the text of the task.
    """
    return any(
        message["send_time"] >= since
        and (
            may_mention_task(body, message["body"])
            or (message["account"]["account_id"] == account_id and _was_changed(message))
        )
        for message in page
    )


def _was_changed(message: models.Message) -> bool:
    return bool(message["update_time"]) or message["body"] == notation.deleted()


def get_task(room_id: int | str, task_id: int | str) -> Call[models.Task]:
    """Read one task."""
    return Call("get_task", Request("GET", _path_of_one(room_id, task_id)), parse_object(models.Task))


def set_task_status(room_id: int | str, task_id: int | str, status: str) -> Call[models.ChangedTask]:
    """Set a task to done, or open it again.

    :param status: ``done`` or ``open``.
    """
    status = validation.choice("status", status, validation.TASK_STATUSES)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.ChangedTask]:
        if not isinstance(refusal, ChatworkInvalidRequestError):
            return []
        task = yield get_task(room_id, task_id)
        return [{"task_id": task["task_id"]}] if task["status"] == status else []

    # Chatwork's name of the parameter for the new status is `body`.
    request = Request("PUT", f"{_path_of_one(room_id, task_id)}/status", form={"body": status})
    return Call("set_task_status", request, parse_object(models.ChangedTask), confirm_already_done=confirm_already_done)


def _path(room_id: int | str) -> str:
    return f"/rooms/{validation.identifier('room_id', room_id)}/tasks"


def _path_of_one(room_id: int | str, task_id: int | str) -> str:
    return f"{_path(room_id)}/{validation.identifier('task_id', task_id)}"


# Part of every system message about tasks.
_ABOUT_TASKS = "[dtext:task"
_HEADING = re.compile(r"\A\s*\[info\]\s*\[title\]\s*\[dtext:[a-z0-9_]{1,50}\]\s*\[/title\]")
_TRUNCATION_MARK = re.compile(r"(\[?(\.{2,}|…+)\]?)\Z")
_CARD = re.compile(r"\[task (?P<attributes>[^\[\]]{0,200})\]")
_ACCOUNT = re.compile(r"(?:^| )aid=[0-9]{1,18}(?= |$)")


def may_mention_task(text: str, message: str) -> bool:
    """Whether a message may be about a task with this text.

    True for a message that contains the text, or its beginning and a truncation mark; white space is ignored. Also true
    for a system message about tasks that cannot be parsed.

    :param text: the whole text of the task.
    :param message: the body of the message.
    """
    wanted = _without_spaces(text)
    contains = wanted in _without_spaces(message)
    if _ABOUT_TASKS not in message:
        return contains
    shown = _task_texts(message)
    # A task text that contains tags may be parsed as several cards.
    if not shown or (contains and "[" in wanted):
        return True
    return any(_is_same_or_truncated(wanted, _without_spaces(each)) for each in shown)


def _task_texts(message: str) -> list[str]:
    """The texts of the task cards of a system message. Empty if it cannot be parsed.

    A task text may contain tags like those of a card, so a card ends where the next one begins.
    """
    heading = _HEADING.match(message)
    if heading is None:
        return []
    cards = list(_CARD.finditer(message, heading.end()))
    ends = [*(card.start() for card in cards), len(message)][1:]
    texts = []
    for card, end in zip(cards, ends, strict=True):
        text, closing, _ = message[card.end() : end].rpartition("[/task]")
        if closing and _ACCOUNT.search(card["attributes"]):
            texts.append(text)
    return texts


def _is_same_or_truncated(wanted: str, shown: str) -> bool:
    beginning = _TRUNCATION_MARK.sub("", shown)
    # Without a truncation mark, a text with the same beginning is another one: a reference may end in 1 or in 10.
    return shown == wanted or ((not shown or beginning != shown) and wanted.startswith(beginning))


def _without_spaces(text: str) -> str:
    return "".join(text.split())
