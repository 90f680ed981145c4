from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkNotFoundError
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.operators.messages import (
    ChatworkDeleteMessageOperator,
    ChatworkEditMessageOperator,
    ChatworkPostMessageOperator,
)
from airflow_provider_chatwork.sandbox import company
from tests.airflow_helpers import FakeTaskInstance, context

ROOM = company.DATA_ROOM


def body_of(sandbox: Any, message_id: str) -> str:
    [body] = [message["body"] for message in sandbox.messages(ROOM) if message["message_id"] == message_id]
    return body


class TestChatworkPostMessageOperator:
    def test_posts_the_body_as_it_is_and_returns_the_message_id_as_text(self, sandbox):
        body = f"[To:{company.YAMADA}] 山田さん\n[info]50% & more = +1 \\ 🍣[/info]"
        message_id = ChatworkPostMessageOperator(task_id="t", room_id=ROOM, body=body).execute(context())
        assert isinstance(message_id, str)
        assert body_of(sandbox, message_id) == body

    @pytest.mark.parametrize(("self_unread", "sent"), [(True, "1"), (False, "0")])
    def test_can_leave_the_message_unread_for_its_author(self, self_unread, sent, sandbox):
        task = ChatworkPostMessageOperator(task_id="t", room_id=ROOM, body="hi", self_unread=self_unread)
        task.execute(context())
        assert sandbox.requests[-1].form["self_unread"] == sent

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("", "empty"),
            ("x" * (MAX_BODY + 1), r"notation\.fit"),
            (None, "NoneType"),
            (5, "int"),
            ("\ud800", "surrogate"),
        ],
        ids=["empty", "long", "none", "number", "half a character"],
    )
    def test_sends_nothing_that_chatwork_would_refuse(self, body, said, sandbox):
        with pytest.raises(AirflowFailException, match=said):
            ChatworkPostMessageOperator(task_id="t", room_id=ROOM, body=body).execute(context())
        assert not sandbox.requests

    @pytest.mark.parametrize("room", [company.NOTICE_ROOM, company.PRIVATE_ROOM])
    def test_fails_without_retries_in_a_room_where_the_account_may_not_post(self, room, sandbox):
        with pytest.raises(AirflowFailException) as caught:
            ChatworkPostMessageOperator(task_id="t", room_id=room, body="hi").execute(context())
        assert isinstance(caught.value.__cause__, ChatworkForbiddenError)


class TestChatworkEditMessageOperator:
    def test_replaces_the_body_and_returns_the_same_message_id(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.BOT, "before")
        task = ChatworkEditMessageOperator(task_id="t", room_id=ROOM, message_id=message_id, body="after")
        assert task.execute(context()) == message_id
        assert body_of(sandbox, message_id) == "after"

    @pytest.mark.parametrize("message_id", ["", "last", None, 1.5])
    def test_sends_nothing_for_an_invalid_message_id(self, message_id, sandbox):
        task = ChatworkEditMessageOperator(task_id="t", room_id=ROOM, message_id=message_id, body="after")
        with pytest.raises(AirflowFailException, match="message_id"):
            task.execute(context())
        assert not sandbox.requests

    def test_fails_without_retries_for_the_message_of_another_account(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.SATO, "mine")
        with pytest.raises(AirflowFailException):
            ChatworkEditMessageOperator(task_id="t", room_id=ROOM, message_id=message_id, body="x").execute(context())
        assert body_of(sandbox, message_id) == "mine"


class TestChatworkDeleteMessageOperator:
    def test_deletes_the_message_and_returns_its_id(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.BOT, "before")
        task = ChatworkDeleteMessageOperator(task_id="t", room_id=ROOM, message_id=message_id)
        assert task.execute(context()) == message_id
        assert body_of(sandbox, message_id) == "[deleted]"

    def test_fails_without_retries_where_the_message_was_deleted_before(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.BOT, "before")
        sandbox.delete_message(ROOM, message_id)
        with pytest.raises(AirflowFailException) as caught:
            ChatworkDeleteMessageOperator(task_id="t", room_id=ROOM, message_id=message_id).execute(context())
        assert isinstance(caught.value.__cause__, ChatworkNotFoundError)

    def test_succeeds_at_a_retry_where_the_message_does_not_exist(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.BOT, "before")
        sandbox.delete_message(ROOM, message_id)
        task = ChatworkDeleteMessageOperator(task_id="t", room_id=ROOM, message_id=f" {message_id} ")
        assert task.execute({"ti": FakeTaskInstance(try_number=2)}) == message_id

    def test_succeeds_at_a_retry_where_the_first_answer_was_lost(self, sandbox):
        message_id = sandbox.post_message(ROOM, company.BOT, "before")
        sandbox.delete_message(ROOM, message_id)
        task = ChatworkDeleteMessageOperator(task_id="t", room_id=ROOM, message_id=message_id)
        assert task.execute({"ti": FakeTaskInstance(try_number=2)}) == message_id
