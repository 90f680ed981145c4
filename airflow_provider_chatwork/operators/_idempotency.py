"""Giving tasks to people so that nobody gets one twice: what one try of an Airflow task knows of those before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.tasks import create_task
from airflow_provider_chatwork.utils.time_arguments import limit_of
from airflow_provider_chatwork.waiting.tasks.given_tasks import WAIT_KEY
from airflow_provider_chatwork.waiting.tasks.reference import find_given
from airflow_provider_chatwork.waiting.tasks.tracking import Given, new_track

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.call import Call
    from airflow_provider_chatwork.api.models import CreatedTasks
    from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
    from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator


# How far the clock of Airflow's scheduler may be from Chatwork's, in seconds.
_CLOCK_MARGIN = 300.0


class Gift(NamedTuple):
    """Tasks that were given: a task id for each assignee, ``None`` for one that was deleted by now.

    ``is_new`` tells whether they were given just now, and not by an earlier try.
    """

    room_id: int
    to_ids: Sequence[int]
    task_ids: Sequence[int | None]
    is_new: bool


def first_try(context: Context, retries: int | None) -> int:
    """The try with which the current round of an Airflow task began: 1, or a later one if it was cleared.

    :param retries: how often Airflow repeats the task.
    """
    # Clearing a task adds the tries that were made to its `max_tries`, a retry does not.
    max_tries = getattr(context.get("ti"), "max_tries", None)
    return 1 if max_tries is None else max(1, max_tries - (retries or 0) + 1)


def is_retry(context: Context, retries: int | None) -> bool:
    """Whether there was an earlier try in this round."""
    return (getattr(context.get("ti"), "try_number", None) or 1) > first_try(context, retries)


def run_began(context: Context) -> float:
    """The Unix time when the run began, or, where all of it had ended and was begun anew by a clear, when that was.

    0 where it is not known.
    """
    began = getattr(context.get("dag_run"), "start_date", None)
    return 0.0 if began is None else float(began.timestamp())


def creation(
    operator: ChatworkCreateTaskOperator, room_id: int, body: str
) -> tuple[Call[CreatedTasks], dict[str, str]]:
    """What gives the tasks, and what stands for fields that are another on each try although the same is wanted.

    :param body: the whole text, with its reference.
    """
    due = validation.given(operator.due)
    limit = validation.given(operator.limit)
    limit_type = validation.given(operator.limit_type)
    stands_for = {}
    if due is not None:
        if limit is not None or limit_type is not None:
            raise ChatworkParameterError("due", due, "give either due, or limit and limit_type")
        limit, limit_type = limit_of(due, operator.hook.settings.timezone, time.time())
        stands_for["limit"] = repr(due)
    return create_task(room_id, body, operator.to_ids, limit=limit, limit_type=limit_type), stands_for


@contextmanager
def never_guessing() -> Iterator[None]:
    """Fail for good where Chatwork does not show any more what became of the tasks of an earlier try."""
    try:
        yield
    except ChatworkUnknownOutcomeError as error:
        raise AirflowFailException(
            f"What became of the tasks of an earlier try is not known: {error.reason}. They are not given again: look "
            "into the room, and clear this task to have them given anew."
        ) from error


def find_gift(
    hook: ChatworkHook, room_id: int, body: str, to_ids: Sequence[int], since: float
) -> dict[str, Any] | None:
    """Find in Chatwork what an earlier try has given, by a text with a reference, in the form of ``create_task``.

    :param since: Unix time by Airflow's clock before which that was not; 0 where it is not known.
    """
    me = hook.run(get_me())["account_id"]
    with never_guessing():
        task_ids = hook.run_flow(find_given(room_id, body, to_ids, me, since=max(0.0, since - _CLOCK_MARGIN)))
    if task_ids is None:
        return None
    hook.log.info("An earlier try has given the tasks %s", task_ids)
    return {"task_ids": task_ids}


def new_given(gift: Gift, needed: int, timeout: float) -> Given:
    """Tasks to wait for, of which nothing is known yet.

    :param needed: how many have to be done.
    :param timeout: how long people have from now, in seconds.
    """
    # Chatwork counts in whole seconds.
    now = float(int(time.time()))
    return {
        "room_id": gift.room_id,
        "message_id": None,
        "created_at": now,
        "deadline": now + timeout,
        "needed": needed,
        "tracks": [
            new_track(task_id, account_id=account_id if task_id is None else None)
            for task_id, account_id in zip(gift.task_ids, gift.to_ids, strict=True)
        ],
    }


def share_given(context: Context, given: Given) -> None:
    """Leave it for :func:`shared_given`."""
    ti: Any = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=WAIT_KEY, value=given)


def shared_given(context: Context) -> Given:
    """What was waited for in the triggerer, when nothing came back from there."""
    ti: Any = context["ti"]
    given: Given = ti.xcom_pull(task_ids=ti.task_id, key=WAIT_KEY, map_indexes=ti.map_index)
    return given


class Memory:
    """What the tries of an Airflow task remember of their wait: nothing before Airflow 3.3.

    :param retries: how often Airflow repeats the task.
    """

    def __init__(self, context: Context, retries: int | None) -> None:
        self._store: Any = context.get("task_state_store")

    def recall(self, gift: Gift, needed: int) -> Given | None:
        """The wait as an earlier try has left it."""
        kept = None if self._store is None else self._store.get(WAIT_KEY, None)
        if not isinstance(kept, dict) or kept["task_ids"] != [*gift.task_ids]:
            return None
        given: Given = kept["given"]
        given["needed"] = needed
        return given

    def keep(self, given: Given) -> None:
        """Remember a wait."""
        if self._store is not None:
            self._store.set(WAIT_KEY, {"given": given, "task_ids": [track["task_id"] for track in given["tracks"]]})
