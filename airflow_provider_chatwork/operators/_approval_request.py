"""Post a question once per round of tries, and save the state of the approval between tries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.call import strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.task_state import TaskState
from airflow_provider_chatwork.waiting.approvals.poll import writable_members
from airflow_provider_chatwork.waiting.approvals.question import (
    ApprovalState,
    Question,
    new_state,
    question_text,
    source_text,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.operators._base import ChatworkOperator

_KEY = "chatwork_approval"


@dataclass(frozen=True)
class ApprovalSpec:
    """The rendered and validated arguments of a question.

    :param to_ids: the accounts that get a To tag.
    :param quorum: how many approvers have to choose the same option.
    :param timeout: seconds to answer.
    """

    room_id: int
    question: str
    options: Mapping[str, bool | list[str]]
    approvers: Sequence[int]
    to_ids: Sequence[int]
    quorum: int
    timeout: float

    @property
    def fingerprint(self) -> str:
        """What makes it the same question on the next try.

        The text of the question does not: it has the names of the members who are in the room at that time.
        """
        wanted = (self.question, [*self.options], [*self.approvers], [*self.to_ids], self.quorum, self.timeout)
        return sha256(f"{self.room_id} {wanted!r}".encode()).hexdigest()


class SavedApproval(NamedTuple):
    """What Airflow stores of an approval: with the deadline as a Unix time, and the fingerprint of the arguments."""

    question: Question
    state: ApprovalState
    deadline: float
    fingerprint: str | None


class ApprovalRequest:
    """The question of one task instance.

    :param operator: posts it.
    :param context: of the task.
    """

    def __init__(self, operator: ChatworkOperator, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._task_state = TaskState(context)
        self._fingerprint: str | None = None

    def saved(self) -> SavedApproval | None:
        """Return what :meth:`save` has stored since the last clear of the task."""
        stored = self._task_state.get(_KEY)
        if not stored:
            return None
        return SavedApproval(**{**stored, "question": Question(**stored["question"])})

    def save(self, question: Question, state: ApprovalState, deadline: float) -> None:
        """Store the state of the approval."""
        # After a deferral, the try that posted the question has stored its fingerprint.
        fingerprint = self._fingerprint or self._task_state.get(_KEY).get("fingerprint")
        saved = SavedApproval(question, state, deadline, fingerprint)
        self._task_state.set(_KEY, {**saved._asdict(), "question": question.to_plain()})

    def restore_state(self, question: Question) -> ApprovalState:
        """Return the state that an earlier try has stored for the question, or a new one."""
        saved = self.saved()
        if saved is None or saved.question.message_id != question.message_id:
            return new_state(time.time())
        return saved.state

    def post(self, spec: ApprovalSpec) -> tuple[Question, float]:
        """Post the question, or find that of an earlier try, and return it with its deadline as a Unix time.

        :raises ChatworkParameterError: for approvers who cannot reach the quorum.
        """
        operator, context = self._operator, self._context
        hook = operator.hook
        self._fingerprint = spec.fingerprint
        saved = self.saved()
        if saved is not None and saved.fingerprint == spec.fingerprint:
            operator.show_place(context, spec.room_id, saved.question.message_id)
            return saved.question, saved.deadline
        me = hook.run(api.account.get_me())
        members = hook.run(strict_empty_list(api.rooms.list_members(spec.room_id)))
        names = {member["account_id"]: member.get("name", "") for member in members}
        approvers = self._eligible(spec, me["account_id"], writable_members(members))
        absent = [one for one in spec.to_ids if one not in names and one not in spec.approvers]
        if absent:
            operator.log.warning("Accounts not mentioned, as they are not in room %s: %s", spec.room_id, absent)
        ti: Any = context.get("ti")
        body = question_text(
            spec.question,
            options=[*spec.options],
            to_ids=[one for one in spec.to_ids if one in names and one != me["account_id"]],
            approvers=approvers,
            quorum=spec.quorum,
            names=names,
            timeout=spec.timeout,
            # Distinguishes the questions of several runs, so that none is taken for another one after a lost reply.
            source="" if ti is None else source_text(ti.dag_id, ti.task_id, ti.run_id, ti.map_index),
            lang=hook.settings.lang,
        )
        call = api.messages.post_message(spec.room_id, body)
        created = operator.create_once(context, call, fingerprint_fields={"body": spec.fingerprint})
        message_id = created.result["message_id"]
        operator.show_place(context, spec.room_id, message_id)
        if created.is_new:
            posted_at = time.time()
        else:
            posted_at = hook.run(api.messages.get_message(spec.room_id, message_id))["send_time"]
        question = Question(
            room_id=spec.room_id,
            message_id=message_id,
            options=[*spec.options],
            rejecting=[text for text, effect in spec.options.items() if effect is False],
            approvers=approvers,
            quorum=spec.quorum,
            account_id=me["account_id"],
            account_name=me.get("name", ""),
            lang=hook.settings.lang,
            web_url=hook.settings.web_url,
        )
        return question, posted_at + spec.timeout

    def _eligible(self, spec: ApprovalSpec, own_account_id: int, writable: Mapping[int, str]) -> list[int]:
        """Return the approvers who can answer."""
        if [*spec.approvers] == [own_account_id]:
            raise ChatworkParameterError(
                "approvers",
                spec.approvers,
                "give the accounts of other people: this one is that of the API token, whose own messages never count",
            )
        eligible = [one for one in spec.approvers if one != own_account_id and one in writable]
        excluded = [one for one in spec.approvers if one not in eligible]
        if excluded:
            self._operator.log.warning(
                "Approvers who cannot answer in room %s, as they are not in it, may only read it, or are the account "
                "of the API token: %s",
                spec.room_id,
                excluded,
            )
        if spec.quorum > len(eligible):
            raise ChatworkParameterError(
                "approvers",
                spec.approvers,
                f"{spec.quorum} of them have to agree, and {len(eligible)} of them can answer; the others are not in "
                "the room or may only read it, or are the account of the API token, whose own messages never count",
            )
        return eligible
