"""Lets a sensor wait to its end in each of its modes, with people acting between its looks and no time passing."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.sandbox import Sandbox
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from tests.airflow_helpers import FakeTaskInstance
from tests.virtual_time import VirtualLoop, run_virtually, sandbox_pollers

MODES = ("poke", "reschedule", "deferrable")
TRIGGER_FAILED = {"error": "Trigger failure"}


@dataclass
class End:
    """How a wait ended: in a word, with the class of the error behind it, and with what it left."""

    how: str
    cause: str | None = None
    result: Any = None
    xcoms: Any = None


class Script:
    """What happens between one look and the next."""

    def __init__(self, steps: Iterable[Callable[[], object]]) -> None:
        self._steps = iter(steps)
        self.looks = 1
        self._idle = 0

    def go_on(self) -> None:
        """Let the next thing happen."""
        step = next(self._steps, None)
        self.looks += 1
        if step is not None:
            step()
            return
        # Where nothing happens any more, a wait may look again at its end.
        self._idle += 1
        assert self._idle < 30, f"the wait goes on for ever, after {self.looks} looks"


def wait(
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    steps: Iterable[Callable[[], object]] = (),
    kind: type[Any] = ChatworkTaskDoneSensor,
    **arguments: Any,
) -> End:
    """Let a sensor wait in a mode, and tell how it ended."""
    ti = FakeTaskInstance(waiting_since=datetime.now(UTC))
    script = Script(steps)
    in_triggerer = mode == "deferrable"

    def sensor() -> Any:
        return kind(
            task_id="wait",
            deferrable=in_triggerer,
            mode="poke" if in_triggerer else mode,
            **{"poke_interval": 5, "timeout": 3600, **arguments},
        )

    try:
        if mode == "poke":
            result = _poke(sensor, {"ti": ti}, script, monkeypatch)
        elif mode == "reschedule":
            result = _reschedule(sensor, {"ti": ti}, script)
        else:
            result = _defer(sensor, {"ti": ti}, script, sandbox)
    except AirflowSkipException:
        return End("skipped", xcoms=ti.xcoms)
    except AirflowSensorTimeout:
        return End("timed out", xcoms=ti.xcoms)
    except AirflowFailException as error:
        return End("failed for good", type(error.__cause__).__name__, xcoms=ti.xcoms)
    except AssertionError:
        raise
    except Exception:
        return End("failed", xcoms=ti.xcoms)
    return End("done", None, result, ti.xcoms)


def _poke(sensor: Callable[[], Any], context: Any, script: Script, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", lambda seconds: script.go_on())
        return sensor().execute(context)


def _reschedule(sensor: Callable[[], Any], context: Any, script: Script) -> Any:
    while True:
        try:
            # A new one each time, as each time it is another process.
            return sensor().execute(context)
        except Exception as error:
            if type(error).__name__ != "AirflowRescheduleException":
                raise
        script.go_on()


def _defer(sensor: Callable[[], Any], context: Any, script: Script, sandbox: Sandbox) -> Any:
    try:
        return sensor().execute(context)
    except TaskDeferred as deferred:
        waiting = deferred
    script.go_on()
    # Through JSON, as the database keeps it.
    path, arguments = json.loads(json.dumps(waiting.trigger.serialize()))
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**arguments)
    try:
        event = json.loads(json.dumps(_event(trigger, sandbox, script)))
    except AssertionError:
        raise
    except Exception as error:
        failed = {**TRIGGER_FAILED, "traceback": traceback.format_exception(error)}
        return sensor().resume_execution("__fail__", failed, context)
    return sensor().resume_execution(waiting.method_name, {**(waiting.kwargs or {}), "event": event}, context)


def _event(trigger: Any, sandbox: Sandbox, script: Script) -> Any:
    async def first(loop: VirtualLoop) -> Any:
        with sandbox_pollers(sandbox, loop.unix_time):
            events = [event.payload async for event in trigger.run()]
        assert len(events) == 1
        return events[0]

    def passed(seconds: float) -> None:
        # Less is not a pause between two looks.
        if seconds >= 1:
            script.go_on()

    return run_virtually(first, start=time.time(), on_jump=passed)
