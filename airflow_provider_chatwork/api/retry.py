"""When a client sends a call again. Rules only; the waiting is done in ``client.py``.

===============================  ==================  ==========================================================
Error                            repeatable call     call that is not repeatable
===============================  ==================  ==========================================================
429                              again, after wait   again, after wait (a 429 was not executed)
request never left               again               again
5xx but 504, redirect            again               look it up until it is found, or three times; then again
connection cut                   again               look it up until it is found, or three times; then again
timeout, 504                     again               look it up three times; then ``ChatworkUnknownOutcomeError``
2xx that cannot be decoded       again               look it up three times; then ``ChatworkUnknownOutcomeError``
any other refusal                give up             give up
proxy or certificates unusable   give up             give up
===============================  ==================  ==========================================================

The three lookups take 7 s, because Chatwork may show a result some seconds late. An answer proves that Chatwork has
finished the request, and a cut connection nearly proves it: a result that is not found by then was not created. A
timeout proves nothing. A 2xx says that the call was executed, whatever the lookup shows. The outcome of the last try is
looked up as well, so that the caller learns it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, CallFlow, Lookup
from airflow_provider_chatwork.api.http import ROOM_WINDOW

T = TypeVar("T")

#: How many lookups in a row must find nothing.
LOOKUPS = 3
# Waits of up to so many seconds count apart from longer ones; see ``RetryPolicy.max_wait``. A quarter is the jitter.
_SHORT_WAIT = ROOM_WINDOW * 1.25


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: network errors, 429, 5xx, answers that cannot be decoded.

    :func:`is_transient` is stricter by one case. A client retries a redirect a few times within its ``max_wait``; a
    wait of days does not go on after it. Chatwork never redirects, so another server answers at the connection's URL.
    """
    return not isinstance(error, errors.ChatworkSetupError) and isinstance(
        error,
        (
            errors.ChatworkNetworkError,
            errors.ChatworkRateLimitError,
            errors.ChatworkServerError,
            errors.ChatworkUnexpectedResponseError,
        ),
    )


def is_transient(error: BaseException) -> bool:
    """Whether a long wait continues after this error; see :func:`is_retryable` for the difference."""
    redirected = isinstance(error, errors.ChatworkUnexpectedResponseError) and error.status >= 300
    return is_retryable(error) and not redirected


def may_have_executed(error: BaseException) -> bool:
    """Whether Chatwork may have executed the request that ended with this error."""
    if isinstance(error, errors.ChatworkNetworkError):
        return error.sent
    return isinstance(error, (errors.ChatworkServerError, errors.ChatworkUnexpectedResponseError))


def _server_is_done(error: errors.ChatworkError) -> bool:
    """Whether it is certain that Chatwork will not execute the request any more."""
    if isinstance(error, errors.ChatworkNetworkError):
        return not error.timed_out
    if isinstance(error, errors.ChatworkUnexpectedResponseError):
        return error.status >= 300
    return not (isinstance(error, errors.ChatworkServerError) and error.status == 504)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a client tries.

    :param max_wait: seconds that all waits of a call may take together. A wait that would exceed them is not begun.
        Waits of at most ten seconds (the limit of a room, the first waits after an error) count apart, up to the same
        sum: a call that has waited for the next window of the account's limit can still wait for the room.
    :param tries: how often a call is sent. Tries that end with a 429 do not count.
    :param first_delay: seconds before the second try; doubled each time.
    :param longest_delay: the largest delay, in seconds.
    :param jitter: returns a random number from 0 to 1. Each delay is made up to a quarter longer by it, so that workers
        do not all send at the same moment.
    :param time_limit: seconds after the beginning of the call within which all waits must end.
    """

    max_wait: float = 300.0
    tries: int = 5
    first_delay: float = 1.0
    longest_delay: float = 30.0
    jitter: Callable[[], float] = random.random
    time_limit: float = math.inf

    def delay(
        self, call: Call[Any], attempt: int, error: BaseException, elapsed: float, short_waits: float = 0.0
    ) -> float | None:
        """Seconds to wait before the next try or lookup, or ``None`` to give up.

        :param attempt: how often the same has failed so far, from 1; the delay grows with it.
        :param elapsed: seconds since the first try began.
        :param short_waits: seconds of these that were waits of at most ten seconds.
        """
        seconds: float = min(self.first_delay * 2 ** min(attempt - 1, 30), self.longest_delay)
        if isinstance(error, errors.ChatworkRateLimitError):
            seconds = max(error.retry_after, seconds)
        elif not is_retryable(error):
            return None
        elif may_have_executed(error) and not call.repeatable and call.find_executed is None:
            return None
        spent = short_waits if seconds <= ROOM_WINDOW else elapsed - short_waits
        left = min(self.max_wait - spent, self.time_limit - elapsed)
        # The jitter must not exceed the limit; else chance decides whether a full window is waited for.
        return min(seconds * (1 + self.jitter() / 4), left) if seconds <= left else None


@dataclass
class RetryState(Generic[T]):
    """The tries of one call. Sends nothing itself: :meth:`attempt` yields the calls to send.

    :param call: the call.
    :param policy: how often it is tried.
    :param lookup: begins the lookup of the call's result.
    """

    call: Call[T]
    policy: RetryPolicy
    lookup: Callable[[], Lookup[T]]
    sent: int = 0
    rate_limited: int = 0
    lookups: int = 0
    failed_lookups: int = 0
    short_waits: float = 0.0
    #: The error of the last try that may have been executed, until a lookup has found out.
    unknown_outcome: errors.ChatworkError | None = None

    def next_delay(self, error: BaseException, elapsed: float) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to give up.

        :param error: the error of the last attempt.
        :param elapsed: seconds since the first attempt began.
        """
        if isinstance(error, errors.ChatworkRateLimitError):
            attempt = self.rate_limited
        elif self.unknown_outcome is not None and not self.call.repeatable:
            attempt = self.lookups + self.failed_lookups + 1
        elif self.sent < self.policy.tries:
            attempt = self.sent
        else:
            return None
        delay = self.policy.delay(self.call, attempt, error, elapsed, self.short_waits)
        if delay is not None and delay <= _SHORT_WAIT:
            self.short_waits += delay
        return delay

    def attempt(self) -> CallFlow[T]:
        """One try.

        ``call`` itself must be sent once, without retries. Every other yielded call is a read with retries of its own.
        """
        if self.unknown_outcome is not None and not self.call.repeatable:
            found = yield from self._lookup(self.unknown_outcome)
            if found:
                return found[0]
            cause, self.unknown_outcome = self.unknown_outcome, None
            if self.sent >= self.policy.tries:
                raise cause
        try:
            result: T = yield self.call
        except errors.ChatworkRateLimitError:
            self.rate_limited += 1
            raise
        except errors.ChatworkError as error:
            self.sent += 1
            confirm = self.call.confirm_already_done if self.unknown_outcome is not None else None
            if confirm is not None and isinstance(error, errors.ChatworkApiError) and not is_retryable(error):
                found = yield from confirm(error)
                if found:
                    return found[0]
            if may_have_executed(error):
                self.unknown_outcome = error
                self.lookups = self.failed_lookups = 0
            raise
        return result

    def _lookup(self, cause: errors.ChatworkError) -> Lookup[T]:
        try:
            found = yield from self.lookup()
        except errors.ChatworkUnknownOutcomeError as error:
            raise error from cause
        except errors.ChatworkError as error:
            self.failed_lookups += 1
            if self.failed_lookups < self.policy.tries and is_retryable(error):
                raise cause from error
            reason = f"looking for it failed as well ({error})"
            raise errors.ChatworkUnknownOutcomeError(self.call.operation, reason) from cause
        self.lookups += 1
        if not found and self.lookups < LOOKUPS:
            raise cause
        if not found and not _server_is_done(cause):
            reason = "it is not visible so far, but Chatwork may still execute it"
            raise errors.ChatworkUnknownOutcomeError(self.call.operation, reason) from cause
        return found

    def final_error(self, error: errors.ChatworkError) -> errors.ChatworkError:
        """The error to raise when there is no further attempt.

        :param error: the error of the last attempt.
        """
        is_known = self.unknown_outcome is None or self.call.repeatable or self.call.request.method == "GET"
        if is_known or isinstance(error, errors.ChatworkUnknownOutcomeError):
            return error
        reason = (
            "there was no time left to find out" if self.call.find_executed else "Chatwork offers no way to find out"
        )
        return errors.ChatworkUnknownOutcomeError(self.call.operation, reason)
