"""A question, replies to it, and a room, all without Chatwork."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.waiting.approvals.poll import poll
from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, PollResult, Question, new_state
from airflow_provider_chatwork.waiting.approvals.votes import latest_votes

ROOM, QUESTION, BOT, SATO, YAMADA, TAKAHASHI = 7, "1000", 1, 2, 3, 4
BEGIN, DEADLINE = 1_800_000_000, 1_800_003_600
NAMES = {BOT: "ボット", SATO: "佐藤", YAMADA: "山田", TAKAHASHI: "高橋"}


def question(**more: Any) -> Question:
    return Question(
        **{
            "room_id": ROOM,
            "message_id": QUESTION,
            "options": ["承認", "却下"],
            "rejecting": ["却下"],
            "approvers": [SATO, YAMADA],
            "quorum": 2,
            "account_id": BOT,
            "account_name": NAMES[BOT],
            "lang": "ja",
            "web_url": "https://www.chatwork.com",
            **more,
        }
    )


def message(number: int, account_id: int, body: str, **more: Any) -> models.Message:
    """Return a message that many ids, and that many seconds, after the question."""
    return {
        "message_id": str(int(QUESTION) + number),
        "account": {"account_id": account_id, "name": NAMES.get(account_id, "誰か"), "avatar_image_url": ""},
        "body": body,
        "send_time": BEGIN + number,
        "update_time": 0,
        **more,  # type: ignore[typeddict-item]
    }


def reply(number: int, account_id: int, text: str, to: str = QUESTION, room: int = ROOM, **more: Any) -> models.Message:
    return message(number, account_id, f"[rp aid={BOT} to={room}-{to}]ボットさん\n{text}", **more)


ASKED = message(0, BOT, "公開してよいですか")


def page(*messages: models.Message) -> list[models.Message]:
    return [ASKED, *messages]


def other_messages(count: int, begin: int) -> list[models.Message]:
    return [message(begin + index, 9, f"雑談 {index}") for index in range(count)]


class FakeRoom:
    """Answers calls: takes or rejects posts, lists the members, and returns messages that are not on the page.

    :param refusal: what it refuses posts with.
    :param members: the roles of those who are in the room.
    :param behind: what is behind the page; nothing else is there.
    :param outage: what it answers to every question with.
    """

    def __init__(
        self,
        refusal: ChatworkError | None = None,
        *,
        members: Mapping[int, str] | None = None,
        behind: Sequence[models.Message] = (),
        outage: ChatworkError | None = None,
    ) -> None:
        self.refusal = refusal
        self.outage = outage
        self.members = dict.fromkeys(NAMES, "member") if members is None else members
        self.behind = {one["message_id"]: one for one in behind}
        self.posted: list[str] = []
        self.asked: list[str] = []

    def run_flow(self, flow: Any) -> Any:
        try:
            call: Call[Any] = next(flow)
            while True:
                try:
                    answer = self._answer(call)
                except ChatworkError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as end:
            return end.value

    def _answer(self, call: Call[Any]) -> Any:
        if call.operation == "post_message":
            assert call.request.form is not None
            self.posted.append(call.request.form["body"])
            if self.refusal is not None:
                raise self.refusal
            return {"message_id": str(4999 + len(self.posted))}
        self.asked.append(call.request.path.removeprefix(f"/rooms/{ROOM}/"))
        if self.outage is not None:
            raise self.outage
        if call.operation == "list_members":
            assert call.empty_list_only_on_204
            return [{"account_id": who, "name": NAMES[who], "role": role} for who, role in self.members.items()]
        assert call.operation == "get_message"
        message_id = call.request.path.rpartition("/")[2]
        if message_id not in self.behind:
            raise ChatworkNotFoundError("get_message", 404)
        return self.behind[message_id]


def poll_page(
    messages: list[models.Message],
    state: ApprovalState | None = None,
    room: FakeRoom | None = None,
    now: float = BEGIN + 300,
    may_post_hints: bool = True,
    deadline: float = DEADLINE,
    **more: Any,
) -> PollResult:
    before = copy.deepcopy(state)
    flow = poll(
        question(**more), messages, state or new_state(BEGIN), deadline=deadline, now=now, may_post_hints=may_post_hints
    )
    result: PollResult = (room or FakeRoom()).run_flow(flow)
    assert state == before
    assert json.loads(json.dumps(result.state)) == result.state
    return result


def choices(result: PollResult) -> list[tuple[int, str]]:
    return [(answer["account_id"], answer["choice"]) for answer in latest_votes(result.state["votes"])]
