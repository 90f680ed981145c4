"""What the base of the triggers does by itself, with the trigger for tasks in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat import connection

from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkServerError
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from tests.virtual_time import START, VirtualLoop, accounts, run_virtually

ROOM = company.DATA_ROOM
HOUR = 3600.0


class TestConnection:
    """One that cannot be read."""

    @pytest.fixture
    def end(self, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, float, list[float]]]:
        (task_id,) = sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.tick(ROOM, task_id)
        whole = connection.get_async_connection

        def end(until: float, error: Exception, **changed: Any) -> tuple[Any, float, list[float]]:
            """The event or the error, when it came, and when the connection was asked for."""
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
                with accounts(sandbox, loop.unix_time):
                    try:
                        (event,) = [e.payload async for e in ChatworkTaskDoneTrigger(**arguments).run()]
                    except Exception as raised:
                        return raised, loop.time()
                    return event, loop.time()

            result, at = run_virtually(main)
            return result, at, asked

        return end

    def test_for_a_moment_ends_nothing(self, end, caplog, capsys):
        event, at, asked = end(100.0, RuntimeError("503"))
        assert event["status"] == "done"
        assert at < 200
        assert len(asked) == 8
        shown = capsys.readouterr()
        # The log of Airflow 2 is in two of these places.
        counts = [text.count("the wait goes on for now") for text in (caplog.text, shown.out, shown.err)]
        assert set(counts) == {0, 1}

    def test_for_longer_than_ten_minutes_is_raised(self, end):
        error = RuntimeError("503")
        raised, at, asked = end(HOUR, error)
        assert raised is error
        assert at == pytest.approx(600)
        assert len(asked) < 20

    @pytest.mark.parametrize(("deadline", "expected"), [(100, 100), (-500, 30)])
    def test_is_raised_when_the_wait_is_over(self, deadline, expected, end):
        raised, at, _ = end(HOUR, RuntimeError("503"), deadline=START + deadline)
        assert type(raised) is RuntimeError
        assert at == pytest.approx(expected)

    def test_because_of_what_it_says_is_raised_at_once(self, end):
        raised, at, asked = end(HOUR, ChatworkParameterError("timezone", "x", "…"))
        assert type(raised) is ChatworkParameterError
        assert (at, len(asked)) == (0, 1)


class TestAttending:
    def test_that_fails_does_not_make_a_wait_deaf_for_an_interval(self, sandbox: Any) -> None:
        class Helpful(ChatworkTaskDoneTrigger):
            """Does something that fails, before it is done."""

            tries = 0

            async def attend(self, wait: Any) -> Any:
                self.tries += 1
                if self.tries < 3:
                    raise ChatworkServerError("post_message", 503)
                return await super().attend(wait)

        (task_id,) = sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.tick(ROOM, task_id)

        async def main(loop: VirtualLoop) -> float:
            trigger = Helpful(
                chatwork_conn_id="chatwork_default",
                room_id=ROOM,
                task_ids=[task_id],
                complete_when="all",
                poke_interval=7200.0,
                deadline=START + 24 * HOUR,
            )
            with accounts(sandbox, loop.unix_time):
                (event,) = [e.payload async for e in trigger.run()]
            assert event["status"] == "done"
            return loop.time()

        assert 15 <= run_virtually(main) < 20
