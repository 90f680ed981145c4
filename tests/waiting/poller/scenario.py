"""A sandbox on a virtual clock, with subscriptions, their requests and their log lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.waiting.poller.account_poller import PollerRegistry, override_registry
from airflow_provider_chatwork.waiting.poller.task_poller import TaskSubscription, subscribe_tasks
from tests.virtual_time import VirtualLoop, run_virtually

T = TypeVar("T")

ROOM = company.DATA_ROOM
BOT, SATO, YAMADA, TAKAHASHI = company.BOT, company.SATO, company.YAMADA, company.TAKAHASHI
#: Seconds that a request takes.
LATENCY = 0.2
EVER = float("inf")


class RecordedLog:
    """The log of one subscription."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, /, *values: Any) -> None:
        self.lines.append(message % values)


class Transport:
    """The transport of one account to the sandbox."""

    def __init__(self, scenario: Scenario) -> None:
        self._scene = scenario
        self.under_way = 0
        self.closed = 0

    async def __call__(self, request: HttpRequest) -> Response:
        assert not self.closed
        self.under_way += 1
        try:
            await asyncio.sleep(LATENCY / 2)
            await self._scene.on_the_way(request)
            answer = await self._scene.sandbox.ahandle(request)
            await asyncio.sleep(LATENCY / 2)
        finally:
            self.under_way -= 1
        return Response(answer.status, self._scene.headers(answer.headers), answer.body)

    async def close(self) -> None:
        await asyncio.sleep(0)
        assert not self.under_way
        self.closed += 1


class Scenario:
    """The sandbox and the pollers of a test.

    :param limits: those of the sandbox; none, where they are not given.
    """

    def __init__(self, loop: VirtualLoop, limits: Limits | None) -> None:
        self.loop = loop
        self.sandbox = Sandbox(clock=loop.unix_time, limits=limits or Limits.off())
        self.settings = Settings(self.sandbox.token)
        self.transports: list[Transport] = []
        self.registry = PollerRegistry(self._open, loop.unix_time)
        self.lines: list[str] = []
        #: Changes the headers of all answers.
        self.headers: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda headers: headers
        self._asked = 0

    def _open(self, settings: Settings) -> Transport:
        self.transports.append(Transport(self))
        return self.transports[-1]

    async def on_the_way(self, request: HttpRequest) -> None:
        """Called before each request. Tests replace it to delay requests."""

    @property
    def now(self) -> float:
        return self.loop.unix_time()

    def rooms(self, count: int) -> list[int]:
        """Create rooms."""
        roles = dict.fromkeys(map(str, (BOT, SATO, YAMADA, TAKAHASHI)), "admin")
        new = [500_000_000 + number for number in range(count)]
        self.sandbox.seed({"rooms": [{"room_id": room_id, "name": "r", "roles": roles} for room_id in new]})
        return new

    def people(self, count: int, room_id: int = ROOM) -> list[int]:
        """Add people to a room."""
        planted = self.sandbox.seed({"accounts": [{"name": f"p{number}"} for number in range(count)]})
        for account_id in planted["accounts"]:
            self.sandbox.store.rooms[room_id].roles[account_id] = "member"
        return list(planted["accounts"])

    def task(self, to: int = SATO, by: int = BOT, room_id: int = ROOM) -> int:
        return self.sandbox.create_task(room_id, by, [to], "確認")[0]

    def fill(self, count: int = 100, *, to: int = YAMADA, by: int = TAKAHASHI, done: bool = False) -> None:
        """Create tasks of others in the room."""
        for _ in range(count):
            task_id = self.task(to, by)
            if done:
                self.sandbox.complete_task(ROOM, task_id)

    def wait(self, *task_ids: int, **arguments: Any) -> AbstractAsyncContextManager[TaskSubscription]:
        arguments = {"settings": self.settings, "room_id": ROOM, **arguments}
        return subscribe_tasks(arguments.pop("settings"), arguments.pop("room_id"), task_ids, **arguments)

    def asked(self) -> list[str]:
        """Return the requests since the last call: ``open``, ``done``, ``read``, or the operation."""
        records = self.sandbox.requests
        new, self._asked = records[self._asked :], len(records)
        words = []
        for record in new:
            query = dict(record.query)
            if record.operation == "list_tasks":
                narrowed = [name for name in ("account_id", "assigned_by_account_id") if name in query]
                words.append(" ".join([str(query["status"]), *("to" if n == "account_id" else "by" for n in narrowed)]))
            else:
                words.append("read" if record.operation == "get_task" else str(record.operation))
        return words


@contextmanager
def _recorded(lines: list[str]) -> Iterator[None]:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, handler = logging.getLogger("airflow_provider_chatwork.waiting.poller.rate_budget"), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def play(main: Callable[[Scenario], Coroutine[Any, Any, T]], *, limits: Limits | None = None) -> T:
    """Run a test on a virtual clock, and check that it leaves no task, poller or transport behind."""

    async def run(loop: VirtualLoop) -> T:
        lost: list[object] = []
        loop.set_exception_handler(lambda _, context: lost.append(context))
        scenario = Scenario(loop, limits)
        with override_registry(scenario.registry), _recorded(scenario.lines):
            result = await main(scenario)
            await asyncio.sleep(1)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        assert not lost, "an unhandled error in the event loop"
        assert not len(scenario.registry)
        assert all(transport.closed == 1 for transport in scenario.transports)
        return result

    return run_virtually(run)


async def end_of(
    subscription: AbstractAsyncContextManager[TaskSubscription], until: float = EVER
) -> TaskSubscription | None:
    """Wait until the tasks are done; ``None`` if they are not done in time."""
    async with subscription as wait:
        while await wait.wait_for_change(until):
            if wait.is_complete:
                return wait
    return None
