"""What all operators share: the hook, the room, what is not worth a retry, and what must not happen twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.links import ChatworkMessageLink, ChatworkRoomLink, push_place

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.call import Call

T = TypeVar("T")

#: How long after the end of a wait Airflow takes it out of a triggerer that does not: for one that does not come back.
#: A triggerer that comes back sooner looks once more, and what was done in time counts.
NET = timedelta(hours=1)
_KEPT = "chatwork"
_PERMANENT = (
    errors.ChatworkParameterError,
    errors.ChatworkInvalidRequestError,
    errors.ChatworkAuthError,
    errors.ChatworkForbiddenError,
    errors.ChatworkNotFoundError,
)


class Created(NamedTuple):
    """The result of what creates something, and whether it was created just now and not by an earlier try."""

    result: Any
    is_new: bool


@contextmanager
def fail_on_refusal() -> Iterator[None]:
    """Fail the task for good where trying again cannot help; every other error goes through as it is."""
    try:
        yield
    except _PERMANENT as error:
        raise AirflowFailException(str(error)) from error


class ChatworkOperator(BaseOperator):
    """The base of the operators.

    :param room_id: the room; that of the connection (``default_room_id``) if not given.
    :param chatwork_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("room_id", "chatwork_conn_id")
    operator_extra_links = (ChatworkRoomLink(), ChatworkMessageLink())
    ui_color = "#fdeeee"

    def __init__(
        self,
        *,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.chatwork_conn_id = chatwork_conn_id

    @cached_property
    def hook(self) -> ChatworkHook:
        """The hook of the connection."""
        return ChatworkHook(self.chatwork_conn_id)

    def execute(self, context: Context) -> Any:
        """Do the work; fail for good where Chatwork refuses for good."""
        with fail_on_refusal():
            return self.act(context)

    def act(self, context: Context) -> Any:
        """Do what the operator is for. Its fields are rendered by now."""
        raise NotImplementedError

    def run_call(self, context: Context, call: Call[T], *, stands_for: Mapping[str, str] | None = None) -> T:
        """Run an operation; what it creates is created once, however often the task is tried.

        :param stands_for: for fields that are another on each try although the same is wanted (a deadline counted from
            now): what tells by itself whether the same is wanted.
        """
        if call.repeatable:
            return self.hook.run(call)
        return self.create_once(context, call, stands_for=stands_for).result  # type: ignore[no-any-return]

    def create_once(
        self,
        context: Context,
        call: Call[Any],
        *,
        stands_for: Mapping[str, str] | None = None,
        recall: Callable[[], Any] | None = None,
    ) -> Created:
        """Create something, or return what an earlier try of the task has created.

        :param stands_for: as for :meth:`run_call`.
        :param recall: looks in Chatwork for what an earlier try has created, and returns ``None`` if there is nothing.
            It is asked where Airflow remembers nothing.
        """
        return _run_once(self.hook, context, call, stands_for or {}, recall, _round(context))

    def forget_created(self, context: Context) -> None:
        """Let :meth:`create_once` create anew."""
        store: Any = context.get("task_state_store")
        if store is not None:
            store.delete(_KEPT)

    def show_place(self, context: Context, room_id: int | str, message_id: str | None = None) -> None:
        """Let the task's links in the UI lead to a room and a message."""
        push_place(context, self.hook.settings.web_url, room_id, message_id)

    def message_of(self, call: Call[Any]) -> str | None:
        """The message of what was just created, for the link. Without it there is a link less, and nothing else."""
        try:
            return str(self.hook.quick_client.run(call)["message_id"])
        except errors.ChatworkError as error:
            self.log.warning("No link to the message: %s", error)
            return None


def _run_once(
    hook: ChatworkHook,
    context: Context,
    call: Call[Any],
    stands_for: Mapping[str, str],
    recall: Callable[[], Any] | None,
    round_: int | None,
) -> Created:
    """Run a call that creates something, and remember across the tries of the task instance what it created.

    Airflow 3.3 keeps a state for that; on earlier versions the call is run as it is, and the task fails for good where
    it is not known whether it was done and nothing could find out later. The intent is written down before anything is
    sent, so that a try that died in between is looked for in Chatwork and not repeated.
    """
    # Imported here, so that reading a DAG file does not load it.
    from airflow_provider_chatwork.api.retry import may_have_executed

    store: Any = context.get("task_state_store")
    kept = None if store is None else store.get(_KEPT, None)
    intent = {"request": _fingerprint(call, stands_for), "round": round_}
    if isinstance(kept, dict) and all(kept.get(key) == value for key, value in intent.items()):
        if "result" in kept:
            hook.log.info("%s was done by an earlier try of this task; its result is used again", call.operation)
            return Created(kept["result"], is_new=False)
        traces = hook.client.find_executed(call, kept["since"])
        if traces:
            hook.log.info("%s was done by an earlier try of this task, which did not live to say so", call.operation)
            store.set(_KEPT, {**intent, "result": traces[0]})
            return Created(traces[0], is_new=False)
    recalled = None if recall is None else recall()
    if recalled is not None:
        if store is not None:
            store.set(_KEPT, {**intent, "result": recalled})
        return Created(recalled, is_new=False)
    if store is None:
        try:
            return Created(hook.run(call), is_new=True)
        except errors.ChatworkUnknownOutcomeError as error:
            if recall is not None:
                raise
            # Without a memory of what was sent, the next try would send it once more.
            raise AirflowFailException(str(error)) from error
    store.set(_KEPT, {**intent, "since": time.time()})
    try:
        result = hook.run(call)
    except errors.ChatworkError as error:
        if not (isinstance(error, errors.ChatworkUnknownOutcomeError) or may_have_executed(error)):
            # Nothing was created, so an equal message of somebody else must not be taken for it.
            store.delete(_KEPT)
        raise
    store.set(_KEPT, {**intent, "result": result})
    return Created(result, is_new=True)


def _fingerprint(call: Call[Any], stands_for: Mapping[str, str]) -> str:
    request = call.request
    form = {**(request.form or {}), **stands_for}
    digest = hashlib.sha256(repr((request.method, request.path, form)).encode())
    if request.upload is not None:
        digest.update(request.upload.filename.encode() + b"\0" + request.upload.content)
    return digest.hexdigest()


def _round(context: Context) -> int | None:
    # Clearing a task raises its `max_tries`, a retry does not: who clears a task wants the work done anew.
    return getattr(context.get("ti"), "max_tries", None)
