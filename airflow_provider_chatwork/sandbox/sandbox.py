"""A simulated Chatwork in memory that answers requests as the real service does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.sandbox import company, snapshot
from airflow_provider_chatwork.sandbox.downloads import Downloads
from airflow_provider_chatwork.sandbox.faults import ActiveFault, Fault, Outcome, apply_fault, take_fault
from airflow_provider_chatwork.sandbox.parameters import Body, HttpError, Parameters
from airflow_provider_chatwork.sandbox.rate_limits import Limits, RateLimiter
from airflow_provider_chatwork.sandbox.request_context import RequestContext
from airflow_provider_chatwork.sandbox.request_parsing import ParsedRequest, RequestRecord, parse_request
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.seeding import seed
from airflow_provider_chatwork.sandbox.serializers import Serializer
from airflow_provider_chatwork.sandbox.store import Store
from airflow_provider_chatwork.sandbox.user_actions import UserActions

#: The Free plan hides messages that are older.
FREE_PLAN_SECONDS = 40 * 24 * 3600
_MAX_LOG_RECORDS = 10_000


class Sandbox(UserActions):
    """A simulated Chatwork. It starts with the content of :mod:`~airflow_provider_chatwork.sandbox.company`.

    It may be used from several threads.

    :param token: the API token of the bot account.
    :param clock: returns Unix time in seconds; the sandbox uses no other clock.
    :param sleep: waits some seconds; only ``delay`` faults in :meth:`handle` use it.
    :param tokens: further tokens with their account ids.
    :param limits: the rate limits; :attr:`limits` changes them later.
    :param free_plan: whether messages older than 40 days are hidden.
    :param task_notices: whether completing a task posts a system message.
    :param complete_tasks_after: seconds after which people complete their tasks; ``None``: never by themselves.
    """

    def __init__(
        self,
        token: str = "sandbox-token",
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        tokens: Mapping[str, int] | None = None,
        limits: Limits | None = None,
        free_plan: bool = False,
        task_notices: bool = True,
        complete_tasks_after: float | None = None,
    ) -> None:
        self.token = token
        self.account_id = company.BOT
        self.clock = clock
        self.free_plan = free_plan
        self.task_notices = task_notices
        self.complete_tasks_after = complete_tasks_after
        self._sleep = sleep
        self._tokens = {**(tokens or {}), token: company.BOT}
        self._lock = threading.RLock()
        self._watchers: list[Callable[[int], None]] = []
        self._notified_revision = 0
        self._rate_limiter = RateLimiter(limits or Limits())
        self.store = Store()
        self.reset()

    # --- requests

    def handle(self, request: HttpRequest) -> Response:
        """Answer a request. This method can be used as a transport.

        :raises ChatworkNetworkError: a fault prevents the response.
        """
        outcome = self.answer(request)
        if outcome.delay and outcome.ending == "whole":
            self._sleep(outcome.delay)
        return self._response_or_error(outcome)

    async def ahandle(self, request: HttpRequest) -> Response:
        """Answer a request from a coroutine; see :meth:`handle`."""
        outcome = self.answer(request)
        if outcome.delay and outcome.ending == "whole":
            await asyncio.sleep(outcome.delay)
        return self._response_or_error(outcome)

    def answer(self, request: HttpRequest) -> Outcome:
        """Execute a request and return how it ends, without waiting. For servers."""
        with self._lock:
            now = self.clock()
            self.advance()
            outcome = self._answer(parse_request(request), now)
        return self._notify(outcome)

    def advance(self) -> None:
        """Complete the tasks that are due by ``complete_tasks_after``. Every request calls this."""
        if self.complete_tasks_after is None:
            return
        with self._lock:
            due = self.clock() - self.complete_tasks_after
            bots = set(self._tokens.values())
            for room in self.store.rooms.values():
                for task in list(room.tasks.values()):
                    if task.status == "open" and task.created <= due and task.account_id not in bots:
                        self._changes().set_task_status(room, task, task.account_id, "done")
        self._notify(None)

    # --- faults, limits, tokens

    def add_fault(self, fault: Fault) -> None:
        """Let matching requests fail. If several faults match a request, the oldest applies."""
        with self._lock:
            self._faults.append(ActiveFault(fault, fault.after, fault.times))

    @property
    def open_faults(self) -> list[Fault]:
        """The faults that are not used up."""
        with self._lock:
            return [active.fault for active in self._faults]

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    @property
    def limits(self) -> Limits:
        """The rate limits. Setting them resets all counters."""
        return self._rate_limiter.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._rate_limiter = RateLimiter(limits)

    def add_token(self, token: str, account_id: int) -> None:
        """Add a further token for an account."""
        with self._lock:
            self._tokens[token] = self.store.accounts[account_id].account_id

    # --- log

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest requests, oldest first; 10,000 at most."""
        with self._lock:
            return list(self._request_log)

    def write_count(self, operation: str) -> int:
        """Return how many requests of an operation have changed something."""
        with self._lock:
            return self._write_counts[operation]

    # --- the whole state

    def reset(self) -> None:
        """Restore the initial content and clear request log, faults and counters. Tokens stay."""
        with self._lock:
            store = Store(revision=self.store.revision + 1)
            company.load_company(store, self.clock())
            self._start(store)
        self._notify(None)

    def seed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Add accounts, rooms and messages; see :func:`~airflow_provider_chatwork.sandbox.seeding.seed`."""
        with self._lock:
            added = seed(self.store, RoomChanges(self.store, self.clock(), self.task_notices), data)
        return self._notify(added)

    def snapshot(self) -> dict[str, Any]:
        """Return accounts and rooms as JSON data, without tokens, counters and faults."""
        with self._lock:
            return snapshot.to_json(self.store)

    def restore(self, data: dict[str, Any]) -> None:
        """Restore a :meth:`snapshot`.

        :raises ValueError: the data is not a snapshot.
        """
        restored = snapshot.from_json(data)
        with self._lock:
            restored.revision = self.store.revision + 1
            self._start(restored)
        self._notify(None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Store]:
        """Yield the store; other threads cannot change it meanwhile."""
        with self._lock:
            yield self.store

    def watch(self, watcher: Callable[[int], None]) -> Callable[[], None]:
        """Call ``watcher`` with the revision after every change; returns a function that ends this.

        The call comes from the thread that made the change, and must return at once.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    # --- internal

    def _start(self, store: Store) -> None:
        self.store = store
        self._rate_limiter = RateLimiter(self._rate_limiter.limits)
        self._faults: list[ActiveFault] = []
        self._downloads = Downloads()
        self._request_log: deque[RequestRecord] = deque(maxlen=_MAX_LOG_RECORDS)
        self._write_counts: Counter[str] = Counter()

    @staticmethod
    def _response_or_error(outcome: Outcome) -> Response:
        if outcome.ending == "refused":
            raise ChatworkNetworkError("connection refused", sent=False)
        if outcome.ending == "timed_out":
            raise ChatworkNetworkError("no response in time", timed_out=True)
        if outcome.ending == "lost" or outcome.response is None:
            raise ChatworkNetworkError("the connection ended without a response")
        if outcome.ending == "cut":
            raise ChatworkNetworkError("the connection ended in the middle of the response")
        return outcome.response

    def _answer(self, parsed: ParsedRequest, now: float) -> Outcome:
        account_id = self._tokens.get(parsed.token)
        fault = take_fault(self._faults, parsed.operation, parsed.method, parsed.path)
        response = None
        if fault is None or fault.executes:
            if parsed.is_download:
                response = self._downloads.answer(parsed.path, now)
            else:
                response = self._execute(parsed, account_id, now)
        outcome = Outcome(response)
        if fault is not None:
            date = formatdate(now, usegmt=True)
            outcome = apply_fault(fault, response, self._rate_limiter.headers(account_id, now), date)
        status = None if outcome.response is None else outcome.response.status
        fault_kind = fault.kind if fault else None
        self._request_log.append(
            RequestRecord(
                now,
                parsed.method,
                parsed.path,
                parsed.operation,
                status,
                account_id,
                fault_kind,
                parsed.query,
                parsed.form,
            )
        )
        return outcome

    def _execute(self, parsed: ParsedRequest, account_id: int | None, now: float) -> Response:
        headers = {"date": formatdate(now, usegmt=True)}
        try:
            if account_id is None:
                raise _unauthorized(parsed.headers)
            self._rate_limiter.count_request(account_id, now)
            if isinstance(parsed.route, HttpError):
                raise parsed.route
            if isinstance(parsed.body, HttpError):
                raise parsed.body
            context = self._context(parsed, parsed.body, account_id, now)
            revision = self.store.revision
            result = parsed.route.handler(context, *parsed.route.ids)
            self._write_counts[parsed.route.operation] += self.store.revision != revision
            headers.update(context.headers)
            status, content = (204, b"") if result is None else (200, _json(result))
        except HttpError as error:
            headers.update(error.headers)
            status, content = error.status, _json({"errors": list(error.errors)})
        headers.update(self._rate_limiter.headers(account_id, now))
        if content:
            headers["content-type"] = "application/json; charset=utf-8"
        return Response(status, headers, content)

    def _context(self, parsed: ParsedRequest, body: Body, account_id: int, now: float) -> RequestContext:
        return RequestContext(
            store=self.store,
            account_id=account_id,
            now=now,
            query=Parameters(parsed.query),
            form=Parameters(body.fields),
            uploads=body.uploads,
            changes=RoomChanges(self.store, now, self.task_notices),
            serializer=Serializer(self.store, parsed.origin),
            count_post=lambda room_id: self._rate_limiter.count_post(room_id, now),
            download_url=lambda file: self._downloads.url(parsed.origin, file, now),
            visible_from=now - FREE_PLAN_SECONDS if self.free_plan else 0.0,
        )


def _unauthorized(headers: Mapping[str, str]) -> HttpError:
    bearer = {"www-authenticate": 'Bearer error="invalid_token", error_description="Invalid access token"'}
    return HttpError(401, "Invalid API token", headers=bearer if "authorization" in headers else None)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
