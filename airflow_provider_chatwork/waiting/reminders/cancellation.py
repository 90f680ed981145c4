"""Giving up: nobody waits for the tasks any more, and people are told."""

from __future__ import annotations

from typing import TypedDict

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.tasks import set_task_status
from airflow_provider_chatwork.waiting.outbox.delivery import post_once
from airflow_provider_chatwork.waiting.reminders.plan import Facts
from airflow_provider_chatwork.waiting.reminders.texts import Writer
from airflow_provider_chatwork.waiting.reminders.words import say


class Withdrawal(TypedDict):
    """What became of it, as plain JSON.

    ``message_id`` is the message that says why, ``closed`` the ids of the tasks that were set to done, ``refused`` what
    Chatwork refused for good, in words.
    """

    message_id: str | None
    closed: list[int]
    refused: list[str]


def new_withdrawal() -> Withdrawal:
    """One of which nothing has been done yet."""
    return Withdrawal(message_id=None, closed=[], refused=[])


def withdraw_steps(
    facts: Facts, reason: str, *, lang: str = "ja", since: float = 0.0, result: Withdrawal | None = None
) -> CallFlow[Withdrawal]:
    """Say in the room that the tasks are withdrawn and why, and set those that are open to done. Yields calls.

    People are told first, so that nobody wonders who has ticked their task. Where nothing is open, nothing is done.
    Called again after it was interrupted, it says nothing twice and does the rest.

    :param facts: what is known now.
    :param reason: what made us give up; any text.
    :param lang: ``ja`` or ``en``.
    :param since: Unix time since when it may have been said; what was said earlier is about another time.
    :param result: an empty one, to be filled and returned; it tells how far an attempt came that ends with an error.
    :raises ChatworkError: one that passes; call it again later. Refusals for good are in the result.
    """
    validation.choice("lang", lang, validation.LANGUAGES)
    result = new_withdrawal() if result is None else result
    tasks = facts.open_tasks
    if not tasks:
        return result
    key = facts.dedup_key("withdrawal", tuple(say(each, "withdrawal") for each in validation.LANGUAGES), since)
    # No due date is shown, so no zone is needed.
    body = Writer(lang, "UTC", facts.me).withdrawal(tasks, reason, key.line(lang, facts.web_url))
    try:
        # A look that does not reach back does not matter: what an interrupted try has said, it said a moment ago.
        result["message_id"] = (yield from post_once(facts.room_id, body, key.by_time_only(), since=None)).message_id
    except ChatworkError as refusal:
        _passes(refusal)
        result["refused"].append(str(refusal))
    for task in tasks:
        try:
            yield set_task_status(facts.room_id, task["task_id"], "done")
        except ChatworkNotFoundError:
            # Somebody has deleted it.
            continue
        except ChatworkError as refusal:
            _passes(refusal)
            result["refused"].append(str(refusal))
        else:
            result["closed"].append(task["task_id"])
    return result


def _passes(error: ChatworkError) -> None:
    if is_transient(error):
        raise error
