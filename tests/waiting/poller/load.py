"""Random load on a virtual clock: many people, rooms and waits that share polls."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.connection import BASE_URL, Settings
from airflow_provider_chatwork.sandbox import Fault, Sandbox, company
from airflow_provider_chatwork.waiting.poller.task_poller import subscribe_tasks
from tests.virtual_time import VirtualLoop, run_virtually, sandbox_pollers

PEOPLE = (company.SATO, company.YAMADA, company.TAKAHASHI)
INTERVAL = 30.0
#: Seconds that a request takes.
LATENCY = 0.2
# Seconds without changes at the end, in which all waits end that can.
CALM = 3600.0


@dataclass
class Waiting:
    """One wait, when it should end, and how it ended."""

    room_id: int
    task_ids: list[int]
    needed: int
    since: float
    #: The periods in which enough tasks were done; the last one has no end if they still are.
    over: list[list[float]] = field(default_factory=list)
    impossible_since: float | None = None
    ended_at: float | None = None
    refused_at: float | None = None
    left: bool = False
    task: asyncio.Task[None] | None = None

    def was_over(self, since: float, until: float) -> bool:
        """Return whether enough tasks were done at some time between two times."""
        return any(begin <= until and (len(span) == 1 or span[1] >= since) for span in self.over for begin in span[:1])


class RandomLoad:
    """A sandbox with rooms full of tasks, and waits on some of them.

    :param seed: what chance draws from.
    :param rooms: how many rooms.
    :param others: how many open tasks of others there are in the first room; more than 100 hide what is waited for.
    :param troubles: whether Chatwork fails and refuses now and then.
    :param guests: how many requests others make with the same account in a minute.
    :param flaws: what share of the answers about a single task, or about those of one person, is a bad one.
    """

    def __init__(
        self,
        seed: int,
        *,
        rooms: int = 2,
        others: int = 0,
        troubles: bool = False,
        guests: int = 0,
        flaws: float = 0.0,
    ) -> None:
        self.chance = random.Random(seed)
        self.flaws = flaws
        self.flawed = 0
        self._flaw_chance = random.Random(f"{seed} flaws")
        self._missed: set[str] = set()
        self.waits: list[Waiting] = []
        self.guests = guests
        self.troubles = troubles
        self.polls: list[float] = []
        self.refused_polls = 0
        self.refused_guests = 0
        self.left_over = 0
        self._rooms = rooms
        self._others = others

    def live(self, seconds: float) -> None:
        """Change things at random for a number of seconds, then wait."""
        run_virtually(lambda loop: self._live(loop, seconds))

    async def _live(self, loop: VirtualLoop, seconds: float) -> None:
        self.loop = loop
        self.sandbox = Sandbox(clock=loop.unix_time)
        self.settings = Settings(self.sandbox.token)
        self.rooms = [company.DATA_ROOM, *(self._new_room(number) for number in range(1, self._rooms))]
        for _ in range(self._others):
            self.sandbox.create_task(self.rooms[0], company.YAMADA, [self.chance.choice(PEOPLE)], "of others")
        handle = self.sandbox.ahandle

        async def count(request: HttpRequest) -> Any:
            answer = self._flawed(request) or await handle(request)
            self.polls.append(loop.time())
            self.refused_polls += answer.status == 429
            return answer

        self.sandbox.ahandle = count  # type: ignore[method-assign]
        with sandbox_pollers(self.sandbox, loop.unix_time, latency=LATENCY) as those:
            acts = [asyncio.create_task(self._act_for(seconds)), asyncio.create_task(self._be_a_guest(seconds, handle))]
            await asyncio.gather(*acts)
            self.sandbox.clear_faults()
            await asyncio.sleep(CALM)
            self._settle_truth()
            open_ = [wait for wait in self.waits if wait.task is not None and not wait.task.done()]
            self.still_waiting = open_
            for wait in open_:
                wait.task.cancel()  # type: ignore[union-attr]
            await asyncio.gather(*(wait.task for wait in self.waits if wait.task), return_exceptions=True)
            await asyncio.sleep(1)
            self.left_over = len(those) + len(asyncio.all_tasks()) - 1

    def _new_room(self, number: int) -> int:
        roles = dict.fromkeys(map(str, (company.BOT, *PEOPLE)), "admin")
        planted = self.sandbox.seed(
            {"rooms": [{"room_id": 500_000_000 + number, "name": f"r{number}", "roles": roles}]}
        )
        assert planted
        return 500_000_000 + number

    async def _act_for(self, seconds: float) -> None:
        acts = [self._join] * 6 + [self._tick] * 8 + [self._untick] * 2 + [self._delete] + [self._leave] * 2
        if self.troubles:
            acts += [self._fail] * 2 + [self._recover] * 2
        for _ in range(5):
            self._join()
        while self.loop.time() < seconds:
            await asyncio.sleep(self.chance.expovariate(1 / 20))
            self.chance.choice(acts)()
            self._settle_truth()

    async def _be_a_guest(self, seconds: float, handle: Any) -> None:
        headers = {"x-chatworktoken": self.sandbox.token, "accept": "application/json"}
        while self.guests and self.loop.time() < seconds:
            await asyncio.sleep(self.chance.expovariate(self.guests / 60))
            answer = await handle(HttpRequest("GET", f"{BASE_URL}/me", headers))
            self.refused_guests += answer.status == 429

    # --- random changes

    def _join(self) -> None:
        room_id = self.chance.choice(self.rooms)
        if self.waits and self.chance.random() < 0.2:
            other = self.chance.choice(self.waits)
            room_id, task_ids = other.room_id, other.task_ids
        else:
            people = self.chance.sample(PEOPLE, self.chance.randint(1, 3))
            task_ids = self.sandbox.create_task(room_id, company.BOT, people, "waited for")
        wait = Waiting(room_id, task_ids, self.chance.randint(1, len(task_ids)), self.loop.time())
        self.waits.append(wait)
        known = {task["task_id"]: task["account"]["account_id"] for task in self.sandbox.tasks(room_id)}
        assignees = {task_id: known[task_id] for task_id in task_ids if task_id in known}
        wait.task = asyncio.create_task(self._wait(wait, assignees if self.chance.random() < 0.5 else {}))

    async def _wait(self, wait: Waiting, assignees: dict[int, int]) -> None:
        watched = subscribe_tasks(
            *(self.settings, wait.room_id, wait.task_ids),
            complete_when=wait.needed,
            interval=INTERVAL,
            assignees=assignees,
        )
        async with watched as watch:
            while not watch.is_complete:
                try:
                    await watch.wait_for_change(float("inf"))
                except ChatworkError:
                    wait.refused_at = self.loop.time()
                    return
            wait.ended_at = self.loop.time()

    def _some_task(self) -> tuple[int, int] | None:
        wait = self.chance.choice(self.waits)
        task_id = self.chance.choice(wait.task_ids)
        there = any(task["task_id"] == task_id for task in self.sandbox.tasks(wait.room_id))
        return (wait.room_id, task_id) if there else None

    def _tick(self) -> None:
        for _ in range(self.chance.choice((1, 1, 1, 5, 30))):
            if found := self._some_task():
                self.sandbox.complete_task(*found)

    def _untick(self) -> None:
        if found := self._some_task():
            self.sandbox.reopen_task(*found)

    def _delete(self) -> None:
        if found := self._some_task():
            self.sandbox.delete_task(*found)

    def _leave(self) -> None:
        wait = self.chance.choice(self.waits)
        if wait.task is not None and not wait.task.done():
            wait.left = True
            wait.task.cancel()

    def _fail(self) -> None:
        kind = self.chance.choice(
            [
                Fault("status", status=503, times=None),
                Fault("refuse", times=None),
                Fault("malformed", shape="html", times=None),
                Fault("status", status=500, times=3),
            ]
        )
        self.sandbox.add_fault(kind)

    def _recover(self) -> None:
        self.sandbox.clear_faults()

    def _flawed(self, request: HttpRequest) -> Response | None:
        """Return a wrong answer instead of the right one, at random."""
        is_single = re.search(r"/tasks/\d+$", request.url) is not None
        if not is_single and "account_id=" not in request.url:
            return None
        if self._flaw_chance.random() >= self.flaws:
            self._missed.discard(request.url)
            return None
        self.flawed += 1
        # Not twice in a row, as two 404 mean that the task was deleted.
        if is_single and request.url not in self._missed and self._flaw_chance.random() < 0.3:
            self._missed.add(request.url)
            return Response(404, {}, b"")
        return Response(*self._flaw_chance.choice([(503, {}, b""), (500, {}, b""), (200, {}, b"<html>")]))

    # --- expected results

    def _settle_truth(self) -> None:
        now = self.loop.time()
        rooms = [self.sandbox.store.rooms[room_id] for room_id in self.rooms]
        # Not sandbox.tasks(), which makes the JSON of every task each time.
        status = {task_id: task.status for room in rooms for task_id, task in room.tasks.items()}
        for wait in self.waits:
            done = sum(status.get(task_id) == "done" for task_id in wait.task_ids)
            there = sum(task_id in status for task_id in wait.task_ids)
            is_open = bool(wait.over) and len(wait.over[-1]) == 1
            if done >= wait.needed and not is_open:
                wait.over.append([now])
            elif done < wait.needed and is_open:
                wait.over[-1].append(now)
            if there < wait.needed and wait.impossible_since is None:
                wait.impossible_since = now
