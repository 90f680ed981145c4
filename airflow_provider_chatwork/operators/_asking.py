"""Posting a question once, and remembering what was answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.answers import Effect, option_for, read_options
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.operators._effects import TakesEffect

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.asking import Ask, Heard
    from airflow_provider_chatwork.api.rooms import AccountIds

_KEPT = "chatwork_asked"


class Kept(NamedTuple):
    """What Airflow remembers of a question: it, what was heard, and the Unix time up to which it can be answered."""

    ask: Ask
    heard: Heard
    deadline: float


class AsksPeople(ChatworkOperator, TakesEffect):
    """An operator that asks people. Its parameters are those of ``ChatworkApprovalOperator``."""

    question: str
    options: Mapping[str, Effect]
    approvers: AccountIds
    to: AccountIds | None
    complete_when: str | int
    on_timeout: str
    fail_on_reject: bool
    ignore_downstream_trigger_rules: bool

    def kept(self, context: Context) -> Kept | None:
        """What :meth:`keep` has kept, also in an earlier try or before the task was cleared."""
        from airflow_provider_chatwork.api.asking import Ask

        store: Any = context.get("task_state_store")
        kept = None if store is None else store.get(_KEPT, None)
        return Kept(Ask(**kept["ask"]), kept["heard"], kept["deadline"]) if isinstance(kept, dict) else None

    def keep(self, context: Context, ask: Ask, heard: Heard, deadline: float) -> None:
        """Remember what was heard, where Airflow can."""
        store: Any = context.get("task_state_store")
        if store is not None:
            store.set(_KEPT, {"ask": ask.to_plain(), "heard": heard, "deadline": deadline})

    def recall(self, context: Context, ask: Ask) -> Heard:
        """What an earlier try has heard, for one that has just looked who is in the room."""
        from airflow_provider_chatwork.api.asking import nothing_heard

        nothing = nothing_heard(time.time())
        kept = self.kept(context)
        # A task that was cleared has asked anew.
        if kept is None or kept.ask.message_id != ask.message_id:
            return nothing
        return {**kept.heard, "absent": nothing["absent"], "members_at": nothing["members_at"]}

    def ask_people(self, context: Context, seconds: float) -> tuple[Ask, float]:
        """Post the question, or find that of an earlier try; with the Unix time up to which it can be answered.

        :param seconds: how long there is to answer.
        :raises ChatworkParameterError: for what cannot be right.
        """
        from airflow_provider_chatwork.api.asking import Ask, answers_needed
        from airflow_provider_chatwork.api.question import question_text, source_text
        from airflow_provider_chatwork.api.standing import can_answer

        hook = self.hook
        options = read_options(self.options)
        option_for(self.on_timeout, [*options])
        room_id = api.check.identifier("room_id", hook.room_id_or_default(self.room_id))
        question = api.check.text("question", self.question)
        approvers = api.check.identifiers("approvers", self.approvers)
        to_ids = approvers if self.to in (None, "", "None") else api.check.identifiers("to", self.to, required=False)
        needed_of_all = answers_needed(self.complete_when, approvers)
        self.check_effects(
            context,
            options,
            fail_on_reject=self.fail_on_reject,
            may_skip=self.on_timeout == "skip",
            ignore_trigger_rules=self.ignore_downstream_trigger_rules,
        )
        me = hook.run(api.account.get_me())
        members = hook.run(api.rooms.list_members(room_id))
        names = {member["account_id"]: member.get("name", "") for member in members}
        present = self._present(approvers, me["account_id"], can_answer(members))
        needed = answers_needed(self.complete_when, approvers)
        if needed > len(present):
            raise ChatworkParameterError(
                "approvers",
                approvers,
                f"{needed} of them have to agree, and {len(present)} of them can answer; the others are not in "
                "the room or may only read it, or are the account of the API token, whose own messages never count",
            )
        strangers = [account_id for account_id in to_ids if account_id not in names and account_id not in approvers]
        if strangers:
            self.log.warning("Accounts that are not called, as they are not in the room: %s", strangers)
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
        # The text has the names of people in it, and only those who are in the room: neither makes it another question.
        wish = repr((question, [*options], approvers, to_ids, needed_of_all, seconds))
        asked = self.create_once(context, api.messages.post_message(room_id, body), stands_for={"body": wish})
        message_id = asked.result["message_id"]
        self.show_place(context, room_id, message_id)
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
            self.log.warning(
                "Approvers who cannot answer, as they are not in the room, may only read it, or are the account that "
                "asks: %s",
                absent,
            )
        return present
