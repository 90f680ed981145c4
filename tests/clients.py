"""Both clients with one interface, connected to a sandbox, with a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, HttpRequest, Response
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.client import AsyncClient, Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Fault, Sandbox

T = TypeVar("T")

LOOPS = ("Client", "AsyncClient")
TOKEN = "sandbox-token"
START = 1_767_225_600.25
#: The duration of a request, in seconds.
LATENCY = 0.05

ROOM_LIMIT = {"errors": ["Rate limit for message posting per room exceeded."]}


class FakeClock:
    """A Unix time that only the test and sleeps advance."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class Scene:
    """A client, its sandbox, and the clock of both.

    :param loop: which of the two clients.
    :param skew: how many seconds the client's clock is ahead of the sandbox's.
    :param jitter: the random number of every jitter.
    :param transport: answers instead of the sandbox.
    """

    def __init__(
        self,
        loop: str = "Client",
        *,
        skew: float = 0.0,
        jitter: float = 0.5,
        max_wait: float = 300.0,
        tries: int = 5,
        transport: Callable[[HttpRequest], Response] | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.sandbox = sandbox or Sandbox(TOKEN, clock=self.clock, sleep=self.clock.sleep)
        self.sandbox.clock = self.clock
        self.max_wait = max_wait
        self.sent: list[HttpRequest] = []
        self._answer = transport or self.sandbox.handle
        self._runner: asyncio.Runner | None = None
        settings = Settings(TOKEN, max_wait=max_wait)
        policy = RetryPolicy(max_wait=max_wait, tries=tries, jitter=lambda: jitter)

        def here() -> float:
            return self.clock() + skew

        self.client: Any
        if loop == "Client":
            self.client = Client(settings, self._send, policy=policy, clock=here, sleep=self.clock.sleep)
        else:
            self._runner = asyncio.Runner()
            self.client = AsyncClient(settings, self._asend, policy=policy, clock=here, sleep=self.clock.asleep)

    def _send(self, request: HttpRequest) -> Response:
        self.sent.append(request)
        self.clock.now += LATENCY / 2
        try:
            return self._answer(request)
        except errors.ChatworkNetworkError as error:
            if error.timed_out:
                self.clock.now += request.timeout
            raise
        finally:
            self.clock.now += LATENCY / 2

    async def _asend(self, request: HttpRequest) -> Response:
        await asyncio.sleep(0)
        return self._send(request)

    def run(self, call: Call[T]) -> T:
        """Run a call. ``clock.slept`` has the sleeps between its tries."""
        return self._wait_for(self.client.run(call))

    def run_flow(self, flow: Any) -> Any:
        return self._wait_for(self.client.run_flow(flow))

    def _wait_for(self, result: Any) -> Any:
        return result if self._runner is None else self._runner.run(result)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    def add_faults(self, *faults: Fault) -> None:
        for fault in faults:
            self.sandbox.add_fault(fault)

    @property
    def operations(self) -> list[str | None]:
        """The operations that the sandbox received, in order."""
        return [record.operation for record in self.sandbox.requests]

    def bodies(self, room_id: int) -> Sequence[str]:
        return [message["body"] for message in self.sandbox.messages(room_id)]


class Answers:
    """A transport that returns the given answers in turn. An exception is raised; the last answer is repeated."""

    def __init__(self, *answers: Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def drive(flow: Any, *answers: Any) -> tuple[list[Call[Any]], Any]:
    """Run a flow with the given answers. Returns the calls it yielded, and its value."""
    asked: list[Call[Any]] = []
    remaining = iter(answers)
    try:
        call = next(flow)
        while True:
            asked.append(call)
            answer = next(remaining)
            call = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        assert next(remaining, None) is None, "the flow yielded fewer calls than expected"
        return asked, end.value
