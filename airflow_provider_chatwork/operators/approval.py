"""Ask people in a room, and go on as they answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    conf,
)

from airflow_provider_chatwork.api.errors import from_plain
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.operators._branching import TakesEffect
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout
from airflow_provider_chatwork.waiting.approvals.options import Effect, option_for, read_options

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.operators._approval_request import Asking
    from airflow_provider_chatwork.triggers._base import WorkerWait
    from airflow_provider_chatwork.utils.durations import Duration
    from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard

#: Go on, or do not.
APPROVE_OR_REJECT: Mapping[str, Effect] = {"承認": True, "却下": False}

# However often somebody may look, the account's budget is shared with everything else that uses it; in seconds.
_SHORTEST_INTERVAL = 1.0
# How long to wait before the last look is repeated where it fails, in seconds.
_LAST_PAUSE = 10.0
_RETURN_VALUE = "return_value"


class ChatworkApprovalOperator(ChatworkOperator, TakesEffect):
    """Ask people in a room, wait for their answers, and go on as they decide.

    The question is posted with how to answer: by a reply to it whose first line is nothing but an option or its number.
    Lines below are a comment. Width, case, white space, a full stop and some polite endings (承認します, 承認です) make
    no difference; everything else does, so that "承認しません" is never taken for "承認". A message that only mentions
    the account is no answer; of one that replies to several messages, the part that replies to the question is. Of
    several answers the latest counts, and an edited answer counts as edited; who edits one after having sent another
    that says something else has to answer anew. Messages of the token's own account never count, and neither does what
    is said after the time to answer. Where it cannot be told what an approver means, they are told once how to answer;
    an answer they gave before no longer counts, and they are told.

    An option is decided for as soon as enough approvers chose it. As soon as no option that goes on can get there any
    more, one with ``False`` is, if somebody chose one; with ``complete_when="all"`` one dissent is thus enough. If
    nobody did, the answers are split and the task fails for good.

    Returns a dict: ``choice`` and its ``number``; ``who`` decided so, a list of ``account_id``, ``name``, ``words``
    (the comment, at most 1,000 characters of it, and of all comments together 5,000), ``send_time``, ``update_time``
    (Unix seconds; 0: never edited), ``message_id``, ``choice`` and ``number``; ``votes``, the same of all who answered;
    ``outcome``, which is ``answered`` or ``timeout_default``; ``message_id`` of the question and its ``link``; and
    ``possible_loss``, whether so many messages came between two looks that an answer may have gone by unseen. Comments
    are what people wrote: put ``macros.chatwork.safe`` around them before you post them. The dict is there, too, where
    downstream tasks are skipped or the task fails because of ``fail_on_reject``.

    An outage of Chatwork does not end the wait; a lost room and a revoked token fail it for good.

    Who leaves the room, or may only read it any more, does not count, and neither does what they answered; that is seen
    about once an hour and when the time is over. Where too few approvers are left, the task fails for good. Answers
    behind the newest 100 messages of the room are read once more before they decide.

    :param question: what people are asked, with Chatwork's notation. Below it stands which task of which run asks.
    :param options: what they can answer, and what follows: ``True`` goes on with everything downstream, ``False`` skips
        what is directly downstream, a task id or a list of them goes on with these alone, as branching does. Task
        groups count as tasks. Each option is one line of at most 100 characters that could not be taken for another
        one or its number. Only the task ids may be templates, or the mapping as a whole.
    :param approvers: the account ids of those whose answers count, as a list, as comma-separated text, or as a
        template of it. Who of them is not in the room, or may only read it, is left out.
    :param to: the account ids of those who are called; the approvers if not given, nobody if empty.
    :param complete_when: how many approvers have to choose the same: ``any`` one of them, ``all``, or a number.
    :param timeout: how long they have from the question on, in seconds, as a timedelta, or as ISO 8601 text such as
        ``P2D``; 7 days if not given.
    :param on_timeout: what follows from no decision in time: ``fail`` (without another try, which would ask again),
        ``skip`` this task and what an option with ``False`` would skip, or one of the options. An option is not chosen
        where Chatwork could not be asked at the end, nor, unless its value is ``False``, where an answer may have gone
        by unseen; then the task fails.
    :param fail_on_reject: whether the task fails, without another try, where an option with ``False`` is decided for.
        A mapped task has to: Airflow does not reliably skip what is downstream of one of several.
    :param ignore_downstream_trigger_rules: whether such an option, or ``skip``, skips everything downstream, whatever
        its trigger rules, and not only what is directly downstream. After ``skip`` on Airflow 3, the task itself then
        counts as successful.
    :param poke_interval: between two looks, in the same forms as ``timeout``: 60 s if not given, and at least 1 s. A
        look is one request; in the triggerer all waits on the same room share it.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection. Its ``lang`` is the language of everything but the question.

    On Airflow 3.3 and later a task that is tried again does not ask again what an earlier try has asked, as long as
    its question, options, approvers, ``to``, ``complete_when`` and ``timeout`` render to the same, whoever has joined,
    left or been renamed in between; and it remembers what was answered.
    """

    template_fields: Sequence[str] = (
        *("question", "options", "approvers", "to", "complete_when", "timeout", "on_timeout", "poke_interval"),
        *ChatworkOperator.template_fields,
    )

    def __init__(
        self,
        *,
        question: str,
        approvers: AccountIds,
        options: Mapping[str, Effect] = APPROVE_OR_REJECT,
        to: AccountIds | None = None,
        complete_when: str | int = "any",
        timeout: Duration = timedelta(days=7),
        on_timeout: str = "fail",
        poke_interval: Duration = 60.0,
        fail_on_reject: bool = False,
        ignore_downstream_trigger_rules: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.question = question
        self.approvers = approvers
        self.options = options
        self.to = to
        self.complete_when = complete_when
        self.timeout = timeout
        self.on_timeout = on_timeout
        self.poke_interval = poke_interval
        self.fail_on_reject = fail_on_reject
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules
        self.deferrable = deferrable
        self._worker_wait: WorkerWait | None = None
        if isinstance(options, Mapping):
            # What is wrong in the DAG file is best found there; a template is only known when the task runs.
            texts = [*read_options(options)]
            if not any(mark in str(on_timeout) for mark in ("{{", "{%")):
                option_for(on_timeout, texts)

    def act(self, context: Context) -> Any:
        """Ask, and wait for the answers."""
        self._interval()
        asking = self._asking(context)
        ask, deadline = asking.ask(_seconds("timeout", self.timeout))
        heard = asking.recall(ask)
        asking.keep(ask, heard, deadline)
        if self.deferrable:
            self._defer(ask, heard, deadline)
        return self._end(context, ask, self._wait(context, ask, heard, deadline))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on as the trigger saw the wait end, or wait on with what it heard."""
        from airflow_provider_chatwork.triggers._event import EventStatus
        from airflow_provider_chatwork.waiting.approvals.poll import Ask

        with fail_permanently():
            if event["status"] == EventStatus.ERROR:
                raise from_plain(event["error"])
            ask = Ask(**event["ask"])
            self._asking(context).keep(ask, event["heard"], event["deadline"])
            if event["status"] == EventStatus.CHECKPOINT:
                self._defer(ask, event["heard"], event["deadline"])
            return self._end(context, ask, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer."""
        timeout_error = trigger_timeout(next_method, next_kwargs)
        if timeout_error is not None:
            with fail_permanently():
                return self._end_late(context, timeout_error)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """End the wait where a worker that waits for the answers has to stop."""
        if self._worker_wait is not None:
            self._worker_wait.cancel()

    def _asking(self, context: Context) -> Asking:
        # Imported here, so that reading a DAG file does not load it.
        from airflow_provider_chatwork.operators._approval_request import Asking

        return Asking(self, context)

    def _end_late(self, context: Context, error: str) -> dict[str, Any]:
        """End a wait that no triggerer has ended: by a look, where Airflow remembers at what."""
        kept = self._asking(context).kept()
        if kept is None or kept.deadline > time.time():
            self._give_up(context, f"{error}; the answers were not looked at in time")
        return self._end(context, kept.ask, self._wait(context, kept.ask, kept.heard, kept.deadline))

    def _defer(self, ask: Ask, heard: Heard, deadline: float) -> None:
        # Imported here, so that reading a DAG file does not load what only the triggerer needs.
        from airflow_provider_chatwork.triggers.approval import ChatworkApprovalTrigger

        left = timedelta(seconds=max(deadline - time.time(), 0))
        self.defer(
            trigger=ChatworkApprovalTrigger(
                chatwork_conn_id=self.chatwork_conn_id,
                ask=ask.to_plain(),
                heard=heard,
                poke_interval=self._interval(),
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=left + TRIGGER_TIMEOUT_GRACE,
        )

    def _wait(self, context: Context, ask: Ask, heard: Heard, deadline: float) -> dict[str, Any]:
        """Run the trigger's loop in this worker, and return its event."""
        from airflow_provider_chatwork.triggers._base import WorkerWait
        from airflow_provider_chatwork.triggers._event import EventStatus

        while True:
            self._worker_wait = WorkerWait(self._trigger(ask, heard, deadline))
            event = self._worker_wait.run()
            self._worker_wait = None
            if event is None:
                raise AirflowException(f"The wait for answers to {ask.link} was ended in Airflow")
            if event["status"] == EventStatus.ERROR:
                raise from_plain(event["error"])
            if event["status"] != EventStatus.CHECKPOINT:
                return event
            heard = event["heard"]
            self._asking(context).keep(ask, heard, deadline)

    def _trigger(self, ask: Ask, heard: Heard, deadline: float) -> Any:
        from airflow_provider_chatwork.triggers.approval import ChatworkApprovalTrigger

        return ChatworkApprovalTrigger(
            chatwork_conn_id=self.chatwork_conn_id,
            ask=ask.to_plain(),
            heard=heard,
            poke_interval=self._interval(),
            deadline=deadline,
        )

    def _end(self, context: Context, ask: Ask, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what follows from how the wait ended."""
        from airflow_provider_chatwork.triggers._event import EventStatus
        from airflow_provider_chatwork.waiting.approvals.votes import describe, result_of

        outcome = event.get("outcome")
        heard: Heard = event["heard"]
        if outcome == "withdrawn":
            raise AirflowFailException(f"The question {ask.link} was deleted before it was decided")
        if outcome == "deserted":
            raise AirflowFailException(
                f"Too few approvers are left to decide on {ask.link}; {ask.needed} are needed: {describe(ask, heard)}"
            )
        if outcome == "split":
            raise AirflowFailException(f"The answers to {ask.link} are split: {describe(ask, heard)}")
        choice, outcome = event.get("choice"), "answered"
        if event["status"] == EventStatus.TIMEOUT:
            outcome = "timeout_default"
            choice = option_for(self.on_timeout, ask.options)
            doubt = ""
            if event["unseen"]:
                doubt = "; what came last could not be looked at"
            elif heard["possible_loss"] and read_options(self.options).get(str(choice)) is not False:
                doubt = "; an answer may have gone by unseen"
            if choice is None or doubt:
                self._give_up(context, f"No decision on {ask.link} in time: {describe(ask, heard)}{doubt}")
        result = result_of(ask, heard, str(choice), outcome)
        self.log.info("Decided (%s) for option %d of %s", outcome, result["number"], ask.link)
        return self._follow(context, result)

    def _give_up(self, context: Context, why: str) -> NoReturn:
        if self.on_timeout == "skip":
            self.skip_with_downstream(context, why, ignore_trigger_rules=self.ignore_downstream_trigger_rules)
        # Another try would ask again, and of this one there is none.
        raise AirflowSensorTimeout(why)

    def _follow(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Go on, branch, skip or fail, as the option says."""
        options = read_options(self.options)
        if result["choice"] not in options:
            raise AirflowFailException(
                f"{result['choice']!r} was decided for ({result['link']}), and is none of the options any more, which "
                f"are {', '.join(map(repr, options))}; clear the task to ask anew"
            )
        effect = options[result["choice"]]
        ti: Any = context.get("ti")
        if effect is not True and ti is not None and self.do_xcom_push:
            # What skips ends the task by an exception on Airflow 3, which loses what is returned.
            ti.xcom_push(key=_RETURN_VALUE, value=result)
        if effect is False and self.fail_on_reject:
            who = ", ".join(str(answer["account_id"]) for answer in result["who"]) or "nobody in time"
            raise AirflowFailException(f"{result['choice']!r} was decided for, by {who}: {result['link']}")
        self.take_effect(context, effect, ignore_trigger_rules=self.ignore_downstream_trigger_rules)
        return result

    def _interval(self) -> float:
        return max(_seconds("poke_interval", self.poke_interval), _SHORTEST_INTERVAL)


def _seconds(parameter: str, value: Duration) -> float:
    from airflow_provider_chatwork.utils.durations import duration

    return duration(parameter, value, least=timedelta(0)).total_seconds()
