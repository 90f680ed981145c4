"""The base of the triggers, tested with the trigger for tasks."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat import connection

from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkServerError
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.triggers._base import WorkerWait
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

ROOM = company.DATA_ROOM
HOUR = 3600.0


class TestConnection:
    """A connection that cannot be read."""

    @pytest.fixture
    def end(self, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, float, list[float]]]:
        (task_id,) = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.complete_task(ROOM, task_id)
        whole = connection.get_async_connection

        def end(until: float, error: Exception, **changed: Any) -> tuple[Any, float, list[float]]:
            """Return the event or the error, its time, and the times at which the connection was read."""
            asked: list[float] = []

            async def main(loop: VirtualLoop) -> Any:
                async def get(*arguments: Any, **named: Any) -> Any:
                    asked.append(loop.time())
                    if loop.time() < until:
                        raise error
                    return await whole(*arguments, **named)

                monkeypatch.setattr(connection, "get_async_connection", get)
                arguments: dict[str, Any] = {
                    "chatwork_conn_id": "chatwork_default",
                    "room_id": ROOM,
                    "task_ids": [task_id],
                    "complete_when": "all",
                    "poke_interval": 60.0,
                    "deadline": START + HOUR,
                    **changed,
                }
                with sandbox_pollers(sandbox, loop.unix_time):
                    try:
                        (event,) = [e.payload async for e in ChatworkTaskDoneTrigger(**arguments).run()]
                    except Exception as raised:
                        return raised, loop.time()
                    return event, loop.time()

            result, at = run_virtually(main)
            return result, at, asked

        return end

    def test_is_read_again_after_an_error(self, end, caplog, capsys):
        event, at, asked = end(100.0, RuntimeError("503"))
        assert event["status"] == "done"
        assert at < 200
        assert len(asked) == 8
        shown = capsys.readouterr()
        # Airflow 2 writes its log to two of these places.
        counts = [
            text.count("Reading connection chatwork_default failed") for text in (caplog.text, shown.out, shown.err)
        ]
        assert set(counts) == {0, 1}

    def test_error_is_raised_after_ten_minutes(self, end):
        error = RuntimeError("503")
        raised, at, asked = end(HOUR, error)
        assert raised is error
        assert at == pytest.approx(600)
        assert len(asked) < 20

    @pytest.mark.parametrize(("deadline", "expected"), [(100, 100), (-500, 30)])
    def test_error_is_raised_at_the_deadline(self, deadline, expected, end):
        raised, at, _ = end(HOUR, RuntimeError("503"), deadline=START + deadline)
        assert type(raised) is RuntimeError
        assert at == pytest.approx(expected)

    def test_invalid_field_is_raised_at_once(self, end):
        raised, at, asked = end(HOUR, ChatworkParameterError("timezone", "x", "…"))
        assert type(raised) is ChatworkParameterError
        assert (at, len(asked)) == (0, 1)


class TestOnChange:
    def test_is_called_again_after_a_back_off_and_not_after_an_interval(self, sandbox: Any) -> None:
        class Helpful(ChatworkTaskDoneTrigger):
            """Fails twice before it succeeds."""

            tries = 0

            async def on_change(self, subscription: Any) -> Any:
                self.tries += 1
                if self.tries < 3:
                    raise ChatworkServerError("post_message", 503)
                return await super().on_change(subscription)

        (task_id,) = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.complete_task(ROOM, task_id)

        async def main(loop: VirtualLoop) -> float:
            trigger = Helpful(
                chatwork_conn_id="chatwork_default",
                room_id=ROOM,
                task_ids=[task_id],
                complete_when="all",
                poke_interval=7200.0,
                deadline=START + 24 * HOUR,
            )
            with sandbox_pollers(sandbox, loop.unix_time):
                (event,) = [e.payload async for e in trigger.run()]
            assert event["status"] == "done"
            return loop.time()

        assert 15 <= run_virtually(main) < 20


class TestWorkerWait:
    """The wait loop of a trigger in a worker."""

    @pytest.fixture
    def task_id(self, sandbox: Any) -> int:
        return sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")[0]

    @pytest.fixture
    def wait(self, task_id: int) -> WorkerWait:
        return WorkerWait(
            ChatworkTaskDoneTrigger(
                chatwork_conn_id="chatwork_default",
                room_id=ROOM,
                task_ids=[task_id],
                complete_when="all",
                poke_interval=1.0,
                deadline=time.time() + 60,
            )
        )

    @pytest.fixture
    def sigterm(self) -> Iterator[Callable[[Any], None]]:
        before = signal.getsignal(signal.SIGTERM)
        yield lambda handler: signal.signal(signal.SIGTERM, lambda number, frame: handler()) and None
        signal.signal(signal.SIGTERM, before)

    @staticmethod
    def after(seconds: float, act: Callable[[], object]) -> None:
        threading.Timer(seconds, act).start()

    def test_returns_the_event_of_the_trigger(self, sandbox: Any, wait: WorkerWait, task_id: int) -> None:
        sandbox.complete_task(ROOM, task_id)
        event = wait.run()
        assert event is not None
        assert event["status"] == "done"

    def test_runs_where_an_event_loop_is_running(self, sandbox: Any, wait: WorkerWait, task_id: int) -> None:
        async def main() -> Any:
            return wait.run()

        sandbox.complete_task(ROOM, task_id)
        assert asyncio.run(main())["status"] == "done"

    def test_a_signal_handler_ends_it_by_cancel_even_twice(
        self, wait: WorkerWait, sigterm: Callable[[Any], None]
    ) -> None:
        def on_kill() -> None:
            wait.cancel()
            wait.cancel()

        sigterm(on_kill)
        self.after(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
        began = time.monotonic()
        assert wait.run() is None
        assert time.monotonic() - began < 20

    def test_another_thread_ends_it_by_cancel(self, wait: WorkerWait) -> None:
        self.after(1.0, wait.cancel)
        assert wait.run() is None

    def test_cancel_before_run_keeps_it_from_asking_chatwork(self, sandbox: Any, wait: WorkerWait) -> None:
        before = len(sandbox.requests)
        wait.cancel()
        assert wait.run() is None
        assert len(sandbox.requests) == before

    def test_cancel_after_the_end_changes_nothing(self, sandbox: Any, wait: WorkerWait, task_id: int) -> None:
        sandbox.complete_task(ROOM, task_id)
        assert wait.run() is not None
        wait.cancel()

    def test_an_error_of_a_signal_handler_ends_it_and_is_raised(
        self, wait: WorkerWait, sigterm: Callable[[Any], None]
    ) -> None:
        class Terminated(BaseException):
            """Not an Exception, like the error that Airflow raises for execution_timeout."""

        def terminate() -> None:
            raise Terminated

        sigterm(terminate)
        self.after(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Terminated):
            wait.run()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("chatwork-wait")]

    def test_leaves_the_event_loop_of_this_thread_as_it_is(self, sandbox: Any, wait: WorkerWait, task_id: int) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            sandbox.complete_task(ROOM, task_id)
            wait.run()
            assert asyncio.get_event_loop_policy().get_event_loop() is loop
        finally:
            asyncio.set_event_loop(None)
            loop.close()
