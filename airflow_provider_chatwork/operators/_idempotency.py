"""Giving tasks to people so that nobody gets one twice: what one try of an Airflow task knows of those before."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkParameterError, ChatworkUnknownOutcomeError
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
    from airflow_provider_chatwork.utils.task_state import TaskState


# How far the clock of Airflow's scheduler may be from Chatwork's, in seconds.
_CLOCK_MARGIN = 300.0


#: The key of Airflow's state store that holds what a task created.
CREATED_KEY = "chatwork"


class Created(NamedTuple):
    """What was created.

    ``is_new`` is false if an earlier try of the task created it.
    """

    result: Any
    is_new: bool


def create_once(
    hook: ChatworkHook,
    state: TaskState,
    call: Call[Any],
    fingerprint_fields: Mapping[str, str],
    find_existing: Callable[[], Any] | None,
) -> Created:
    """Run a call that creates something, unless an earlier try of the task instance has run it since the last clear.

    The request is recorded before it is sent. A later try that finds a record without a result looks in Chatwork for
    the result, and sends the request only if there is none. Without a state store (before Airflow 3.3) the request is
    sent on each try, and a try that ends with an unknown outcome is the last one.

    :param fingerprint_fields: see :meth:`ChatworkOperator.create_once`.
    :param find_existing: see :meth:`ChatworkOperator.create_once`.
    """
    from airflow_provider_chatwork.api.retry import may_have_executed

    fingerprint = _fingerprint(call, fingerprint_fields)
    stored = state.get(CREATED_KEY)
    if stored.get("request") == fingerprint:
        if "result" in stored:
            hook.log.info("%s: created by an earlier try of this task; returning its result", call.operation)
            return Created(stored["result"], is_new=False)
        found = hook.client.find_executed(call, stored["since"])
        if found:
            hook.log.info("%s: found in Chatwork, created by an earlier try that crashed", call.operation)
            state.set(CREATED_KEY, {"request": fingerprint, "result": found[0]})
            return Created(found[0], is_new=False)
    existing = None if find_existing is None else find_existing()
    if existing is not None:
        state.set(CREATED_KEY, {"request": fingerprint, "result": existing})
        return Created(existing, is_new=False)
    state.set(CREATED_KEY, {"request": fingerprint, "since": time.time()})
    try:
        result = hook.run(call)
    except ChatworkError as error:
        is_unknown = isinstance(error, ChatworkUnknownOutcomeError)
        if is_unknown and not state.has_store and find_existing is None:
            # The next try would have no record of the request, and would send it again.
            raise AirflowFailException(str(error)) from error
        if not (is_unknown or may_have_executed(error)):
            # Without this, the next try could take an equal message of another task for its own.
            state.delete(CREATED_KEY)
        raise
    state.set(CREATED_KEY, {"request": fingerprint, "result": result})
    return Created(result, is_new=True)


def _fingerprint(call: Call[Any], fingerprint_fields: Mapping[str, str]) -> str:
    request = call.request
    form = {**(request.form or {}), **fingerprint_fields}
    digest = hashlib.sha256(repr((request.method, request.path, form)).encode())
    if request.upload is not None:
        digest.update(request.upload.filename.encode() + b"\0" + request.upload.content)
    return digest.hexdigest()


class Gift(NamedTuple):
    """Tasks that were given: a task id for each assignee, ``None`` for one that was deleted by now.

    ``is_new`` tells whether they were given just now, and not by an earlier try.
    """

    room_id: int
    to_ids: Sequence[int]
    task_ids: Sequence[int | None]
    is_new: bool


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
    due = validation.none_if_blank(operator.due)
    limit = validation.none_if_blank(operator.limit)
    limit_type = validation.none_if_blank(operator.limit_type)
    fingerprint_fields = {}
    if due is not None:
        if limit is not None or limit_type is not None:
            raise ChatworkParameterError("due", due, "give either due, or limit and limit_type")
        limit, limit_type = limit_of(due, operator.hook.settings.timezone, time.time())
        fingerprint_fields["limit"] = repr(due)
    return create_task(room_id, body, operator.to_ids, limit=limit, limit_type=limit_type), fingerprint_fields


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
    """What the tries of an Airflow task remember of their wait: nothing before Airflow 3.3."""

    def __init__(self, state: TaskState) -> None:
        self._state = state

    def recall(self, gift: Gift, needed: int) -> Given | None:
        """The wait as an earlier try has left it."""
        kept = self._state.get(WAIT_KEY)
        if kept.get("task_ids") != [*gift.task_ids]:
            return None
        given: Given = kept["given"]
        given["needed"] = needed
        return given

    def keep(self, given: Given) -> None:
        """Remember a wait."""
        self._state.set(WAIT_KEY, {"given": given, "task_ids": [track["task_id"] for track in given["tracks"]]})
