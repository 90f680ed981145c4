"""Posting a question once, and remembering what was answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.call import strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.approvals.options import option_for, read_options
from airflow_provider_chatwork.waiting.approvals.poll import Ask, answers_needed, nothing_heard
from airflow_provider_chatwork.waiting.approvals.question_text import question_text, source_text
from airflow_provider_chatwork.waiting.approvals.recheck import can_answer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
    from airflow_provider_chatwork.waiting.approvals.poll import Heard

_KEPT = "chatwork_asked"


class Kept(NamedTuple):
    """What Airflow remembers of a question: it, what was heard, and the Unix time up to which it can be answered."""

    ask: Ask
    heard: Heard
    deadline: float


class Asking:
    """The question of one task instance.

    :param operator: says what to ask whom.
    :param context: that of the task.
    """

    def __init__(self, operator: ChatworkApprovalOperator, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._wish: list[Any] | None = None

    def kept(self) -> Kept | None:
        """What :meth:`keep` has kept, also in an earlier try or before the task was cleared."""
        store: Any = self._context.get("task_state_store")
        kept = None if store is None else store.get(_KEPT, None)
        return Kept(Ask(**kept["ask"]), kept["heard"], kept["deadline"]) if isinstance(kept, dict) else None

    def keep(self, ask: Ask, heard: Heard, deadline: float) -> None:
        """Remember what was heard, where Airflow can."""
        store: Any = self._context.get("task_state_store")
        if store is None:
            return
        if self._wish is None:
            # Back from the triggerer: the try that asked has written it down.
            kept = store.get(_KEPT, None)
            is_same = isinstance(kept, dict) and kept["ask"]["message_id"] == ask.message_id
            self._wish = kept.get("wish") if is_same else None
        store.set(_KEPT, {"ask": ask.to_plain(), "heard": heard, "deadline": deadline, "wish": self._wish})

    def recall(self, ask: Ask) -> Heard:
        """What an earlier try has heard, also for one that has just looked who is in the room."""
        nothing = nothing_heard(time.time())
        kept = self.kept()
        # A task that was cleared has asked anew.
        if kept is None or kept.ask.message_id != ask.message_id:
            return nothing
        if kept.ask == ask:
            return kept.heard
        return {**kept.heard, "absent": nothing["absent"], "members_at": nothing["members_at"]}

    def ask(self, seconds: float) -> tuple[Ask, float]:
        """Post the question, or find that of an earlier try; with the Unix time up to which it can be answered.

        :param seconds: how long there is to answer.
        :raises ChatworkParameterError: for what cannot be right.
        """
        operator, context = self._operator, self._context
        hook = operator.hook
        options = read_options(operator.options)
        option_for(operator.on_timeout, [*options])
        room_id = api.validation.identifier("room_id", hook.room_id_or_default(operator.room_id))
        question = api.validation.text("question", operator.question)
        approvers = api.validation.identifiers("approvers", operator.approvers)
        to_ids = (
            approvers
            if operator.to in (None, "", "None")
            else api.validation.identifiers("to", operator.to, required=False)
        )
        needed_of_all = answers_needed(operator.complete_when, approvers)
        operator.check_effects(
            context,
            options,
            fail_on_reject=operator.fail_on_reject,
            may_skip=operator.on_timeout == "skip",
            ignore_trigger_rules=operator.ignore_downstream_trigger_rules,
        )
        # The text has the names of people in it, and only those who are in the room: neither makes it another question.
        wish = repr((question, [*options], approvers, to_ids, needed_of_all, seconds))
        kept = self._kept_of(room_id, wish)
        if kept is not None:
            # Who has left since then is a matter of the wait, as it would be without another try.
            operator.show_place(context, room_id, kept.ask.message_id)
            return kept.ask, kept.deadline
        me = hook.run(api.account.get_me())
        members = hook.run(strict_empty_list(api.rooms.list_members(room_id)))
        names = {member["account_id"]: member.get("name", "") for member in members}
        present = self._present(approvers, me["account_id"], can_answer(members))
        needed = answers_needed(operator.complete_when, approvers)
        if needed > len(present):
            raise ChatworkParameterError(
                "approvers",
                approvers,
                f"{needed} of them have to agree, and {len(present)} of them can answer; the others are not in "
                "the room or may only read it, or are the account of the API token, whose own messages never count",
            )
        strangers = [account_id for account_id in to_ids if account_id not in names and account_id not in approvers]
        if strangers:
            operator.log.warning("Accounts that are not called, as they are not in the room: %s", strangers)
        ti: Any = context.get("ti")
        body = question_text(
            question,
            options=[*options],
            to_ids=[account_id for account_id in to_ids if account_id in names and account_id != me["account_id"]],
            approvers=present,
            needed=needed,
            names=names,
            timeout=seconds,
            # Questions of other runs must not look the same, or one could be taken for another.
            source="" if ti is None else source_text(ti.dag_id, ti.task_id, ti.run_id, ti.map_index),
            lang=hook.settings.lang,
        )
        asked = operator.create_once(
            context, api.messages.post_message(room_id, body), fingerprint_fields={"body": wish}
        )
        message_id = asked.result["message_id"]
        operator.show_place(context, room_id, message_id)
        begin = time.time() if asked.is_new else hook.run(api.messages.get_message(room_id, message_id))["send_time"]
        ask = Ask(
            room_id=room_id,
            message_id=message_id,
            options=[*options],
            rejecting=[text for text, effect in options.items() if effect is False],
            approvers=present,
            needed=needed,
            account_id=me["account_id"],
            account_name=me.get("name", ""),
            lang=hook.settings.lang,
            web_url=hook.settings.web_url,
        )
        return ask, begin + seconds

    def _kept_of(self, room_id: int, wish: str) -> Kept | None:
        """What an earlier try of the same round has kept of the same question."""
        fingerprint = sha256(f"{room_id} {wish}".encode()).hexdigest()
        # A task that is cleared has more tries from then on, and asks anew.
        self._wish = [fingerprint, getattr(self._context.get("ti"), "max_tries", None)]
        store: Any = self._context.get("task_state_store")
        kept = None if store is None else store.get(_KEPT, None)
        return self.kept() if isinstance(kept, dict) and kept.get("wish") == self._wish else None

    def _present(self, approvers: list[int], own: int, able: Mapping[int, str]) -> list[int]:
        """Those of the approvers who can answer."""
        others = [account_id for account_id in approvers if account_id != own]
        if not others:
            raise ChatworkParameterError(
                "approvers",
                approvers,
                "give the accounts of other people: this one is that of the API token, whose own messages never count",
            )
        present = [account_id for account_id in others if account_id in able]
        if len(present) < len(approvers):
            absent = [account_id for account_id in approvers if account_id not in present]
            self._operator.log.warning(
                "Approvers who cannot answer, as they are not in the room, may only read it, or are the account that "
                "asks: %s",
                absent,
            )
        return present
