"""What all sensors share: three ways to wait, and ends that are the same in each of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    XComArg,
    conf,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError, from_plain
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.links import ChatworkMessageLink, ChatworkRoomLink, push_place
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_chatwork.client import Client


class ChatworkSensor(BaseSensorOperator):
    """The base of the sensors.

    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param end_from_trigger: whether a wait in the triggerer also ends there (Airflow 3.0 and later), so that no worker
        is started for its end.
    """

    template_fields: Sequence[str] = ("room_id", "chatwork_conn_id")
    operator_extra_links = (ChatworkRoomLink(), ChatworkMessageLink())
    ui_color = "#fdeeee"

    def __init__(
        self,
        *,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.chatwork_conn_id = chatwork_conn_id
        self.deferrable = deferrable
        self.end_from_trigger = end_from_trigger
        if end_from_trigger and not AIRFLOW_V_3_0_PLUS:
            self._warn("end_from_trigger=True has an effect from Airflow 3.0 on; this wait ends in a worker")
            self.end_from_trigger = False

    @cached_property
    def hook(self) -> ChatworkHook:
        """The hook of the connection."""
        return ChatworkHook(self.chatwork_conn_id)

    @property
    def client(self) -> Client:
        """The client to look with: a patient one only where it is this worker that waits."""
        waits_here = not self.deferrable and self.mode == "poke"
        return self.hook.client if waits_here else self.hook.quick_client

    def begin(self, context: Context) -> None:
        """Find what cannot be right before anything is sent."""
        raise NotImplementedError

    def look(self, context: Context) -> Any:
        """Look once. Returns the result of the wait, and ``None`` while there is none."""
        raise NotImplementedError

    def trigger(self) -> BaseTrigger:
        """Return what goes on with the wait in the triggerer, after a look that found nothing."""
        raise NotImplementedError

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the result of the wait, out of the trigger's event of status ``done``."""
        raise NotImplementedError

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. Where Chatwork is out of reach for a while, the wait goes on."""
        from airflow_provider_chatwork.api.retry import is_transient

        try:
            result = self._look(context)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self.log.warning("Chatwork did not tell how things stand; the wait goes on. %s", error)
            result = None
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _look(self, context: Context) -> Any:
        try:
            return self.look(context)
        except ChatworkAuthError:
            # Whoever has re-issued the token may have put the new one into the connection by now.
            if not self.hook.reload_connection():
                raise
        return self.look(context)

    def execute(self, context: Context) -> Any:
        """Wait, in the worker or in the triggerer."""
        with self._ends():
            self.begin(context)
            self._show_room(context)
            if not self.deferrable:
                return super().execute(context)
            first = self._first_look(context)
        if first.is_done:
            return first.xcom_value
        self._defer()
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """End the wait as the trigger saw it end."""
        from airflow_provider_chatwork.triggers._event import EventStatus

        if event["status"] == EventStatus.TIMEOUT:
            raise AirflowSensorTimeout(
                f"Sensor has timed out; run duration is over the {self.timeout:.0f} s of timeout"
            )
        if event["status"] == EventStatus.ERROR:
            raise from_plain(event["error"])
        return self.finish(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer, with the same ends as a wait in the worker."""
        timeout_error = trigger_timeout(next_method, next_kwargs)
        with self._ends():
            if timeout_error is not None:
                return self._late_look(context, timeout_error)
            try:
                # Not that of the sensors' base class, which softens whatever went wrong in the triggerer.
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            except Exception as failure:
                self._end_softly(failure)
                raise

    def patience(self) -> dict[str, Any]:
        """The arguments that every trigger takes: where to look, how often, until when, and how to end."""
        return {**self.habits(), "room_id": self.room_number, "deadline": time.time() + self.timeout}

    def habits(self) -> dict[str, Any]:
        """Those of them that are known when a DAG file is read."""
        return {
            "chatwork_conn_id": self.chatwork_conn_id,
            "poke_interval": self.poke_interval,
            "exponential_backoff": bool(self.exponential_backoff),
            "max_interval": self.max_wait.total_seconds() if self.max_wait else None,
            "silent_fail": self.silent_fail,
            "end_from_trigger": self.end_from_trigger,
            "soft_fail": self.soft_fail,
            "never_fail": self.never_fail,
            "do_xcom_push": self.do_xcom_push,
        }

    def begin_in_triggerer(self, trigger: str, **fields: Any) -> None:
        """Let the task begin in the triggerer, so that no worker is started for it.

        To be called at the end of the constructor.

        :param trigger: the name of the trigger's class in ``triggers/``, with its module.
        :param fields: its arguments that may be templates; the triggerer renders them.
        """
        self.deferrable = True
        if not AIRFLOW_V_3_3_PLUS:
            self._warn("start_from_trigger=True has an effect from Airflow 3.3 on; this wait begins in a worker")
            return
        from airflow.triggers.base import StartTriggerArgs

        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"airflow_provider_chatwork.triggers.{trigger}",
            trigger_kwargs={
                **self.habits(),
                "before_timeout": self._before_timeout(),
                # What another task has left stands for itself only as a template.
                **{name: str(value) if isinstance(value, XComArg) else value for name, value in fields.items()},
            },
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout) + TRIGGER_TIMEOUT_GRACE,
        )

    def _before_timeout(self) -> float:
        """How many seconds before Airflow's own deadline the wait is over, where the task begins in the triggerer."""
        net = TRIGGER_TIMEOUT_GRACE.total_seconds()
        if self.execution_timeout is not None:
            # Airflow's own deadline is that one, where it comes first.
            net = min(net, max(0.0, self.execution_timeout.total_seconds() - self.timeout))
        return net

    def _warn(self, text: str) -> None:
        warnings.warn(f"{type(self).__name__} {self.task_id}: {text}", UserWarning, stacklevel=4)

    @property
    def room_number(self) -> int:
        """The room to look into.

        :raises ChatworkParameterError: where neither the sensor nor the connection names one.
        """
        return api.validation.identifier("room_id", self.hook.room_id_or_default(self.room_id))

    def show_place(self, context: Context, message_id: str | None) -> None:
        """Let the task's links in the UI lead to the room and a message of it."""
        push_place(context, self.hook.settings.web_url, self.hook.room_id_or_default(self.room_id), message_id)

    def _show_room(self, context: Context) -> None:
        """Let the links lead to the room while the task waits; Airflow logs an error where it asks for them in vain."""
        # What is wrong with the connection the first look will tell, which knows whether to go on all the same.
        with suppress(Exception):
            self.show_place(context, None)

    @contextmanager
    def _ends(self) -> Iterator[None]:
        try:
            with fail_permanently():
                yield
        except (AirflowFailException, AirflowSensorTimeout) as error:
            # The base class sees to it where it pokes, but not before and not in a wait in the triggerer.
            if self.soft_fail and isinstance(error, AirflowSensorTimeout):
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            self._end_softly(error)
            raise

    def _end_softly(self, error: Exception) -> None:
        if self.never_fail:
            raise AirflowSkipException("Skipping due to never_fail is set to True.") from error

    def _first_look(self, context: Context) -> PokeReturnValue:
        try:
            return self.poke(context)
        except Exception as error:
            if self.silent_fail:
                self.log.error("Sensor poke failed: %s", error)
                return PokeReturnValue(is_done=False)
            self._end_softly(error)
            raise

    def _late_look(self, context: Context, error: str) -> Any:
        """Look where no triggerer did; what was done in the meantime counts."""
        self.begin(context)
        look = self._first_look(context)
        if not look.is_done:
            raise AirflowSensorTimeout(error)
        return look.xcom_value

    def _defer(self) -> None:
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + TRIGGER_TIMEOUT_GRACE,
        )
