"""Check before a decision who can still vote, and whether messages that left the newest 100 were edited or deleted."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.api.message_text import is_deleted
from airflow_provider_chatwork.api.messages import get_message
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.waiting.approvals.state import ApprovalState, Question
from airflow_provider_chatwork.waiting.approvals.tally import latest_votes

#: Seconds between two refreshes of the room's members.
MEMBERS_INTERVAL = 3600.0


def writable_members(members: Sequence[models.Member]) -> dict[int, str]:
    """Return the names of the members who can write in a room, by account id."""
    return {one["account_id"]: one.get("name", "") for one in members if one.get("role") != "readonly"}


def refresh_members(
    question: Question, state: ApprovalState, now: float, warnings: list[str]
) -> CallFlow[ApprovalState]:
    """Return the state with the approvers who cannot vote any more. Yields the call to run.

    A temporary failure leaves the state as it is, so that the next poll lists the members again.
    """
    try:
        members = writable_members((yield strict_empty_list(list_members(question.room_id))))
    except ChatworkError as error:
        if not is_transient(error):
            raise
        warnings.append(f"the members of room {question.room_id} could not be listed: {error}")
        return state
    ineligible = [account_id for account_id in question.approvers if account_id not in members]
    new = [account_id for account_id in ineligible if account_id not in state["ineligible"]]
    if new:
        warnings.append(f"approvers who left room {question.room_id} or may only read there no longer count: {new}")
    return {**state, "ineligible": ineligible, "members_at": now}


def reread_old_messages(
    question: Question, page: Sequence[models.Message], state: ApprovalState, warnings: list[str], *, is_last: bool
) -> CallFlow[tuple[ApprovalState, dict[str, models.Message | None] | None]]:
    """Read the question and the messages of votes that are not on the page.

    Yields the calls to run. As a deleted question ends the wait for good, it counts as deleted only if two requests in
    a row answer 404.

    :param is_last: whether this is the last poll, so that the second request for the question is sent at once.
    :return: the state; and the messages by their ids, ``None`` for one that was deleted. Instead of the messages
        ``None`` after a temporary failure.
    """
    on_page = {message["message_id"] for message in page}
    messages: dict[str, models.Message | None] = {}
    for message_id in (question.message_id, *(vote["message_id"] for vote in latest_votes(state["votes"]))):
        if message_id in on_page:
            continue
        is_question = message_id == question.message_id
        try:
            try:
                messages[message_id] = yield get_message(question.room_id, message_id)
            except ChatworkNotFoundError:
                if not is_question or state["question_not_found"]:
                    raise
                state = {**state, "question_not_found": True}
                if not is_last:
                    warnings.append(f"Chatwork did not find the question {message_id}; the next poll requests it again")
                    return state, None
                messages[message_id] = yield get_message(question.room_id, message_id)
            if is_question:
                state = {**state, "question_not_found": False}
        except ChatworkNotFoundError:
            messages[message_id] = None
        except ChatworkError as error:
            if not is_transient(error):
                raise
            warnings.append(
                f"the message {message_id} could not be read, so it is not known whether it was edited or deleted: "
                f"{error}"
            )
            return state, None
        message = messages[message_id]
        if message is None or is_deleted(message["body"]):
            messages[message_id] = None
            if not is_question:
                warnings.append(f"the vote in message {message_id} no longer counts, as the message was deleted")
    return state, messages
