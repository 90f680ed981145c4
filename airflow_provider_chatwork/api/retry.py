"""When to try again, when to look first, and when to give up: rules only. The waiting is done in ``client.py``.

===============================  ==================  =====================================================
What went wrong                  repeatable call     a write that must not happen twice
===============================  ==================  =====================================================
429                              after its wait      after its wait (it was not executed)
never reached Chatwork           again               again
5xx, redirect                    again               look for its trace; again if there is none
502, connection cut              again               look for its trace, twice; again if there is none
timeout, 504                     again               look for its trace, three times; then give up
2xx that cannot be read          again               look for its trace, three times; then give up
any other refusal                give up             give up
===============================  ==================  =====================================================

An answer shows that Chatwork is finished with a request, so that a missing trace proves that a write did not happen. A
connection that ends does not quite, as something between the two may have cut it while Chatwork was at work; as this is
also how idle connections die, a second look some seconds later has to do. A timeout shows nothing, and a 2xx says that
the write did happen, trace or none. After the last try there is one look more, so that the caller hears what became
of it.

Refused repetitions of a repeatable call are the call's own business (``settle``), but only where an earlier try of it
may have been executed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

import tenacity

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, Search

T = TypeVar("T")

#: How often a trace is looked for after an end that does not prove that Chatwork is finished.
LOOKS = 3
#: How often it is looked for after an end that all but proves it.
LOOKS_AFTER_CUT = 2


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is.

    :param max_wait: seconds after which no wait may end; one that would end later is not begun. What the last try
        itself takes comes on top.
    :param tries: how often a call is sent; refusals for too many requests do not count.
    :param first_delay: seconds before the second try; doubled each time.
    :param longest_delay: where the doubling ends, in seconds.
    :param jitter: draws from 0 to 1: every wait is made up to a quarter longer, so that workers do not wake together.
    """

    max_wait: float = 300.0
    tries: int = 5
    first_delay: float = 1.0
    longest_delay: float = 30.0
    jitter: Callable[[], float] = random.random

    def delay(self, call: Call[Any], attempt: int, error: BaseException, elapsed: float) -> float | None:
        """How many seconds to wait before the next try; ``None`` to give up.

        :param attempt: how many tries ended like this one, itself included: refused with 429, or failed otherwise.
        :param elapsed: seconds since the first try began.
        """
        backoff: float = min(self.first_delay * 2 ** min(attempt - 1, 30), self.longest_delay)
        if isinstance(error, errors.ChatworkRateLimitError):
            seconds = max(error.retry_after, backoff)
        elif not is_passing(error):
            return None
        else:
            in_doubt = leaves_doubt(error) and not call.repeatable
            if in_doubt and call.find is None:
                return None
            # One more than the tries, to look what became of the last.
            if attempt >= self.tries + in_doubt:
                return None
            seconds = backoff
        if elapsed + seconds > self.max_wait:
            return None
        # The jitter ends where the patience does: chance must not decide whether a full window is waited for.
        return min(seconds * (1 + self.jitter() / 4), self.max_wait - elapsed)


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    return isinstance(
        error,
        (
            errors.ChatworkNetworkError,
            errors.ChatworkRateLimitError,
            errors.ChatworkServerError,
            errors.ChatworkUnexpectedResponseError,
        ),
    )


def leaves_doubt(error: BaseException) -> bool:
    """Whether Chatwork may have executed a request that ended like this."""
    if isinstance(error, errors.ChatworkNetworkError):
        return error.sent
    return isinstance(error, (errors.ChatworkServerError, errors.ChatworkUnexpectedResponseError))


def _is_finished(error: errors.ChatworkError) -> bool:
    """Whether it is certain that Chatwork will not execute the request any more."""
    if isinstance(error, errors.ChatworkNetworkError):
        return not error.timed_out
    if isinstance(error, errors.ChatworkUnexpectedResponseError):
        return error.status >= 300
    return not (isinstance(error, errors.ChatworkServerError) and error.status == 504)


def _looks_needed(error: errors.ChatworkError) -> int:
    """How many looks without a trace it takes before that means anything."""
    if not _is_finished(error):
        return LOOKS
    cut = isinstance(error, errors.ChatworkNetworkError)
    return LOOKS_AFTER_CUT if cut or getattr(error, "status", None) == 502 else 1


@dataclass
class Attempts(Generic[T]):
    """The tries of one call, from the first to the end. Sends nothing itself: it yields the calls to send.

    :param call: the call.
    :param search: begins the search for the call's trace.
    :param tries: how many tries may fail before no further one is sent.
    """

    call: Call[T]
    search: Callable[[], Generator[Call[Any], Any, Sequence[T]]]
    tries: int
    looks: int = 0
    refusals: int = 0
    failures: int = 0
    #: How the last try ended that may have been executed, until a look tells.
    doubt: errors.ChatworkError | None = None

    def attempt(self) -> Generator[Call[Any], Any, T]:
        """One try. Yields calls; wants their results sent, or their errors thrown, into it.

        ``call`` itself is to be sent once, whatever happens; any other call yielded is a read of its own.
        """
        try:
            return (yield from self._attempt())
        except errors.ChatworkRateLimitError:
            self.refusals += 1
            raise
        except errors.ChatworkError:
            self.failures += 1
            raise

    def _attempt(self) -> Generator[Call[Any], Any, T]:
        if self.doubt is not None and not self.call.repeatable:
            traces = yield from self._look(self.doubt)
            if traces:
                return traces[0]
            doubt, self.doubt = self.doubt, None
            if self.failures >= self.tries:
                raise doubt
        try:
            result: T = yield self.call
        except errors.ChatworkError as error:
            settle = self.call.settle if self.doubt is not None else None
            if settle is not None and isinstance(error, errors.ChatworkApiError) and not is_passing(error):
                traces = yield from settle(error)
                if traces:
                    return traces[0]
            if leaves_doubt(error):
                self.doubt = error
                self.looks = 0
            raise
        return result

    def _look(self, doubt: errors.ChatworkError) -> Search[T]:
        self.looks += 1
        try:
            traces = yield from self.search()
        except errors.ChatworkUnknownOutcomeError as error:
            raise error from doubt
        except errors.ChatworkError as error:
            if self.looks < LOOKS and is_passing(error):
                raise doubt from error
            reason = f"looking for it failed as well ({error})"
            raise errors.ChatworkUnknownOutcomeError(self.call.operation, reason) from doubt
        if traces:
            return traces
        if self.looks < _looks_needed(doubt):
            raise doubt
        if not _is_finished(doubt):
            reason = "it left no trace so far, but Chatwork may still be at it"
            raise errors.ChatworkUnknownOutcomeError(self.call.operation, reason) from doubt
        return traces

    def final(self, error: errors.ChatworkError) -> errors.ChatworkError:
        """What to tell the caller when no further try is made."""
        harmless = self.doubt is None or self.call.repeatable or self.call.request.method == "GET"
        if harmless or isinstance(error, errors.ChatworkUnknownOutcomeError):
            return error
        reason = "there was no time left to find out" if self.call.find else "Chatwork offers no way to find out"
        return errors.ChatworkUnknownOutcomeError(self.call.operation, reason)


class RetryOptions(TypedDict):
    """The arguments that both of tenacity's loops are built with."""

    retry: tenacity.retry_if_exception
    wait: Callable[[tenacity.RetryCallState], float]
    stop: Callable[[tenacity.RetryCallState], bool]
    reraise: bool


def retry_options(policy: RetryPolicy, attempts: Attempts[Any], elapsed: Callable[[], float]) -> RetryOptions:
    """The options that tenacity's synchronous and asynchronous loop share.

    :param elapsed: tells the seconds since the first try began.
    """
    never = float("inf")

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if error is None:
            return never
        refused = isinstance(error, errors.ChatworkRateLimitError)
        attempt = attempts.refusals if refused else attempts.failures
        delay = policy.delay(attempts.call, attempt, error, elapsed())
        return never if delay is None else delay

    def stop(state: tenacity.RetryCallState) -> bool:
        return state.upcoming_sleep == never

    return {
        "retry": tenacity.retry_if_exception(is_passing),
        "wait": wait,
        "stop": stop,
        "reraise": True,
    }
