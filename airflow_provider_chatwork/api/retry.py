"""When a client sends a call again. Rules only; the waiting is done in ``client.py``.

===============================  ==================  ==========================================================
Error                            repeatable call     call that is not repeatable
===============================  ==================  ==========================================================
429                              again, after wait   again, after wait (a 429 was not executed)
request never left               again               again
5xx, redirect                    again               look the result up; again if it is not there
502, connection cut              again               look it up twice; again if it is not there
timeout, 504                     again               look it up three times; then ``ChatworkUnknownOutcomeError``
2xx that cannot be decoded       again               look it up three times; then ``ChatworkUnknownOutcomeError``
any other refusal                give up             give up
proxy or certificates unusable   give up             give up
===============================  ==================  ==========================================================

The number of lookups depends on what the error proves. An answer proves that Chatwork has finished the request, so a
result that is not found was not created. A cut connection does not quite prove it: a proxy may have cut it while
Chatwork was still working. Idle connections end the same way, so a second lookup some seconds later has to do. A
timeout proves nothing. A 2xx says that the call was executed, whatever the lookup shows. After the last try there is
one more lookup, so that the caller learns the outcome.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, CallFlow, Lookup

T = TypeVar("T")

#: Lookups after an error that does not prove that Chatwork has finished the request.
MAX_LOOKUPS = 3
#: Lookups after a cut connection.
LOOKUPS_AFTER_CUT = 2


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


def _lookups_needed(error: errors.ChatworkError) -> int:
    """How many lookups in a row must find nothing before the call counts as not executed."""
    if not _server_is_done(error):
        return MAX_LOOKUPS
    cut = isinstance(error, errors.ChatworkNetworkError)
    return LOOKUPS_AFTER_CUT if cut or getattr(error, "status", None) == 502 else 1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a client tries.

    :param max_wait: seconds within which all waits of a call must end. A wait that would end later is not begun. The
        duration of the last try comes on top.
    :param tries: how often a call is sent. Tries that end with a 429 do not count.
    :param first_delay: seconds before the second try; doubled each time.
    :param longest_delay: the largest delay, in seconds.
    :param jitter: returns a random number from 0 to 1. Each delay is made up to a quarter longer by it, so that workers
        do not all send at the same moment.
    """

    max_wait: float = 300.0
    tries: int = 5
    first_delay: float = 1.0
    longest_delay: float = 30.0
    jitter: Callable[[], float] = random.random

    def delay(self, call: Call[Any], attempt: int, error: BaseException, elapsed: float) -> float | None:
        """Seconds to wait before the next try, or ``None`` to give up.

        :param attempt: the number of tries so far that ended with a 429, if ``error`` is one; otherwise the number of
            tries that failed in another way.
        :param elapsed: seconds since the first try began.
        """
        backoff: float = min(self.first_delay * 2 ** min(attempt - 1, 30), self.longest_delay)
        if isinstance(error, errors.ChatworkRateLimitError):
            seconds = max(error.retry_after, backoff)
        elif not is_retryable(error):
            return None
        else:
            needs_lookup = may_have_executed(error) and not call.repeatable
            if needs_lookup and call.find_executed is None:
                return None
            # One attempt more than ``tries``, which only looks up the outcome of the last try.
            if attempt >= self.tries + needs_lookup:
                return None
            seconds = backoff
        if elapsed + seconds > self.max_wait:
            return None
        # The jitter must not exceed ``max_wait``; else chance decides whether a full window is waited for.
        return min(seconds * (1 + self.jitter() / 4), self.max_wait - elapsed)


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
    lookups: int = 0
    rate_limited: int = 0
    failures: int = 0
    #: The error of the last try that may have been executed, until a lookup has found out.
    unknown_outcome: errors.ChatworkError | None = None

    def next_delay(self, error: BaseException, elapsed: float) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to give up.

        :param error: the error of the last attempt.
        :param elapsed: seconds since the first attempt began.
        """
        attempt = self.rate_limited if isinstance(error, errors.ChatworkRateLimitError) else self.failures
        return self.policy.delay(self.call, attempt, error, elapsed)

    def attempt(self) -> CallFlow[T]:
        """One try.

        ``call`` itself must be sent once, without retries. Every other yielded call is a read with retries of its own.
        """
        try:
            if self.unknown_outcome is not None and not self.call.repeatable:
                found = yield from self._lookup(self.unknown_outcome)
                if found:
                    return found[0]
                cause, self.unknown_outcome = self.unknown_outcome, None
                if self.failures >= self.policy.tries:
                    raise cause
            return (yield from self._send())
        except errors.ChatworkRateLimitError:
            self.rate_limited += 1
            raise
        except errors.ChatworkError:
            self.failures += 1
            raise

    def _send(self) -> CallFlow[T]:
        try:
            result: T = yield self.call
        except errors.ChatworkError as error:
            confirm = self.call.confirm_already_done if self.unknown_outcome is not None else None
            if confirm is not None and isinstance(error, errors.ChatworkApiError) and not is_retryable(error):
                found = yield from confirm(error)
                if found:
                    return found[0]
            if may_have_executed(error):
                self.unknown_outcome = error
                self.lookups = 0
            raise
        return result

    def _lookup(self, cause: errors.ChatworkError) -> Lookup[T]:
        self.lookups += 1
        try:
            found = yield from self.lookup()
        except errors.ChatworkUnknownOutcomeError as error:
            raise error from cause
        except errors.ChatworkError as error:
            if self.lookups < MAX_LOOKUPS and is_retryable(error):
                raise cause from error
            reason = f"looking for it failed as well ({error})"
            raise errors.ChatworkUnknownOutcomeError(self.call.operation, reason) from cause
        if found:
            return found
        if self.lookups < _lookups_needed(cause):
            raise cause
        if not _server_is_done(cause):
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
