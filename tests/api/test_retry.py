from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, Request
from airflow_provider_chatwork.api.errors import (
    ChatworkNetworkError,
    ChatworkRateLimitError,
    ChatworkServerError,
    ChatworkUnexpectedResponseError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.retry import RetryPolicy, RetryState, is_retryable, is_transient, may_have_executed
from tests.clients import drive

REQUEST = Request("POST", "/x")
READ = Call("read", Request("GET", "/x"), lambda value: value)
FINDABLE = Call("write", REQUEST, lambda value: value, repeatable=False, find_executed=lambda since, me: iter(()))
HIDDEN = Call("write", REQUEST, lambda value: value, repeatable=False)

UNSENT = ChatworkNetworkError("refused", sent=False)
CUT = ChatworkNetworkError("reset")
TIMEOUT = ChatworkNetworkError("late", timed_out=True)
UNREADABLE = ChatworkUnexpectedResponseError("write", 200, "no JSON")
REDIRECT = ChatworkUnexpectedResponseError("write", 302, "neither")
FINAL = [
    errors.ChatworkInvalidRequestError("write", 400),
    errors.ChatworkAuthError("write", 401),
    errors.ChatworkForbiddenError("write", 403),
    errors.ChatworkNotFoundError("write", 404),
    errors.ChatworkParameterError("body", "", "give one"),
    errors.ChatworkUnknownOutcomeError("write", "who knows"),
    KeyError("bug"),
]


def server(status: int) -> ChatworkServerError:
    return ChatworkServerError("write", status)


def limited(seconds: float) -> ChatworkRateLimitError:
    return ChatworkRateLimitError("write", 429, (), seconds)


MAY_HAVE_EXECUTED = [CUT, TIMEOUT, UNREADABLE, REDIRECT, server(500), server(502), server(503), server(504)]


class TestDelay:
    @pytest.mark.parametrize("call", [READ, FINDABLE, HIDDEN], ids=["read", "findable", "hidden"])
    def test_repeats_every_request_that_never_left(self, call):
        assert RetryPolicy(jitter=lambda: 0).delay(call, 1, UNSENT, 0) == 1

    @pytest.mark.parametrize("call", [READ, FINDABLE, HIDDEN], ids=["read", "findable", "hidden"])
    def test_repeats_every_request_that_ended_with_a_429(self, call):
        assert RetryPolicy(jitter=lambda: 0).delay(call, 1, limited(42), 0) == 42

    @pytest.mark.parametrize("error", MAY_HAVE_EXECUTED, ids=repr)
    def test_repeats_a_repeatable_call_and_one_with_a_lookup(self, error):
        policy = RetryPolicy(jitter=lambda: 0)
        assert policy.delay(READ, 1, error, 0) == 1
        assert policy.delay(FINDABLE, 1, error, 0) == 1

    @pytest.mark.parametrize("error", MAY_HAVE_EXECUTED, ids=repr)
    def test_gives_up_at_once_without_a_lookup(self, error):
        assert RetryPolicy().delay(HIDDEN, 1, error, 0) is None

    @pytest.mark.parametrize("call", [READ, FINDABLE, HIDDEN], ids=["read", "findable", "hidden"])
    @pytest.mark.parametrize("error", FINAL, ids=repr)
    def test_gives_up_at_once_where_a_retry_cannot_help(self, call, error):
        assert RetryPolicy().delay(call, 1, error, 0) is None

    def test_doubles_up_to_the_longest_delay(self):
        policy = RetryPolicy(tries=99, max_wait=1e9, jitter=lambda: 0)
        assert [policy.delay(READ, attempt, CUT, 0) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]
        assert policy.delay(READ, 98, CUT, 0) == 30

    def test_does_not_count_429s(self):
        assert RetryPolicy(tries=1, jitter=lambda: 0).delay(READ, 3, limited(1), 0) == 4

    def test_does_not_begin_a_wait_that_would_end_too_late(self):
        policy = RetryPolicy(max_wait=60, jitter=lambda: 0)
        assert policy.delay(READ, 1, limited(60), 0) == 60
        assert policy.delay(READ, 1, limited(60), 0.5) is None
        assert policy.delay(READ, 5, CUT, 59.5) is None

    def test_counts_short_waits_apart_so_that_a_long_wait_does_not_use_them_up(self):
        policy = RetryPolicy(max_wait=60, jitter=lambda: 0)
        assert policy.delay(READ, 1, limited(10), 60) == 10
        assert policy.delay(READ, 1, CUT, 60) == 1
        assert policy.delay(READ, 1, limited(10), 110, 50) == 10
        assert policy.delay(READ, 1, limited(10), 111, 51) is None
        assert policy.delay(READ, 1, limited(11), 50, 1) == 11
        assert policy.delay(READ, 1, limited(11), 50, 0) is None

    def test_begins_no_wait_that_would_end_after_the_time_limit(self):
        policy = RetryPolicy(max_wait=60, time_limit=30, jitter=lambda: 1)
        assert policy.delay(READ, 1, limited(10), 20) == 10
        assert policy.delay(READ, 1, limited(10), 20.5) is None
        assert policy.delay(READ, 1, limited(25), 0) == 30

    def test_waits_a_quarter_longer_at_most(self):
        policies = [RetryPolicy(jitter=lambda drawn=drawn: drawn) for drawn in (0, 0.5, 1)]
        assert [policy.delay(READ, 1, limited(100), 0) for policy in policies] == [100, 112.5, 125]

    @given(
        attempt=st.integers(1, 2000),
        seconds=st.floats(0, 400),
        elapsed=st.floats(200, 400),
        short_waits=st.floats(0, 200),
        max_wait=st.floats(0, 400),
        drawn=st.floats(0, 1),
        error=st.sampled_from(["limit", CUT, UNSENT]),
    )
    def test_is_never_shorter_than_retry_after_and_never_ends_after_max_wait(
        self, attempt, seconds, elapsed, short_waits, max_wait, drawn, error
    ):
        policy = RetryPolicy(max_wait=max_wait, tries=5000, jitter=lambda: drawn)
        failure = limited(seconds) if error == "limit" else error
        delay = policy.delay(READ, attempt, failure, elapsed, short_waits)
        shortest = max(seconds if error == "limit" else 0, min(2.0 ** min(attempt - 1, 30), 30))
        spent = short_waits if shortest <= 10 else elapsed - short_waits
        if delay is None:
            assert spent + shortest > max_wait * 0.9999
        else:
            assert shortest * 0.999 <= delay <= shortest * 1.25
            assert spent + delay <= max_wait * 1.0001

    @given(st.floats(0, 240), st.floats(0, 1))
    def test_never_gives_up_because_of_the_jitter(self, seconds, drawn):
        assert RetryPolicy(max_wait=240, jitter=lambda: drawn).delay(READ, 1, limited(seconds), 0) is not None

    def test_draws_a_new_jitter_for_every_wait(self):
        assert len({RetryPolicy().delay(READ, 1, limited(100), 0) for _ in range(20)}) > 10


class TestIsRetryable:
    def test_is_true_for_errors_that_may_not_happen_again(self):
        assert all(is_retryable(error) for error in [UNSENT, limited(1), *MAY_HAVE_EXECUTED])

    def test_is_false_for_refusals_and_for_bugs(self):
        assert not any(is_retryable(error) for error in FINAL)


class TestMayHaveExecuted:
    def test_is_true_where_chatwork_may_have_executed_the_request(self):
        assert all(may_have_executed(error) for error in MAY_HAVE_EXECUTED)

    def test_is_false_where_the_request_was_not_executed(self):
        assert not any(may_have_executed(error) for error in [UNSENT, limited(1), *FINAL])


class TestIsTransient:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (errors.ChatworkServerError("get_task", 503), True),
            (errors.ChatworkRateLimitError("get_task", 429), True),
            (errors.ChatworkNetworkError("no route"), True),
            (errors.ChatworkUnexpectedResponseError("get_task", 200, "no JSON"), True),
            (errors.ChatworkUnexpectedResponseError("get_task", 302, "neither a success nor a refusal"), False),
            (errors.ChatworkNotFoundError("get_task", 404), False),
            (errors.ChatworkAuthError("get_task", 401), False),
            (errors.ChatworkParameterError("room_id", 0, "give a room"), False),
            (RuntimeError("not ours"), False),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_is_true_for_errors_after_which_a_long_wait_continues(self, error, expected):
        assert is_transient(error) is expected


FOUND = {"message_id": "7"}


def attempts(*lookups, tries: int = 5, max_wait: float = 300, call: Call = FINDABLE) -> RetryState:
    """The state of a call whose lookups return these results in turn; an exception is raised."""
    results = iter(lookups)

    def lookup():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result
        yield

    return RetryState(call, RetryPolicy(max_wait, tries, jitter=lambda: 0), lookup)


def end(of: RetryState, *answers):
    """The calls that an attempt yielded with its result, or its error."""
    try:
        asked, value = drive(of.attempt(), *answers)
    except errors.ChatworkError as error:
        return error
    return asked, value


class TestAttempt:
    def test_sends_the_call_and_returns_its_result(self):
        assert end(attempts(), FOUND) == ([FINDABLE], FOUND)

    @pytest.mark.parametrize("cause", MAY_HAVE_EXECUTED, ids=repr)
    def test_does_not_send_again_a_call_whose_result_is_found(self, cause):
        tried = attempts([FOUND, {"message_id": "8"}])
        assert end(tried, cause) is cause
        assert end(tried) == ([], FOUND)

    @pytest.mark.parametrize("cause", [server(500), server(503), REDIRECT, server(502), CUT], ids=repr)
    def test_sends_again_after_three_lookups_found_nothing(self, cause):
        tried = attempts([], [], [])
        assert [end(tried, cause), end(tried), end(tried)] == [cause] * 3
        assert end(tried, FOUND) == ([FINDABLE], FOUND)

    @pytest.mark.parametrize("cause", [TIMEOUT, UNREADABLE, server(504)], ids=repr)
    def test_does_not_send_again_while_chatwork_may_still_execute_the_call(self, cause):
        tried = attempts([], [], [])
        assert [end(tried, cause), end(tried), end(tried)] == [cause] * 3
        unknown = end(tried)
        assert isinstance(unknown, ChatworkUnknownOutcomeError)
        assert unknown.__cause__ is cause

    @pytest.mark.parametrize("failure", [CUT, limited(999), server(500)], ids=repr)
    def test_repeats_a_failed_lookup_a_limited_number_of_times(self, failure):
        cause = server(500)
        tried = attempts(*[failure] * 5)
        assert [end(tried, cause), *(end(tried) for _ in range(4))] == [cause] * 5
        assert isinstance(end(tried), ChatworkUnknownOutcomeError)

    def test_gives_up_when_a_lookup_is_refused(self):
        tried = attempts(FINAL[2])
        end(tried, CUT)
        unknown = end(tried)
        assert isinstance(unknown, ChatworkUnknownOutcomeError)
        assert unknown.__cause__ is CUT

    def test_gives_up_when_the_lookup_cannot_decide(self):
        cannot = ChatworkUnknownOutcomeError("write", "more than 100")
        tried = attempts(cannot)
        end(tried, CUT)
        assert end(tried) is cannot
        assert cannot.__cause__ is CUT

    def test_counts_the_lookups_from_zero_for_each_error(self):
        tried = attempts([], [], [], [FOUND])
        assert [end(tried, CUT), end(tried), end(tried)] == [CUT] * 3
        late = ChatworkNetworkError("late again", timed_out=True)
        assert end(tried, late) is late
        assert (tried.lookups, tried.unknown_outcome) == (0, late)

    def test_needs_no_lookup_after_a_request_that_never_left(self):
        tried = attempts()
        assert end(tried, UNSENT) is UNSENT
        assert end(tried, FOUND) == ([FINDABLE], FOUND)

    def test_only_looks_up_the_outcome_after_the_last_try(self):
        cause = server(500)
        tried = attempts([], [], [], tries=1)
        ends = [end(tried, cause), end(tried), end(tried), end(tried)]
        assert ends == [cause] * 4
        assert tried.next_delay(cause, 0) is None
        assert tried.final_error(cause) is cause

    def test_counts_429s_and_failures_separately(self):
        tried = attempts(call=READ)
        for error in (limited(1), CUT, limited(1), UNSENT, limited(1)):
            assert end(tried, error) is error
        assert (tried.rate_limited, tried.sent) == (3, 2)


class TestNextDelay:
    def delays(self, tried: RetryState, *ends: Exception) -> list[float | None]:
        return [tried.next_delay(end(tried, each), 0) for each in ends]

    @pytest.mark.parametrize("call", [READ, FINDABLE, HIDDEN], ids=["read", "findable", "hidden"])
    def test_grows_with_each_try_and_ends_after_the_last(self, call):
        assert self.delays(attempts(call=call, tries=4), *[UNSENT] * 4) == [1, 2, 4, None]

    def test_grows_with_each_lookup_and_starts_again_after_each_try(self):
        tried = attempts(*[[]] * 6, tries=2)
        delays = [tried.next_delay(end(tried, server(500)), 0)]
        delays += [tried.next_delay(end(tried), 0) for _ in range(2)]
        delays += [tried.next_delay(end(tried, server(500)), 0)]
        delays += [tried.next_delay(end(tried), 0) for _ in range(3)]
        assert delays == [1, 2, 4, 1, 2, 4, None]

    def test_three_502s_are_not_the_end(self):
        tried = attempts(*[[]] * 9)
        for _ in range(3):
            assert tried.next_delay(end(tried, server(502)), 0) == 1
            assert [tried.next_delay(end(tried), 0) for _ in range(2)] == [2, 4]
        assert end(tried, FOUND) == ([FINDABLE], FOUND)

    def test_grows_with_each_429_and_has_no_last_one(self):
        assert self.delays(attempts(tries=1), *[limited(0)] * 4) == [1, 2, 4, 8]

    def test_counts_short_waits_apart(self):
        tried = attempts(max_wait=300)
        assert tried.next_delay(limited(300), 0) == 300
        tried.rate_limited = 1
        for number in range(30):
            assert tried.next_delay(limited(10), 300 + 10 * number) == 10
        assert tried.next_delay(limited(10), 600) is None


class TestConfirmAlreadyDone:
    REFUSED = errors.ChatworkNotFoundError("write", 404)

    def settled(self, *found) -> RetryState:
        def confirm_already_done(refusal):
            self.asked = refusal
            return found
            yield

        self.asked = None
        return attempts(call=Call("write", REQUEST, lambda value: value, confirm_already_done=confirm_already_done))

    @pytest.mark.parametrize("cause", MAY_HAVE_EXECUTED, ids=repr)
    def test_runs_where_an_earlier_try_may_have_been_executed(self, cause):
        tried = self.settled(FOUND)
        assert end(tried, cause) is cause
        assert end(tried, self.REFUSED)[1] == FOUND
        assert self.asked is self.REFUSED

    @pytest.mark.parametrize("first", [None, UNSENT, limited(1)], ids=repr)
    def test_does_not_run_where_no_earlier_try_was_executed(self, first):
        tried = self.settled(FOUND)
        if first is not None:
            assert end(tried, first) is first
        assert end(tried, self.REFUSED) is self.REFUSED
        assert self.asked is None

    def test_runs_however_many_tries_ago_that_was(self):
        tried = self.settled(FOUND)
        for error in (CUT, limited(1), UNSENT):
            assert end(tried, error) is error
        assert end(tried, self.REFUSED)[1] == FOUND

    def test_raises_the_refusal_where_it_finds_nothing(self):
        tried = self.settled()
        end(tried, CUT)
        assert end(tried, self.REFUSED) is self.REFUSED

    def test_does_not_run_after_an_error_that_is_not_a_refusal(self):
        tried = self.settled(FOUND)
        end(tried, CUT)
        assert end(tried, TIMEOUT) is TIMEOUT
        assert self.asked is None


class TestFinalError:
    def test_is_the_last_error_where_nothing_may_have_been_executed(self):
        assert attempts().final_error(UNSENT) is UNSENT

    @pytest.mark.parametrize(
        "call", [READ, Call("x", REQUEST, lambda v: v), Call("x", READ.request, lambda v: v, repeatable=False)]
    )
    def test_is_the_last_error_where_executing_twice_does_no_harm(self, call):
        tried = attempts(call=call)
        end(tried, CUT)
        assert tried.final_error(CUT) is CUT

    def test_is_unknown_outcome_where_a_write_may_have_been_executed(self):
        tried = attempts()
        end(tried, CUT)
        assert "no time left" in str(tried.final_error(CUT))

    def test_is_unknown_outcome_where_chatwork_offers_no_lookup(self):
        tried = attempts(call=HIDDEN)
        end(tried, CUT)
        assert "no way to find out" in str(tried.final_error(CUT))
