"""What all sensors share: three modes to wait in, and the same results in each of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
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
from airflow_provider_chatwork.links import push_place
from airflow_provider_chatwork.operators._base import ChatworkBaseOperator
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_chatwork.client import Client


class ChatworkSensor(ChatworkBaseOperator, BaseSensorOperator):
    """The base of the sensors.

    A worker that may not defer waits in the poke loop of Airflow's sensors, which mode ``reschedule`` needs. The
    triggers decide by the same functions of ``waiting`` as :meth:`check`.

    :param deferrable: whether to wait in the triggerer, without a worker slot.
    :param end_from_trigger: whether a wait in the triggerer also ends there, without a worker. Needs Airflow 3.0.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.end_from_trigger = end_from_trigger
        if end_from_trigger and not AIRFLOW_V_3_0_PLUS:
            self._warn("end_from_trigger=True needs Airflow 3.0; this wait ends in a worker")
            self.end_from_trigger = False

    @property
    def client(self) -> Client:
        """The client for :meth:`check`. It retries for long only if this worker waits."""
        waits_here = not self.deferrable and self.mode == "poke"
        return self.hook.client if waits_here else self.hook.quick_client

    def prepare(self, context: Context) -> None:
        """Validate the rendered arguments before anything is sent."""
        raise NotImplementedError

    def check(self, context: Context) -> Any:
        """Poll once, and return the result of the wait; ``None`` if the wait goes on."""
        raise NotImplementedError

    def trigger(self) -> BaseTrigger:
        """Return the trigger that continues the wait after a check without a result."""
        raise NotImplementedError

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the result of the wait from the event of the trigger, whose status is ``done``."""
        raise NotImplementedError

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. An outage of Chatwork does not end the wait."""
        from airflow_provider_chatwork.api.retry import is_transient

        try:
            result = self._check(context)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self.log.warning(
                "Polling Chatwork (connection %s) failed; the next poke retries: %s", self.chatwork_conn_id, error
            )
            result = None
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _check(self, context: Context) -> Any:
        try:
            return self.check(context)
        except ChatworkAuthError:
            # A token that was issued again may be in the connection by now.
            if not self.hook.reload_connection():
                raise
        return self.check(context)

    def execute(self, context: Context) -> Any:
        """Wait, in the worker or in the triggerer."""
        with self._mapped_failures():
            self.prepare(context)
            self._show_room(context)
            if not self.deferrable:
                return super().execute(context)
            first = self._poke_once(context)
        if first.is_done:
            return first.xcom_value
        self._defer()
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """End the task with the event of the trigger."""
        from airflow_provider_chatwork.triggers._event import EventStatus

        if event["status"] == EventStatus.TIMEOUT:
            raise AirflowSensorTimeout(
                f"Sensor has timed out; run duration is over the {self.timeout:.0f} s of timeout"
            )
        if event["status"] == EventStatus.ERROR:
            raise from_plain(event["error"])
        return self.finish(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the trigger, with the same failures as a wait in a worker."""
        timeout_error = trigger_timeout(next_method, next_kwargs)
        with self._mapped_failures():
            if timeout_error is not None:
                return self._poke_after_timeout(context, timeout_error)
            try:
                # Not the method of BaseSensorOperator, whose soft_fail skips after any error of the trigger.
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            except Exception as failure:
                self._skip_if_never_fail(failure)
                raise

    def trigger_arguments(self) -> dict[str, Any]:
        """Return the arguments that all triggers of sensors have."""
        return {**self.static_trigger_arguments(), "room_id": self.room_number, "deadline": time.time() + self.timeout}

    def static_trigger_arguments(self) -> dict[str, Any]:
        """Return those of them that are known when the DAG file is parsed."""
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

    def start_in_triggerer(self, trigger: str, **fields: Any) -> None:
        """Let the task start in the triggerer, without a worker. Call it at the end of the constructor.

        :param trigger: module and class of the trigger, below ``triggers``.
        :param fields: its arguments that may be templates. The triggerer renders them.
        """
        self.deferrable = True
        if not AIRFLOW_V_3_3_PLUS:
            self._warn("start_from_trigger=True needs Airflow 3.3; this wait begins in a worker")
            return
        from airflow.triggers.base import StartTriggerArgs

        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"airflow_provider_chatwork.triggers.{trigger}",
            trigger_kwargs={
                **self.static_trigger_arguments(),
                "before_timeout": self._before_timeout(),
                # The triggerer renders an XComArg only as the text of a template.
                **{name: str(value) if isinstance(value, XComArg) else value for name, value in fields.items()},
            },
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout) + TRIGGER_TIMEOUT_GRACE,
        )

    def _before_timeout(self) -> float:
        """Return how many seconds before the timeout of the Airflow trigger the wait ends."""
        net = TRIGGER_TIMEOUT_GRACE.total_seconds()
        if self.execution_timeout is not None:
            # Airflow uses the earlier of both.
            net = min(net, max(0.0, self.execution_timeout.total_seconds() - self.timeout))
        return net

    def _warn(self, text: str) -> None:
        warnings.warn(f"{type(self).__name__} {self.task_id}: {text}", UserWarning, stacklevel=4)

    @property
    def room_number(self) -> int:
        """The id of the room.

        :raises ChatworkParameterError: neither the sensor nor the connection names a room.
        """
        return api.validation.identifier("room_id", self.hook.room_id_or_default(self.room_id))

    def show_place(self, context: Context, message_id: str | None) -> None:
        """Set the links of the task in the UI."""
        push_place(context, self.hook.settings.web_url, self.hook.room_id_or_default(self.room_id), message_id)

    def _show_room(self, context: Context) -> None:
        """Set the link to the room while the task waits. Airflow logs an error if it finds no link."""
        # An invalid connection fails the first check, or not, with silent_fail.
        with suppress(Exception):
            self.show_place(context, None)

    @contextmanager
    def _mapped_failures(self) -> Iterator[None]:
        try:
            with fail_permanently():
                yield
        except (AirflowFailException, AirflowSensorTimeout) as error:
            # BaseSensorOperator does this while it pokes, but not before, and not for a wait in the triggerer.
            if self.soft_fail and isinstance(error, AirflowSensorTimeout):
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            self._skip_if_never_fail(error)
            raise

    def _skip_if_never_fail(self, error: Exception) -> None:
        if self.never_fail:
            raise AirflowSkipException("Skipping due to never_fail is set to True.") from error

    def _poke_once(self, context: Context) -> PokeReturnValue:
        from airflow_provider_chatwork.triggers._event import SILENT_FAILURE

        try:
            return self.poke(context)
        except Exception as error:
            if self.silent_fail:
                self.log.error(SILENT_FAILURE, self.chatwork_conn_id, error)
                return PokeReturnValue(is_done=False)
            self._skip_if_never_fail(error)
            raise

    def _poke_after_timeout(self, context: Context, error: str) -> Any:
        """Poll once more, as no triggerer did. What was done in the meantime counts."""
        self.prepare(context)
        last = self._poke_once(context)
        if not last.is_done:
            raise AirflowSensorTimeout(error)
        return last.xcom_value

    def _defer(self) -> None:
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + TRIGGER_TIMEOUT_GRACE,
        )
