"""Cancel tasks that nobody waits for any more, and explain that in the room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.tasks import set_task_status
from airflow_provider_chatwork.utils.i18n import Catalog
from airflow_provider_chatwork.waiting.outbox.delivery import post_once
from airflow_provider_chatwork.waiting.reminders.plan import TaskSnapshot
from airflow_provider_chatwork.waiting.reminders.texts import PREFIXES, TEXTS, MessageKind, ReminderFormatter
from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome
from airflow_provider_chatwork.waiting.tasks.tracking import AssignedTasks, unseen_ids


class Cancellation(TypedDict):
    """The result of a cancellation, as plain JSON.

    ``message_id`` is the message that explains it, ``closed`` the ids of the tasks that were set to done, ``refused``
    the texts of Chatwork's permanent errors.
    """

    message_id: str | None
    closed: list[int]
    refused: list[str]


def new_cancellation() -> Cancellation:
    """Return the result of a cancellation that has not begun."""
    return Cancellation(message_id=None, closed=[], refused=[])


def cancellation_reason(outcome: TaskWaitOutcome, lang: str) -> str:
    """Return the reason that is posted.

    :param outcome: ``TIMED_OUT``, ``IMPOSSIBLE`` or ``KILLED``.
    """
    return Catalog(lang, TEXTS).text(outcome.value)


def cancel_tasks(
    snapshot: TaskSnapshot, reason: str, *, lang: str = "ja", since: float = 0.0, result: Cancellation | None = None
) -> CallFlow[Cancellation]:
    """Post that the open tasks are cancelled and why, then set them to done. Yields the calls to run.

    The message comes first, so that nobody wonders why a task was closed. Without an open task nothing is sent. Run
    again after an interruption, it posts nothing twice and does the rest.

    :param snapshot: the tasks.
    :param reason: any text.
    :param lang: ``ja`` or ``en``.
    :param since: Unix time; an earlier message of this kind is about an earlier cancellation.
    :param result: an empty result to fill and return, so that the caller has it after an error as well.
    :raises ChatworkError: a transient error; run it again later. Permanent errors are in the result.
    """
    validation.choice("lang", lang, validation.LANGUAGES)
    result = new_cancellation() if result is None else result
    tasks = snapshot.open_tasks
    if not tasks:
        return result
    key = snapshot.dedup_key(MessageKind.CANCELLATION, PREFIXES[MessageKind.CANCELLATION], since)
    # The time zone is not used, as the message shows no due date.
    formatter = ReminderFormatter(lang, "UTC", snapshot.account_id)
    body = formatter.cancellation(tasks, reason, key.line(lang, snapshot.web_url))
    try:
        result["message_id"] = (yield from post_once(snapshot.room_id, body, key.by_time_only(), since=None)).message_id
    except ChatworkError as error:
        _add_permanent(error, result)
    for task in tasks:
        try:
            yield set_task_status(snapshot.room_id, task["task_id"], "done")
        except ChatworkNotFoundError:
            # Somebody has deleted it.
            continue
        except ChatworkError as error:
            _add_permanent(error, result)
        else:
            result["closed"].append(task["task_id"])
    return result


def is_announced(snapshot: TaskSnapshot, page: Sequence[Message]) -> bool:
    """Return whether the newest messages of the room contain the cancellation of tasks."""
    return bool(snapshot.dedup_key(MessageKind.CANCELLATION, PREFIXES[MessageKind.CANCELLATION], 0.0).find(page))


def was_cancelled(snapshot: TaskSnapshot, page: Sequence[Message]) -> bool:
    """Return whether tasks that are done were cancelled: Chatwork shows both in the same way.

    :param page: the newest messages of the room, oldest first.
    :raises ChatworkUnknownOutcomeError: if the messages contain no cancellation, and do not reach back to the tasks.
    """
    if is_announced(snapshot, page):
        return True
    if len(page) < PAGE or snapshot.message_id in {message["message_id"] for message in page}:
        return False
    raise ChatworkUnknownOutcomeError(
        "create_task",
        f"Chatwork returns no more than {PAGE} messages, so the tasks that are done may have been cancelled",
    )


def log_cancellation(log: Any, assigned: AssignedTasks, cancellation: Cancellation) -> None:
    """Log what was cancelled, and as errors what could not be."""
    room_id = assigned["room_id"]
    for text in cancellation["refused"]:
        log.error("A task could not be withdrawn (room %s): %s", room_id, text)
    if unseen := unseen_ids(assigned["tasks"]):
        log.error("The open tasks could not be withdrawn (room %s), as no poll has seen them: %s", room_id, unseen)
    log.info("Withdrew tasks in room %s: %s", room_id, cancellation)


def _add_permanent(error: ChatworkError, result: Cancellation) -> None:
    if is_transient(error):
        raise error
    result["refused"].append(str(error))
