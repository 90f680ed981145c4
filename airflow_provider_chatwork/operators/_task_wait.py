"""Waiting for the people who were given a task: what happens in the worker, before, instead of and after the trigger.

The rules are in ``api.task_watch`` (how to look), ``api.task_course`` (what a look shows) and ``followup`` (reminders
and the like); the trigger goes by the same. What ends a wait is seen to here for both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.messages import get_message, list_messages
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.waiting.reminders.cancellation import Withdrawal, new_withdrawal, withdraw_steps
from airflow_provider_chatwork.waiting.reminders.plan import Facts
from airflow_provider_chatwork.waiting.reminders.progress import Progress
from airflow_provider_chatwork.waiting.tasks.given_tasks import (
    facts_of,
    last_seen,
    never_seen,
    note_all,
    read_each,
    reason_of,
    tells_of_withdrawal,
    was_withdrawn,
)
from airflow_provider_chatwork.waiting.tasks.result import Outcome, describe, look_into_room, new_outcome
from airflow_provider_chatwork.waiting.tasks.room_scan import RoomTasks
from airflow_provider_chatwork.waiting.tasks.tracking import (
    Given,
    assignees_of,
    done_of,
    ids_of,
    is_possible,
    message_of,
)

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.models import Task
    from airflow_provider_chatwork.client import Client
    from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
    from airflow_provider_chatwork.operators._wishes import Wishes

    class Log(Protocol):
        """What is used of a log: Airflow's is no ``logging.Logger``."""

        def info(self, event: Any, *args: Any) -> Any: ...
        def warning(self, event: Any, *args: Any) -> Any: ...
        def error(self, event: Any, *args: Any) -> Any: ...


# How long to wait between two last looks, in seconds.
_LATE_PAUSE = 20.0


class Waiting:
    """One wait for tasks that were given.

    :param hook: asks Chatwork.
    :param given: the tasks; what looks show is noted in it.
    :param wishes: what is wanted of the wait.
    :param log: the log of the Airflow task.
    """

    def __init__(self, hook: ChatworkHook, given: Given, wishes: Wishes, log: Log) -> None:
        self.given = given
        self.is_killed = False
        self._is_given_up = False
        self._hook = hook
        self._wishes = wishes
        self._log = log
        self._tasks = RoomTasks(given["room_id"])
        self._account_id: int | None = None
        self._progress = self._begin()
        self._in_trouble = False
        self._is_read_singly = False
        for task_id in ids_of(given["tracks"]):
            self._tasks.want(task_id, assignees_of(given["tracks"]).get(task_id))

    def _begin(self) -> Progress | None:
        return Progress(self._wishes.follow_up, self.given["created_at"]) if self._wishes.follow_up else None

    def look(self, client: Client | None = None) -> None:
        """Look once, and note what there is to see."""
        (client or self._hook.client).run_flow(self._tasks.look(self._ending))
        self._note()
        self._tasks.check()

    def _note(self) -> None:
        note_all(self.given["tracks"], self._tasks.tasks, self._tasks.deleted, time.time())
        self.given["message_id"] = self.given["message_id"] or message_of(self.given["tracks"])

    def was_withdrawn(self) -> bool:
        """Whether the tasks, given by an earlier try, were withdrawn since. To be asked after a look.

        The room is told first, so a try that was ended in the middle may have left tasks open. They are closed.

        :raises ChatworkUnknownOutcomeError: where the room does not show any more whether those done are withdrawn.
        """
        if self.given["message_id"] is None:
            return False
        page = self._hook.run(list_messages(self.given["room_id"]))
        facts = self._facts(self._hook.client)
        # Where none is done there is nothing to be mistaken about.
        tells = was_withdrawn if done_of(self.given["tracks"]) else tells_of_withdrawal
        if not tells(facts, page):
            return False
        self._withdraw("killed", self._hook.client)
        return True

    def first_look(self) -> None:
        """Look once, and go on where that cannot be had now: the tasks are there, and must not be given again."""
        try:
            # Nothing is lost by going on without it, and of hundreds that begin at a time many would wait for it.
            self.look(self._hook.quick_client)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("Chatwork does not tell how the tasks stand; the wait goes on. %s", error)

    def date_back(self) -> float:
        """Let reminders of tasks that were found again go by when they were created, as their message tells.

        :return: the Unix time of that; where it is not told, that of now.
        """
        message_id = self.given["message_id"]
        if message_id is not None:
            call = get_message(self.given["room_id"], message_id)
            try:
                self.given["created_at"] = float(self._hook.quick_client.run(call)["send_time"])
                self._progress = self._begin()
            except ChatworkError as error:
                self._log.warning("When the tasks were given is not known; reminders count from now. %s", error)
        return self.given["created_at"]

    def verdict(self) -> str | None:
        """``done`` or ``impossible``, where a look has shown that; ``None`` while it has to be waited."""
        if self._is_complete():
            return "done"
        return None if is_possible(self.given["tracks"], self.given["needed"]) else "impossible"

    def end(self, word: str) -> Outcome:
        """Find out what became of the tasks, and withdraw those left open where nobody waits for them any more.

        :param word: ``done``, ``timed_out`` or ``impossible``.
        """
        if word != "done":
            # Some time may have passed since the trigger looked, or since there was one.
            self._last_look()
            word = self.verdict() or word
        withdrawal = new_withdrawal()
        if word == "done" and self._wishes.withdraw and self._is_withdrawn():
            word = "withdrawn"
        elif word != "done" and self._wishes.withdraw:
            try:
                self._withdraw(word, self._hook.client, withdrawal)
            except ChatworkError as error:
                which = "The open tasks" if not withdrawal["closed"] else "Some open tasks"
                self._log.error("%s could not be withdrawn: %s", which, error)
        outcome = new_outcome(word, self.given, self._hook.settings.web_url)
        for task in outcome["tasks"]:
            if task["task_id"] in withdrawal["closed"]:
                task["status"] = "withdrawn"
        if (refusal := self._hook.quick_client.run_flow(look_into_room(outcome, self.given))) is not None:
            self._log.warning("Room %s does not show who has left: %s", self.given["room_id"], refusal)
        self._log.info("The wait has ended: %s. %s", word, describe(outcome))
        return outcome

    def kill(self) -> None:
        """End the wait from outside, and withdraw the tasks that are open, in the few seconds Airflow leaves for it."""
        self.is_killed = True
        if not self._wishes.withdraw:
            return
        # Not this one, which may have been interrupted in the middle of a look.
        other = Waiting(self._hook, deepcopy(self.given), self._wishes, self._log)
        other._account_id = self._account_id
        try:
            try:
                other.look(self._hook.quick_client)
            except ChatworkError as error:
                if not is_transient(error):
                    raise
                self._log.warning("Chatwork does not tell how the tasks stand. %s", error)
            if other.verdict() == "done":
                # This one would have seen that at its next look. Another try will.
                return
            self._is_given_up = True
            other._withdraw("killed", self._hook.quick_client)
        except ChatworkError as error:
            self._log.error("The open tasks could not be withdrawn: %s", error)

    def _last_look(self) -> None:
        """Look once more, task by task where the lists cannot be had, and make do with what is known otherwise."""
        try:
            self.look()
            if self._tasks.unfinished:
                self.look()
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("Chatwork does not list the tasks at the end of the wait. %s", error)
        else:
            return
        try:
            self._hook.client.run_flow(read_each(self._tasks, ids_of(self.given["tracks"])))
            self._is_read_singly = True
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("Chatwork does not tell how the tasks stand at the end of the wait. %s", error)
        self._note()

    def _is_withdrawn(self) -> bool:
        """Whether another try has withdrawn the tasks: a worker that Airflow had lost, and that was stopped later."""
        if self.given["message_id"] is None:
            return False
        try:
            page = self._hook.run(list_messages(self.given["room_id"]))
            return tells_of_withdrawal(self._facts(self._hook.client), page)
        except ChatworkError as error:
            self._log.warning("Whether the tasks were withdrawn is not known; they count as done. %s", error)
            return False

    def _withdraw(self, word: str, client: Client, result: Withdrawal | None = None) -> None:
        """Withdraw the tasks that are open.

        :param result: an empty one, to be filled as far as this comes.
        """
        lang = self._hook.settings.lang
        facts = self._facts(client, last_seen(self.given["tracks"]))
        withdrawal = client.run_flow(withdraw_steps(facts, reason_of(word, lang), lang=lang, result=result))
        for refused in withdrawal["refused"]:
            self._log.error("A task could not be withdrawn: %s", refused)
        if unseen := never_seen(self.given["tracks"]):
            self._log.error("The open tasks could not be withdrawn: nothing is known of %s", unseen)

    def _facts(self, client: Client, known: Mapping[int, Task] = MappingProxyType({})) -> Facts:
        """What is known by looks of this process, and of tasks that it has not seen by ``known``."""
        if self._account_id is None:
            self._account_id = client.run(get_me())["account_id"]
        tasks = {**known, **self._tasks.tasks}
        return facts_of(self.given, tasks, self._account_id, self._hook.settings.web_url)

    def _ending(self) -> list[list[int]]:
        """The tasks by which the wait would end, if enough are done."""
        done = [task_id for task_id, task in self._tasks.tasks.items() if task["status"] == "done"]
        return [done] if len(done) >= self.given["needed"] else []

    def _is_complete(self) -> bool:
        done = done_of(self.given["tracks"])
        is_fresh = self._is_read_singly or all(map(self._tasks.is_fresh, done))
        return len(done) >= self.given["needed"] and is_fresh
