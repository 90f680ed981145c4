from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.approvals.question import Question, Vote, new_state
from airflow_provider_chatwork.waiting.approvals.votes import (
    Tally,
    approval_result,
    describe_votes,
    has_new_votes_or_hints,
    required_quorum,
    tally,
)
from tests.waiting.approvals.fake_room import SATO, YAMADA, message, page, poll_page, question, reply

YES, NO, MAYBE = "承認", "却下", "保留"


def answer(account_id: int, choice: str, at: int = 0) -> Vote:
    return {
        "account_id": account_id,
        "name": f"{account_id} さん",
        "choice": choice,
        "number": 1,
        "comment": "",
        "message_id": str(1000 + at),
        "send_time": at,
        "update_time": 0,
    }


def count(*answers: tuple[int, str], quorum: int, people: int = 3, **more: Any) -> Tally:
    """Tally votes that came one after the other, from accounts numbered from 1."""
    votes = [answer(account_id, choice, at) for at, (account_id, choice) in enumerate(answers)]
    return tally(asked(quorum, people, **more), {**new_state(0.0), "votes": votes})


def asked(quorum: int, people: int, **more: Any) -> Question:
    """A question to accounts numbered from 1."""
    options = {"options": [YES, NO, MAYBE], "rejecting": [NO]}
    return question(**{**options, "approvers": [*range(1, people + 1)], "quorum": quorum, "account_id": 99, **more})


class TestRequiredQuorum:
    @pytest.mark.parametrize(("complete_when", "quorum"), [("any", 1), ("all", 3), (2, 2), ("2", 2)])
    def test_returns_a_number_of_approvers(self, complete_when, quorum):
        assert required_quorum(complete_when, [1, 2, 3]) == quorum

    @pytest.mark.parametrize("complete_when", ["most", 0, 4, None, 1.5, True])
    def test_other_values_are_refused(self, complete_when):
        with pytest.raises(ChatworkParameterError, match="from 1 to 3, the number of approvers"):
            required_quorum(complete_when, [1, 2, 3])


class TestTally:
    @pytest.mark.parametrize(
        ("votes", "quorum", "verdict"),
        [
            ([], 1, Tally("open")),
            ([(1, YES)], 1, Tally("decided", YES)),
            ([(1, NO)], 1, Tally("decided", NO)),
            ([(2, NO), (1, YES)], 1, Tally("decided", NO)),
            ([(1, YES)], 2, Tally("open")),
            ([(1, YES), (1, YES)], 2, Tally("open")),
            ([(1, YES), (2, YES)], 2, Tally("decided", YES)),
            ([(1, YES), (2, NO)], 2, Tally("open")),
            ([(1, YES), (2, NO), (3, YES)], 2, Tally("decided", YES)),
            ([(1, YES), (2, NO), (3, NO)], 2, Tally("decided", NO)),
            ([(1, YES), (2, NO), (3, MAYBE)], 2, Tally("decided", NO)),
            ([(1, YES), (2, YES)], 3, Tally("open")),
            ([(1, YES), (2, YES), (3, YES)], 3, Tally("decided", YES)),
            ([(1, NO)], 3, Tally("decided", NO)),
            ([(1, YES), (2, YES), (3, NO)], 3, Tally("decided", NO)),
            ([(1, YES), (2, MAYBE)], 3, Tally("tied")),
            ([(1, YES), (2, MAYBE), (3, NO)], 3, Tally("decided", NO)),
            # Only the latest vote of an approver counts.
            ([(1, YES), (1, NO), (2, YES)], 2, Tally("open")),
            ([(1, NO), (1, YES), (2, YES)], 2, Tally("decided", YES)),
            ([(1, YES), (2, YES), (2, NO)], 2, Tally("open")),
            # Other accounts and unknown options do not count.
            ([(9, YES), (8, YES), (7, YES)], 1, Tally("open")),
            ([(1, "賛成")], 1, Tally("open")),
        ],
    )
    def test_counts_votes(self, votes, quorum, verdict):
        assert count(*votes, quorum=quorum) == verdict

    def test_the_time_of_the_latest_vote_counts(self):
        # The first approver changed the vote, and so agreed last.
        votes = [(1, NO), (2, YES), (3, NO), (4, NO), (1, YES)]
        assert count(*votes, quorum=2, people=4) == Tally("decided", NO)

    def test_needs_a_vote_also_if_every_option_rejects(self):
        none = {"options": [NO, MAYBE], "rejecting": [NO, MAYBE]}
        assert count(quorum=2, **none) == Tally("open")
        assert count((1, MAYBE), quorum=2, **none) == Tally("decided", MAYBE)

    def test_the_most_chosen_rejection_decides_and_the_first_of_equals(self):
        both = {"options": [YES, NO, "延期"], "rejecting": [NO, "延期"]}
        assert count((1, "延期"), (2, NO), (3, YES), quorum=3, **both).choice == "延期"
        assert count((1, "延期"), (2, NO), (3, NO), quorum=3, **both).choice == NO
        assert count((1, NO), (2, "延期"), (3, "延期"), (4, NO), quorum=3, people=4, **both).choice == NO
        assert count((1, YES), (2, "延期"), (3, NO), (4, NO), quorum=3, people=4, **both).choice == NO

    ANSWERS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([YES, NO, MAYBE])), max_size=12)
    SETTINGS = st.integers(1, 5).flatmap(lambda people: st.tuples(st.just(people), st.integers(1, people)))

    @given(ANSWERS, SETTINGS, st.randoms())
    def test_the_order_of_the_votes_makes_no_difference(self, answers, settings, random):
        people, quorum = settings
        given_ = [answer(account_id, choice, at) for at, (account_id, choice) in enumerate(answers)]
        shuffled = [*given_]
        random.shuffle(shuffled)
        of, state = asked(quorum, people), new_state(0.0)
        assert tally(of, {**state, "votes": shuffled}) == tally(of, {**state, "votes": given_})

    @given(ANSWERS, SETTINGS)
    def test_only_a_quorum_approves(self, answers, settings):
        people, quorum = settings
        verdict = count(*answers, quorum=quorum, people=people)
        latest = Counter(choice for account_id, choice in dict(answers).items() if account_id <= people)
        if verdict.choice in (YES, MAYBE):
            assert latest[verdict.choice] >= quorum
        if verdict.choice is not None:
            assert latest[verdict.choice] >= 1
        if max(latest.values(), default=0) >= quorum:
            assert verdict.outcome == "decided"

    @given(ANSWERS, SETTINGS)
    def test_ends_when_everybody_has_voted(self, answers, settings):
        people, quorum = settings
        everybody = [(account_id, YES if account_id % 2 else MAYBE) for account_id in range(1, people + 1)]
        assert count(*everybody, *answers, quorum=quorum, people=people).outcome != "open"

    @given(ANSWERS, SETTINGS)
    def test_is_tied_only_if_nobody_rejects(self, answers, settings):
        people, quorum = settings
        if count(*answers, quorum=quorum, people=people).outcome == "tied":
            assert not any(choice == NO for account_id, choice in dict(answers).items() if account_id <= people)

    @given(ANSWERS, SETTINGS)
    def test_is_open_only_while_missing_votes_can_decide(self, answers, settings):
        people, quorum = settings
        if count(*answers, quorum=quorum, people=people).outcome == "open":
            silent = [account_id for account_id in range(1, people + 1) if account_id not in dict(answers)]
            ends = {
                count(*answers, *((account_id, choice) for account_id in silent), quorum=quorum, people=people)
                for choice in (YES, NO, MAYBE)
            }
            assert any(end.outcome == "decided" for end in ends)


class TestHasNewVotesOrHints:
    def test_is_true_if_a_restart_would_lose_something(self):
        nothing = new_state()
        one = poll_page(page(reply(5, SATO, "承認"))).state
        assert has_new_votes_or_hints(nothing, one)
        assert has_new_votes_or_hints(one, poll_page(page(reply(5, SATO, "却下")), one).state)
        assert has_new_votes_or_hints(one, poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "承認")), one).state)
        assert has_new_votes_or_hints(one, poll_page(page(), one).state)
        assert has_new_votes_or_hints(nothing, {**nothing, "hinted": {"5": "5000"}})
        assert has_new_votes_or_hints(nothing, {**nothing, "invalidated": {"5": None}})
        assert has_new_votes_or_hints({**nothing, "invalidated": {"5": None}}, {**nothing, "invalidated": {"5": "6"}})
        assert has_new_votes_or_hints(
            {**nothing, "invalidated_at": {"5": [6, 7]}}, {**nothing, "invalidated_at": {"5": [8, 7]}}
        )
        assert not has_new_votes_or_hints(nothing, {**nothing, "invalidated_at": {}})
        assert not has_new_votes_or_hints(
            one, poll_page(page(reply(5, SATO, "承認\nやっと"), message(9, 9, "雑談")), one).state
        )
        assert not has_new_votes_or_hints(nothing, poll_page(page(message(9, 9, "雑談"))).state)


class TestDescribeVotes:
    def test_lists_votes_and_missing_approvers_by_account(self):
        state = poll_page(page(reply(5, SATO, "却下\n秘密"))).state
        assert describe_votes(question(), state) == f"'却下' by {SATO}; no answer from {YAMADA}"


class TestApprovalResult:
    def test_distinguishes_the_deciding_votes(self):
        state = poll_page(page(reply(5, SATO, "却下"), reply(6, YAMADA, "承認"), reply(7, SATO, "承認"))).state
        result = approval_result(question(), state, "承認", "answered")
        assert [vote["message_id"] for vote in result["decided_by"]] == ["1006", "1007"]
        assert result["votes"] == result["decided_by"]
        assert [
            vote["message_id"] for vote in approval_result(question(), state, "却下", "timeout_default")["decided_by"]
        ] == []
