"""One message for all failures of a run, from any number of processes.

The callbacks of many failures run in many processes at the same time, which share nothing but Airflow. Each process

1. saves its failure with its own task instance, where no other process writes;
2. loads the state of the message; if the message already reports the failure, it is done;
3. acquires a lease, or waits while another process holds it;
4. collects all failures from the states of the tasks and from what they saved, posts or edits the message, and saves
   its state;
5. collects again, and edits again if another process has saved a state meanwhile or a failure is missing.

The lease saves requests. Correctness does not depend on it: the text is always made of everything that was saved, and
the last writer collects after all others have saved. Of two first messages the older one is kept. A saved state that
another process overwrites is saved again in the next round.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.alert_state import (
    AlertMessageState,
    AlertStore,
    AlertStoreError,
    FailureUpdate,
    Key,
    RunFailures,
    UpdateOutcome,
    UpdateResult,
    is_only_failure,
)
from airflow_provider_chatwork.alerts.destination import Destination
from airflow_provider_chatwork.alerts.run_failures import collect_failures
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.client import Client, TimeLimit

# In seconds: the length of a lease; the minimum and maximum time until all processes see a saved lease; the interval
# in which a waiting process loads the state.
_LEASE = 8.0
_MIN_SETTLE = 0.15
_MAX_SETTLE = 1.0
_WAIT = 0.25
# After so many rounds the other processes write what is still missing.
_MAX_ROUNDS = 12


class _DagRecoveredError(Exception):
    """Raised when the state was deleted because the DAG recovered meanwhile."""


@dataclass(kw_only=True)
class AlertAggregator:
    """Reports failures in one message.

    :param name: the name of the state in the store.
    :param client: the client of the account that posts the message.
    :param dag_id: the DAG of the failures.
    :param window: seconds after which a new message is posted; ``None`` for never.
    :param lease_timeout: seconds for which another process is waited for.
    """

    store: AlertStore
    name: str
    client: Client
    destination: Destination
    dag_id: str
    time_limit: TimeLimit
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    warn: Callable[..., None]
    window: float | None = None
    lease_timeout: float = 10.0

    def __post_init__(self) -> None:
        self._owner = uuid.uuid4().hex[:12]
        self._settle = _MIN_SETTLE
        # The time that is kept for Chatwork, however long Airflow takes.
        self._reserve = self.time_limit.left / 3
        self._update: FailureUpdate | None = None

    def report(self, update: FailureUpdate, *, may_be_only: bool = True) -> UpdateResult:
        """Report a failure, unless the message already reports it.

        :param may_be_only: false if other failures of the run are known to be possible; it saves a request to Airflow.
        :raises ChatworkError: if Chatwork refuses the message.
        :raises AlertStoreError: if Airflow does not answer; nothing was sent then.
        """
        if update.failure is not None:
            self.store.save_failure({**update.failure.to_json(), "message": self.name})
        self._update = update
        until = self.clock() + min(self.lease_timeout, self.time_limit.left / 2)
        while True:
            state = self._load_state()
            if state is not None and state.message_id and update.is_reported_in(state):
                return UpdateResult(UpdateOutcome.ALREADY_REPORTED, state)
            self._check_time()
            now = self.clock()
            if state is not None and state.is_leased_to_another(self._owner, now) and now < until:
                self._pause(_WAIT)
                continue
            states = self.store.states() if may_be_only else None
            may_be_only = True
            own = None if update.failure is None else update.failure.key
            reported = state.runs.get(update.run.run_id) if state is not None else None
            if self.window is None and is_only_failure(self.store, states, own, reported):
                return self._write_without_lease(state or self.destination.new_state(now), update, states)
            if self._acquire_lease(state) or self.clock() >= until:
                return self._write_with_lease(update)

    def refresh(self, run: RunFailures) -> UpdateResult | None:
        """Edit the message so that it shows the failures that a run has now.

        :return: ``None`` if there is no message about the run, or if the DAG recovers meanwhile.
        """
        state = self._load_state()
        if state is None or not state.message_id or run.run_id not in state.runs:
            return None
        self._acquire_lease(state)
        try:
            return self._write_with_lease(FailureUpdate(run=run, failure=None, notifies=False))
        except _DagRecoveredError:
            return None

    def _load_state(self) -> AlertMessageState | None:
        """Load the state; ``None`` if there is none, or if this failure needs a new message."""
        saved = self.store.load(self.name)
        if saved is None:
            return None
        state = AlertMessageState.load(saved)
        if not state.room_id:
            raise AlertStoreError("the stored alert has no room")
        if self._update is not None and self._update.has_failed_before(state):
            return None
        return None if self.window is not None and self.clock() - state.opened_at > self.window else state

    def _require_state(self) -> AlertMessageState | None:
        """Load the state. A refresh needs one.

        :raises _DagRecoveredError: if a refresh finds none.
        """
        state = self._load_state()
        if state is None and self._update is None:
            raise _DagRecoveredError
        return state

    def _write_without_lease(
        self, state: AlertMessageState, update: FailureUpdate, states: Mapping[Key, str | None] | None
    ) -> UpdateResult:
        run = collect_failures(self.store, self.name, update, state, states)
        self._check_time()
        written, outcome = self._send(_with_run(state, run, lease=None), update)
        try:
            self._save_written(written, state, run.run_id, keep_lease=False)
        except AlertStoreError as error:
            self._warn_incomplete(run.run_id, error)
        return UpdateResult(outcome, written)

    def _acquire_lease(self, state: AlertMessageState | None) -> bool:
        began = self.clock()
        self._save_with_lease(state or self.destination.new_state(began))
        # If Airflow is slow, it is slow for the other processes as well. The tasks of another run cannot be asked
        # about, so runs that share a message need more time.
        shortest = _MIN_SETTLE if self.window is None else 3 * _MIN_SETTLE
        self._settle = max(shortest, min(5 * (self.clock() - began), _MAX_SETTLE))
        self._pause(self._settle)
        self._check_time()
        state = self._load_state()
        return state is not None and state.lease is not None and state.lease[0] == self._owner

    def _write_with_lease(self, update: FailureUpdate) -> UpdateResult:
        run_id = update.run.run_id
        outcome = UpdateOutcome.EDITED
        written: AlertMessageState | None = None
        try:
            for _ in range(_MAX_ROUNDS):
                seen = self._require_state() or self.destination.new_state(self.clock())
                if written is None:
                    self._check_time()
                else:
                    if not seen.message_id:
                        raise AlertStoreError("the stored alert was deleted")
                    seen = self._merge_duplicates(seen, written)
                state = _with_run(seen, collect_failures(self.store, self.name, update, seen, self.store.states()))
                if (
                    written is not None
                    and seen.message_id == written.message_id
                    and seen.reported() == written.reported() == state.reported()
                ):
                    break
                if written is None:
                    self._check_time()
                elif self.time_limit.left < self._reserve:
                    break
                written, sent = self._send(state, update)
                outcome = sent if sent is UpdateOutcome.POSTED else outcome
                self._save_written(written, seen, run_id, keep_lease=True)
                self._pause(self._settle)
            self._release_lease()
        except (ChatworkError, AlertStoreError) as error:
            # If Airflow has failed, the lease ends by itself.
            if isinstance(error, ChatworkError):
                with contextlib.suppress(AlertStoreError):
                    self._release_lease()
            if written is None:
                raise
            self._warn_incomplete(run_id, error)
        assert written is not None
        return UpdateResult(outcome, written)

    def _check_time(self) -> None:
        """Raise if Airflow has used up the time that Chatwork needs."""
        if self.time_limit.left < self._reserve:
            raise AlertStoreError("Airflow takes too long to answer")

    def _warn_incomplete(self, run_id: str, error: Exception) -> None:
        self.warn("Alert for run %s was posted, but its last update may be missing: %s", run_id, error)

    def save_written(self, written: AlertMessageState, run_id: str) -> None:
        """Save the state of a message that was posted without a lease.

        :raises AlertStoreError: if Airflow does not answer.
        """
        self._save_written(written, AlertMessageState(), run_id, keep_lease=False)

    def _save_written(
        self, written: AlertMessageState, seen: AlertMessageState, run_id: str, *, keep_lease: bool
    ) -> None:
        latest = self._require_state()
        if latest is not None and latest.message_id not in (None, seen.message_id, written.message_id):
            # Another process has posted a message meanwhile. The next round works with the one that is kept.
            self._merge_duplicates(latest, written)
            return
        merged = written.merge(latest, run_id)
        if keep_lease:
            self._save_with_lease(merged)
        else:
            self.store.save(self.name, merged.to_json())

    def _merge_duplicates(self, seen: AlertMessageState, written: AlertMessageState) -> AlertMessageState:
        """Delete one of two messages that were posted at the same time: the one that notified nobody, or the newer."""
        if not seen.message_id or not written.message_id or seen.message_id == written.message_id:
            return seen
        kept, other = sorted((seen, written), key=lambda state: (not state.notified, int(state.message_id or 0)))
        self._delete(other)
        seen = seen.model_copy(update={"message_id": kept.message_id, "notified": kept.notified})
        self.store.save(self.name, seen.to_json())
        return seen

    def _delete(self, state: AlertMessageState) -> None:
        try:
            self.client.run(api.messages.delete_message(str(state.room_id), str(state.message_id)))
        except ChatworkNotFoundError:
            # Another process has deleted it.
            pass
        except ChatworkError as error:
            self.warn(
                "Could not delete outdated alert message %s in room %s: %s", state.message_id, state.room_id, error
            )

    def _send(self, state: AlertMessageState, update: FailureUpdate) -> tuple[AlertMessageState, UpdateOutcome]:
        """Edit the message, or post it if there is none or if people have to be notified."""
        room_id, formatter = str(state.room_id), self.destination.formatter
        outdated = state if state.message_id and update.is_final and not state.notified else None
        if state.message_id and outdated is None:
            body = formatter.state_text(state, self.dag_id)
            # If somebody has deleted the message, it is posted again.
            with contextlib.suppress(ChatworkNotFoundError):
                self.client.run(api.messages.edit_message(room_id, state.message_id, body))
                return state, UpdateOutcome.EDITED
        mentions = update.notifies and self.destination.mentions
        state = state.model_copy(
            update={
                "notified": state.notified or update.is_final,
                "mention_line": self.client.run_flow(self.destination.mention_line()) if mentions else "",
                "note": self.destination.note,
            }
        )
        posted = self.client.run(api.messages.post_message(room_id, formatter.state_text(state, self.dag_id)))
        if outdated is not None:
            # An edit would not notify anybody, so the message about retries is replaced.
            self._delete(outdated)
        return state.model_copy(update={"message_id": posted["message_id"]}), UpdateOutcome.POSTED

    def _save_with_lease(self, state: AlertMessageState) -> None:
        lease = (self._owner, self.clock() + _LEASE)
        self.store.save(self.name, state.model_copy(update={"lease": lease}).to_json())

    def _release_lease(self) -> None:
        state = self._load_state()
        if state is not None and state.lease is not None and state.lease[0] == self._owner:
            self.store.save(self.name, state.model_copy(update={"lease": None}).to_json())

    def _pause(self, seconds: float) -> None:
        # With a random part, so that waiting processes do not load and write at the same time.
        self.sleep(seconds * (1 + random.random()))


def _with_run(state: AlertMessageState, run: RunFailures, **changes: Any) -> AlertMessageState:
    return state.model_copy(update={"runs": {**state.runs, run.run_id: run}, **changes})
