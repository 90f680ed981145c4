"""Tasks that were given to people, as both the worker and the triggerer follow them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.waiting.reminders.plan import Facts
from airflow_provider_chatwork.waiting.reminders.words import say
from airflow_provider_chatwork.waiting.tasks.room_scan import RoomTasks
from airflow_provider_chatwork.waiting.tasks.status import GONE_AFTER
from airflow_provider_chatwork.waiting.tasks.tracking import Given, Track, note

#: The state of Airflow 3.3, which outlives a try, and the XCom, which outlives a wait in the triggerer, that hold the
#: tasks it is waited for.
WAIT_KEY = "chatwork_wait"

_REASONS = {
    "timed_out": ("期限までに終わらなかったため", "not done in time"),
    "impossible": ("必要な数のタスクが残っていないため", "too few of the tasks are left"),
    "killed": ("Airflow 側で待機が取り消されたため", "the wait was ended in Airflow"),
}


def reason_of(word: str, lang: str) -> str:
    """Why tasks are withdrawn, as the room is told.

    :param word: ``timed_out``, ``impossible`` or ``killed``.
    """
    return _REASONS[word][lang == "en"]


def note_all(tracks: list[Track], tasks: Mapping[int, models.Task], deleted: set[int], now: float) -> None:
    """Take note of what a look at all the tasks has shown."""
    for track in tracks:
        task_id = track["task_id"]
        if task_id is not None:
            note(track, tasks.get(task_id), task_id in deleted, now)


def last_seen(tracks: Iterable[Track]) -> dict[int, models.Task]:
    """The tasks as looks have shown them that left no more than their tracks, such as those of another process.

    Good for a withdrawal, not for a reminder: their texts are not known. A task that was never seen is not among them.
    """
    seen: dict[int, models.Task] = {}
    for track in tracks:
        task_id, message_id, terms = track["task_id"], track["message_id"], track["terms"]
        if task_id is not None and message_id is not None and terms is not None:
            account: Any = {"account_id": terms["account_id"], "name": track["account_name"]}
            task: Any = {"task_id": task_id, "message_id": message_id, "account": account, "status": track["status"]}
            seen[task_id] = task
    return seen


def never_seen(tracks: Iterable[Track]) -> list[int]:
    """The ids of the tasks of which nothing is known but that they were given."""
    return [track["task_id"] for track in tracks if track["task_id"] is not None and _is_unseen(track)]


def _is_unseen(track: Track) -> bool:
    return track["status"] == "open" and (track["message_id"] is None or track["terms"] is None)


def read_each(tasks: RoomTasks, task_ids: Iterable[int]) -> CallFlow[None]:
    """Read tasks one by one, where no list of them is to be had. Yields the calls to run.

    :param tasks: gets each of them as soon as it is read.
    """
    for task_id in task_ids:
        alone = RoomTasks(tasks.room_id)
        alone.want(task_id)
        for _ in range(GONE_AFTER):
            yield from alone.look(tuple)
            alone.check()
            if alone.is_known(task_id):
                break
        tasks.tasks.update(alone.tasks)
        tasks.deleted |= alone.deleted


def facts_of(given: Given, tasks: Mapping[int, models.Task], me: int, web_url: str) -> Facts:
    """What reminders and withdrawals go by.

    :param tasks: the tasks as they were last read; what was deleted since does not count.
    :param me: the account id of the token.
    """
    return Facts(
        room_id=given["room_id"],
        message_id=given["message_id"],
        created_at=given["created_at"],
        tasks=[
            tasks.get(track["task_id"]) if track["task_id"] is not None and track["status"] != "deleted" else None
            for track in given["tracks"]
        ],
        me=me,
        web_url=web_url,
    )


def tells_of_withdrawal(facts: Facts, page: Sequence[models.Message]) -> bool:
    """Whether the room was told that tasks are withdrawn, as far as its newest messages show."""
    labels = tuple(say(lang, "withdrawal") for lang in validation.LANGUAGES)
    return bool(facts.dedup_key("withdrawal", labels, 0.0).find(page))


def was_withdrawn(facts: Facts, page: Sequence[models.Message]) -> bool:
    """Whether tasks that are done were only withdrawn, which Chatwork shows in the same way.

    :param page: the newest messages of the room, oldest first.
    :raises ChatworkUnknownOutcomeError: where they do not reach back to the tasks and tell neither.
    """
    if tells_of_withdrawal(facts, page):
        return True
    if len(page) < PAGE or facts.message_id in {message["message_id"] for message in page}:
        return False
    raise ChatworkUnknownOutcomeError(
        "create_task",
        f"the room shows no more than {PAGE} messages, so the tasks that are there may be done or withdrawn",
    )
