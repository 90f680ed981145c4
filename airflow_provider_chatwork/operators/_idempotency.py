"""No second message, task or file: what a try of an Airflow task knows of the tries before it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.validation import none_if_blank
from airflow_provider_chatwork.utils.task_state import TaskState

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.call import Call
    from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

#: The key of Airflow's state store that holds what a task created.
CREATED_KEY = "chatwork"
# The largest difference between the clocks of Airflow's scheduler and of Chatwork, in seconds.
_CLOCK_SKEW = 300.0


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


@contextmanager
def fail_if_unknown() -> Iterator[None]:
    """Fail permanently if Chatwork does not show whether an earlier try has created tasks.

    :raises AirflowFailException: instead of :class:`ChatworkUnknownOutcomeError`.
    """
    try:
        yield
    except ChatworkUnknownOutcomeError as error:
        raise AirflowFailException(
            f"What became of the tasks of an earlier try is not known: {error.reason}. They are not created again: "
            "look into the room, and clear this task to create them again."
        ) from error


@contextmanager
def fail_without_record(context: Context, reference: str | None) -> Iterator[None]:
    """Fail permanently where a retry would have no record of the tasks, and would create them again."""
    try:
        yield
    except (AirflowFailException, AirflowSensorTimeout, AirflowSkipException):
        raise
    except Exception as error:
        if TaskState(context).has_store or none_if_blank(reference) is not None:
            raise
        text = str(error).rstrip(". ") or type(error).__name__
        raise AirflowFailException(f"{text}. It is not retried, as people would get the task twice.") from error


def find_created_tasks(
    hook: ChatworkHook, context: Context, room_id: int, body: str, to_ids: Sequence[int]
) -> dict[str, Any] | None:
    """Find the tasks of an earlier try by a text with a reference.

    :return: what ``create_task`` would have returned; ``None`` if there are none.
    :raises AirflowFailException: if Chatwork does not show whether there are any.
    """
    # Imported here, as only tasks need it.
    from airflow_provider_chatwork.api.account import get_me
    from airflow_provider_chatwork.waiting.tasks.reference import find_by_reference

    # They cannot have been created before the DAG run was started, the last time if it was cleared.
    started = getattr(context.get("dag_run"), "start_date", None)
    since = 0.0 if started is None else max(0.0, started.timestamp() - _CLOCK_SKEW)
    me = hook.run(get_me())["account_id"]
    with fail_if_unknown():
        task_ids = hook.run_flow(find_by_reference(room_id, body, to_ids, me, since=since))
    if task_ids is None:
        return None
    hook.log.info("Tasks %s in room %s: found by their reference, created by an earlier try", task_ids, room_id)
    return {"task_ids": task_ids}
