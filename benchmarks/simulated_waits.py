"""Run 10,000 waits in 50 rooms of a sandbox, as a triggerer does."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.client import AsyncTransport
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from airflow_provider_chatwork.waiting.poller.account_poller import AccountPoller, PollerRegistry, override_registry
from benchmarks.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

WAITS = 10_000
ROOMS = 50
#: The interval of each wait, in seconds.
INTERVAL = 60.0

_TOKEN = "benchmark-token-0123456789abcdef"
_FIRST_ROOM, _FIRST_PERSON = 500_000_000, 2_000_000
_CONNECTION = f'{{"conn_type": "chatwork", "password": "{_TOKEN}"}}'
# How long a request is on its way, in seconds.
_LATENCY = 0.1
_PATIENCE = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Plan:
    """What is waited for.

    :param tasks: open tasks in each room.
    :param people: by how many people they are to be done.
    """

    tasks: int
    people: int


#: As many open tasks as a list of Chatwork shows, about two waits for each; the others have one each.
SEEN, THREE, TEN = Plan(99, 3), Plan(200, 3), Plan(200, 10)


class Given(NamedTuple):
    """A task that somebody was given."""

    room_id: int
    task_id: int
    account_id: int


class Crowd:
    """The rooms, the tasks, and the waits.

    :param loop: where they wait.
    :param limits: those of the sandbox.
    :param elsewhere: goes around what the sandbox does.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        limits: Limits | None = None,
        elsewhere: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        # What a triggerer reads from its connection.
        os.environ["AIRFLOW_CONN_CHATWORK_DEFAULT"] = _CONNECTION
        self.loop = loop
        self._elsewhere = elsewhere
        self.sandbox = Sandbox(_TOKEN, clock=loop.unix_time, limits=limits)
        #: When which room was asked for, by the loop's clock.
        self.calls: list[tuple[float, int]] = []
        #: How many requests were refused.
        self.refused = 0
        self.given = list(self._give(plan))
        #: The task of each wait; the rooms alternate.
        self.waited_for = [
            self.given[number % ROOMS * plan.tasks + number // ROOMS % plan.tasks] for number in range(WAITS)
        ]
        self.running: list[asyncio.Task[None]] = []
        #: When each wait ended, by the loop's clock.
        self.ended: dict[int, float] = {}

    def _give(self, plan: Plan) -> Iterator[Given]:
        people = range(_FIRST_PERSON, _FIRST_PERSON + plan.people)
        self.sandbox.seed({"accounts": [{"account_id": one, "name": f"担当 {one}"} for one in people]})
        roles = {str(company.BOT): "admin", **{str(one): "member" for one in people}}
        rooms = range(_FIRST_ROOM, _FIRST_ROOM + ROOMS)
        self.sandbox.seed({"rooms": [{"room_id": one, "name": f"店舗 {one}", "roles": roles} for one in rooms]})
        for room_id in rooms:
            for number in range(plan.tasks):
                person = people[number % plan.people]
                (task_id,) = self.sandbox.create_task(
                    room_id, company.BOT, [person], f"{number} 日の売上を確認してください。"
                )
                yield Given(room_id, task_id, person)

    def reachable(self, *, each_for_itself: bool = False) -> AbstractContextManager[PollerRegistry]:
        """Let waits talk to the sandbox.

        :param each_for_itself: whether each of them polls alone.
        """
        clock = self.loop.unix_time
        if each_for_itself:
            return override_registry(_EachForItself(self._send, clock))
        return override_registry(PollerRegistry(lambda settings: self._send, clock))

    async def _send(self, request: HttpRequest) -> Response:
        self.calls.append((self.loop.time(), int(request.url.split("/rooms/")[1].split("/")[0])))
        await asyncio.sleep(_LATENCY / 2)
        with self._elsewhere():
            response = self.sandbox.handle(request)
        self.refused += response.status == 429
        await asyncio.sleep(_LATENCY / 2)
        return response

    def triggers(self) -> Iterator[BaseTrigger]:
        """The triggers of all waits, as a sensor that has been deferred gives them."""
        for given in self.waited_for:
            yield ChatworkTaskDoneTrigger(
                chatwork_conn_id="chatwork_default",
                room_id=given.room_id,
                task_ids=[given.task_id],
                assignees={str(given.task_id): given.account_id},
                complete_when="all",
                poke_interval=INTERVAL,
                deadline=self.loop.unix_time() + _PATIENCE,
            )

    async def start(self, triggers: Iterator[BaseTrigger]) -> None:
        """Start triggers as a triggerer does: one in each iteration of the event loop."""
        self.ended.clear()
        self.running = []
        for number, trigger in enumerate(triggers):
            await asyncio.sleep(0)
            self.running.append(self.loop.create_task(self._run(number, trigger)))

    async def _run(self, number: int, trigger: BaseTrigger) -> None:
        async for _ in trigger.run():
            self.ended[number] = self.loop.time()

    async def stop(self) -> None:
        """Cancel triggers as a triggerer does: one in each iteration of the event loop."""
        for task in self.running:
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*self.running, return_exceptions=True)

    def tick_later(self, chance: random.Random, share: float, within: float) -> dict[Given, float]:
        """Let people tick a share of the tasks at random moments of the next seconds; returns when."""
        now = self.loop.time()
        moments = {
            given: now + chance.uniform(0, within)
            for given in chance.sample(self.given, round(share * len(self.given)))
        }
        for given, moment in moments.items():
            self.loop.happens(moment, partial(self.sandbox.complete_task, given.room_id, given.task_id))
        return moments

    def tick_all(self) -> None:
        """Let people tick all tasks at once."""
        for given in self.given:
            self.sandbox.complete_task(given.room_id, given.task_id)


class _EachForItself(PollerRegistry):
    """Returns a new poller each time, so that each wait has its own polls and rate budget."""

    def __init__(self, transport: AsyncTransport, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self._send = transport

    def get(self, settings: Settings) -> AccountPoller:
        return AccountPoller(settings, self._send, self.clock, on_empty=lambda: None)
