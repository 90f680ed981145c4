"""Ask people in a room, and continue, skip or branch as they decide."""

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

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import from_plain
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.operators._branching import BranchingMixin
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.operators._approval_request import ApprovalRequest, ApprovalSpec
    from airflow_provider_chatwork.triggers._base import WorkerWait
    from airflow_provider_chatwork.triggers.approval import ChatworkApprovalTrigger
    from airflow_provider_chatwork.utils.time_arguments import Duration
    from airflow_provider_chatwork.waiting.approvals.options import OptionEffect
    from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, Question

#: The default options.
APPROVE_OR_REJECT: Mapping[str, OptionEffect] = {"承認": True, "却下": False}

# Seconds. The rate limit of the account is shared with everything else that uses it.
_MIN_INTERVAL = 1.0


class ChatworkApprovalOperator(ChatworkOperator, BranchingMixin):
    """Post a question, wait for the answers of the approvers, and continue, skip or branch as they decide.

    The question says how to answer: by a reply to it whose first line is nothing but an option or its number. The lines
    below are a comment. Width, case, white space, a full stop and some polite endings (承認します, 承認です) make no
    difference; anything else does, so that "承認しません" never counts as "承認". A message that only mentions the
    account is not an answer. In a message that replies to several messages, only the part that replies to the question
    counts. Messages of the token's own account and messages after the deadline never count.

    The latest answer of each approver counts, and an edited answer counts as edited. An approver who edits an answer
    after sending another one that says something else has to answer again. An approver whose latest reply cannot be
    parsed gets one hint how to answer; their earlier vote no longer counts, and the hint says so.

    An option is decided for as soon as enough approvers chose it. As soon as no option but those with ``False`` can
    reach the quorum any more, one of these is decided for if somebody chose it; with ``complete_when="all"`` one
    dissent is thus enough. If nobody did, the vote is tied and the task fails without another try.

    Returns a dict: ``choice`` and its ``number``; ``decided_by``, the votes for it, a list of ``account_id``, ``name``,
    ``comment`` (truncated to 1,000 characters, and all comments together to 5,000), ``send_time``, ``update_time``
    (Unix seconds; 0: never edited), ``message_id``, ``choice`` and ``number``; ``votes``, the same of all who voted;
    ``outcome``, which is ``answered`` or ``timeout_default``; ``message_id`` of the question and its ``link``; and
    ``possible_loss``, whether so many messages came between two polls that an answer may have been missed. Comments are
    untrusted: put ``macros.chatwork.safe`` around them before you post them. The dict is also pushed if downstream
    tasks are skipped, or if the task fails because of ``fail_on_reject``.

    An outage of Chatwork does not end the wait. A lost room or a revoked token fails the task without another try.

    Approvers who leave the room, or may only read it any more, do not count, and neither do their votes; this is
    checked once an hour and at the deadline. If fewer than the quorum are left, the task fails without another try.
    Votes in messages behind the newest 100 of the room are read once more before they decide.

    :param question: the text of the question, as Chatwork notation. The operator adds the name of the task and run.
    :param options: what approvers can answer, with the effects: ``True`` continues with everything downstream,
        ``False`` skips what is directly downstream, a task id or a list of them branches to these. Task groups count
        as tasks. Each option is one line of at most 100 characters that differs from every other option and its
        number. Only the task ids may be templates, or the mapping as a whole.
    :param approvers: the account ids whose votes count, as a list, as comma-separated text, or as a template of it.
        Approvers who are not in the room, or may only read it, are left out.
    :param to: the account ids that get a To tag; the approvers if not given, nobody if empty.
    :param complete_when: the quorum, how many approvers have to choose the same option: ``any`` one of them, ``all``,
        or a number.
    :param timeout: the time to answer, from the question on, in seconds, as a timedelta, or as ISO 8601 text such as
        ``P2D``; 7 days if not given.
    :param on_timeout: what to do without a decision in time: ``fail`` (without another try, which would ask again),
        ``skip`` this task and what an option with ``False`` would skip, or one of the options. The task fails instead
        of choosing an option if the last poll failed, and, unless its value is ``False``, if an answer may have been
        missed.
    :param fail_on_reject: whether the task fails, without another try, if an option with ``False`` is decided for. A
        mapped task needs it: Airflow does not reliably skip what is downstream of a mapped task.
    :param ignore_downstream_trigger_rules: whether such an option, or ``skip``, skips everything downstream, whatever
        its trigger rules, and not only what is directly downstream. After ``skip`` on Airflow 3, the task itself then
        counts as successful.
    :param poke_interval: the time between two polls, in the same forms as ``timeout``: 60 s if not given, and at least
        1 s. A poll is one request; in the triggerer all waits on the same room share it.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection. Its ``lang`` is the language of everything but the question.

    On Airflow 3.3 and later a retry does not post the question again, as long as question, options, approvers, ``to``,
    ``complete_when`` and ``timeout`` render to the same, whoever has joined, left or been renamed in between; and it
    keeps the votes that an earlier try has seen.
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
        options: Mapping[str, OptionEffect] = APPROVE_OR_REJECT,
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
            # Errors in the DAG file are reported when it is parsed; templates are only known when the task runs.
            from airflow_provider_chatwork.waiting.approvals.options import parse_options, timeout_option

            texts = [*parse_options(options)]
            if not any(mark in str(on_timeout) for mark in ("{{", "{%")):
                timeout_option(on_timeout, texts)

    def act(self, context: Context) -> Any:
        """Post the question, and wait for the answers."""
        spec = self._spec(context)
        request = self._request(context)
        question, deadline = request.post(spec)
        state = request.restore_state(question)
        request.save(question, state, deadline)
        if self.deferrable:
            self._defer(question, state, deadline)
        return self._finish(context, question, self._wait(context, question, state, deadline))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Finish with the event of the trigger, or save its state and defer again."""
        from airflow_provider_chatwork.triggers._event import EventStatus
        from airflow_provider_chatwork.waiting.approvals.question import Question

        with fail_permanently():
            if event["status"] == EventStatus.ERROR:
                raise from_plain(event["error"])
            question = Question(**event["question"])
            self._request(context).save(question, event["state"], event["deadline"])
            if event["status"] == EventStatus.CHECKPOINT:
                self._defer(question, event["state"], event["deadline"])
            return self._finish(context, question, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the triggerer. After a timeout of the deferral, poll once in the worker if possible."""
        error = trigger_timeout(next_method, next_kwargs)
        if error is not None:
            with fail_permanently():
                return self._finish_late(context, error)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the wait in this worker."""
        if self._worker_wait is not None:
            self._worker_wait.cancel()

    def _spec(self, context: Context) -> ApprovalSpec:
        """Validate the rendered arguments, before anything is sent."""
        # Imported here, because it is not needed to parse a DAG file.
        from airflow_provider_chatwork.operators._approval_request import ApprovalSpec
        from airflow_provider_chatwork.waiting.approvals.options import parse_options, timeout_option
        from airflow_provider_chatwork.waiting.approvals.votes import required_quorum

        self._interval()
        timeout = _seconds("timeout", self.timeout)
        options = parse_options(self.options)
        timeout_option(self.on_timeout, [*options])
        room_id = api.validation.identifier("room_id", self.hook.room_id_or_default(self.room_id))
        question = api.validation.text("question", self.question)
        approvers = api.validation.identifiers("approvers", self.approvers)
        to_ids = approvers
        if self.to not in (None, "", "None"):
            to_ids = api.validation.identifiers("to", self.to, required=False)
        quorum = required_quorum(self.complete_when, approvers)
        self.check_effects(
            context,
            options,
            fail_on_reject=self.fail_on_reject,
            may_skip=self.on_timeout == "skip",
            ignore_trigger_rules=self.ignore_downstream_trigger_rules,
        )
        return ApprovalSpec(room_id, question, options, approvers, to_ids, quorum, timeout)

    def _request(self, context: Context) -> ApprovalRequest:
        # Imported here, because it is not needed to parse a DAG file.
        from airflow_provider_chatwork.operators._approval_request import ApprovalRequest

        return ApprovalRequest(self, context)

    def _finish_late(self, context: Context, error: str) -> dict[str, Any]:
        """Finish a wait that no triggerer has ended: by a poll in the worker, if Airflow stored the question."""
        saved = self._request(context).saved()
        if saved is None or saved.deadline > time.time():
            self._end_without_decision(context, f"{error}; the answers were not read in time")
        event = self._wait(context, saved.question, saved.state, saved.deadline)
        return self._finish(context, saved.question, event)

    def _defer(self, question: Question, state: ApprovalState, deadline: float) -> None:
        left = timedelta(seconds=max(deadline - time.time(), 0))
        self.defer(
            trigger=self._trigger(question, state, deadline),
            method_name="execute_complete",
            timeout=left + TRIGGER_TIMEOUT_GRACE,
        )

    def _wait(self, context: Context, question: Question, state: ApprovalState, deadline: float) -> dict[str, Any]:
        """Run the trigger's loop in this worker, and return its last event."""
        from airflow_provider_chatwork.triggers._base import WorkerWait
        from airflow_provider_chatwork.triggers._event import EventStatus

        while True:
            self._worker_wait = WorkerWait(self._trigger(question, state, deadline))
            event = self._worker_wait.run()
            self._worker_wait = None
            if event is None:
                raise AirflowException(f"The wait for answers to {question.link} was cancelled by Airflow")
            if event["status"] == EventStatus.ERROR:
                raise from_plain(event["error"])
            if event["status"] != EventStatus.CHECKPOINT:
                return event
            state = event["state"]
            self._request(context).save(question, state, deadline)

    def _trigger(self, question: Question, state: ApprovalState, deadline: float) -> ChatworkApprovalTrigger:
        # Imported here, because it is not needed to parse a DAG file.
        from airflow_provider_chatwork.triggers.approval import ChatworkApprovalTrigger

        return ChatworkApprovalTrigger(
            chatwork_conn_id=self.chatwork_conn_id,
            question=question.to_plain(),
            state=state,
            poke_interval=self._interval(),
            deadline=deadline,
        )

    def _finish(self, context: Context, question: Question, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of the wait and apply its effect, or fail."""
        from airflow_provider_chatwork.triggers._event import EventStatus
        from airflow_provider_chatwork.waiting.approvals.options import parse_options, timeout_option
        from airflow_provider_chatwork.waiting.approvals.question import Outcome
        from airflow_provider_chatwork.waiting.approvals.votes import approval_result, describe_votes

        state: ApprovalState = event["state"]
        votes = describe_votes(question, state)
        if event["status"] == EventStatus.TIMEOUT:
            choice, result_outcome = timeout_option(self.on_timeout, question.options), "timeout_default"
            doubt = ""
            if event["last_poll_failed"]:
                doubt = "; the last messages could not be read"
            elif state["possible_loss"] and parse_options(self.options).get(str(choice)) is not False:
                doubt = "; an answer may have been missed"
            if choice is None or doubt:
                self._end_without_decision(context, f"No decision on {question.link} in time: {votes}{doubt}")
        else:
            choice, result_outcome = event["choice"], "answered"
            if event["outcome"] == Outcome.QUESTION_DELETED:
                raise AirflowFailException(f"The question {question.link} was deleted before it was decided")
            if event["outcome"] == Outcome.QUORUM_IMPOSSIBLE:
                raise AirflowFailException(
                    f"Too few approvers are left to decide on {question.link}; {question.quorum} are needed: {votes}"
                )
            if event["outcome"] == Outcome.TIED:
                raise AirflowFailException(f"The vote on {question.link} is tied: {votes}")
        result = approval_result(question, state, str(choice), result_outcome)
        self.log.info("Decided (%s) for option %d of %s", result_outcome, result["number"], question.link)
        return self._apply_choice(context, result)

    def _end_without_decision(self, context: Context, reason: str) -> NoReturn:
        if self.on_timeout == "skip":
            self.skip_with_downstream(context, reason, ignore_trigger_rules=self.ignore_downstream_trigger_rules)
        # This error ends the task without a retry, which would ask again.
        raise AirflowSensorTimeout(reason)

    def _apply_choice(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Continue, branch, skip or fail, as the option says."""
        from airflow_provider_chatwork.waiting.approvals.options import parse_options

        options = parse_options(self.options)
        if result["choice"] not in options:
            raise AirflowFailException(
                f"{result['choice']!r} was decided for ({result['link']}), and is not one of the options any more, "
                f"which are {', '.join(map(repr, options))}; clear the task to ask again"
            )
        effect = options[result["choice"]]
        ti: Any = context.get("ti")
        if effect is not True and ti is not None and self.do_xcom_push:
            # On Airflow 3 a skip ends the task by an exception, so that the return value would be lost.
            ti.xcom_push(key="return_value", value=result)
        if effect is False and self.fail_on_reject:
            who = ", ".join(str(vote["account_id"]) for vote in result["decided_by"]) or "nobody in time"
            raise AirflowFailException(f"{result['choice']!r} was decided for, by {who}: {result['link']}")
        self.apply(context, effect, ignore_trigger_rules=self.ignore_downstream_trigger_rules)
        return result

    def _interval(self) -> float:
        return max(_seconds("poke_interval", self.poke_interval), _MIN_INTERVAL)


def _seconds(parameter: str, value: Duration) -> float:
    from airflow_provider_chatwork.utils.time_arguments import parse_duration

    return parse_duration(parameter, value, least=timedelta(0)).total_seconds()
