"""Sends one alert: from the event to the message in the room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts import alert_state, recovery
from airflow_provider_chatwork.alerts.aggregation import AlertAggregator
from airflow_provider_chatwork.alerts.alert_state import (
    AlertMessageState,
    AlertStore,
    AlertStoreError,
    FailureUpdate,
    RunFailures,
    TaskFailure,
    UpdateOutcome,
    UpdateResult,
    is_only_failure,
)
from airflow_provider_chatwork.alerts.destination import (
    AlertOptions,
    AlertsSetting,
    Destination,
    resolve_destination,
)
from airflow_provider_chatwork.alerts.event import FAILURES, SUCCESSES, AlertEvent, EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.api.call import CallFlow, Upload
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.notation import break_unpaired_tags, safe
from airflow_provider_chatwork.client import Client, TimeLimit, time_limited_client
from airflow_provider_chatwork.connection import Settings

# Events for which nobody is mentioned.
_QUIET_KINDS = SUCCESSES | {EventKind.SKIPPED, EventKind.STARTED}
# The states of a task instance that will run again.
_WILL_RUN = frozenset({"up_for_retry", "queued", "scheduled", "restarting", "deferred"})


@dataclass(kw_only=True)
class AlertSender:
    """Sends one alert.

    :param text: the author's text, rendered and masked; ``None`` for the text of this package.
    :param table: the routing table, and ``route`` the rule of it that applies.
    :param settings: the settings of the connection that the alert is sent with.
    :param load_settings: loads the settings of another connection, for messages that were posted with it.
    :param setting: ``[chatwork] alerts`` of Airflow's configuration.
    :param run_url: the address of the run in Airflow's UI.
    :param store: what Airflow knows of the run; ``None`` if it cannot be asked.
    """

    event: AlertEvent
    options: AlertOptions
    text: str | None
    table: RoutingTable | None
    route: Route
    settings: Settings
    load_settings: Callable[[str], Settings]
    setting: AlertsSetting
    run_url: str | None
    store: AlertStore | None
    time_limit: TimeLimit
    log: logging.Logger | Any
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def notifies(self) -> bool:
        """Whether people are mentioned: for bad ends, and for retries with ``when="every"``."""
        kind = self.event.kind
        return self.options.when == "every" if kind is EventKind.RETRY else kind not in _QUIET_KINDS

    @cached_property
    def destination(self) -> Destination:
        """Where the alert is posted."""
        return resolve_destination(
            self.options,
            self.event,
            self.route,
            self.table,
            self.settings,
            self.setting,
            notifies=self.notifies,
            now=datetime.fromtimestamp(self.clock(), UTC),
        )

    @cached_property
    def client(self) -> Client:
        """The client of the alert's connection."""
        return time_limited_client(self.settings, self.time_limit)

    def send(self) -> str | None:
        """Send the alert, and report each failure once.

        :return: the id of the message; ``None`` if nothing was to be sent.
        :raises ChatworkError: if it could not be posted.
        """
        store, kind = self.store, self.event.kind
        if store is not None and kind in FAILURES:
            # Callbacks outside of the task's process may run late, run twice, or not consider the retries.
            is_certain = self.event.has_exception or store.in_task
            if not is_certain and not self._still_failed(store):
                return None
        if store is not None and kind in SUCCESSES:
            self._resolve(store)
        # A success without an author's text only resolves alerts.
        if (self.text is None and kind in SUCCESSES) or not self.route.send:
            return None
        if store is not None and kind in FAILURES:
            try:
                return self._report(store)
            except AlertStoreError as error:
                self.log.warning(
                    "Posting a separate alert message about %s, as Airflow's store failed: %s", self.event.title, error
                )
        message_id, _ = self.client.run_flow(self.post())
        if self.options.attach_traceback:
            self._attach_traceback()
        return message_id

    def post(self) -> CallFlow[tuple[str, str]]:
        """Post a message of its own. Yields the calls to run.

        :return: the id of the message, and its line of mentions.
        """
        destination, text = self.destination, self.text
        formatter = destination.formatter
        text = formatter.event_text(self.event, self.run_url) if text is None else break_unpaired_tags(text)
        mention_line = (yield from destination.mention_line()) if destination.mentions else ""
        parts = (mention_line, text, safe(destination.note) if destination.note else "")
        body = formatter.fit("\n".join(part for part in parts if part))
        posted = yield api.messages.post_message(destination.room_id, body)
        self.log.info("Posted alert message %s in room %s", posted["message_id"], destination.room_id)
        return str(posted["message_id"]), mention_line

    def _still_failed(self, store: AlertStore) -> bool:
        """Whether the failure is real, as far as Airflow's states show. May change the event to a retry."""
        event = self.event
        if event.kind is not EventKind.RUN_FAILURE:
            event = self.event = replace(event, lost_worker=event.error is None)
        try:
            states = store.states()
        except AlertStoreError as error:
            self.log.warning("Could not check whether %s still failed: %s", event.title, error)
            return True
        if event.kind is EventKind.RUN_FAILURE:
            if event.reason == "task_failure" and states and {*states.values()} <= {"success", "skipped"}:
                self.log.info("No alert was sent: all tasks of the run have succeeded: %s", event.title)
                return False
            return True
        state = None if states is None or event.key is None else states.get(event.key)
        if state == "success":
            self.log.info("No alert was sent: the task has succeeded meanwhile: %s", event.title)
            return False
        tries_left = (event.try_number or 0) < (event.tries or 0)
        if event.kind is EventKind.FAILURE and (state in _WILL_RUN or (state != "failed" and tries_left)):
            self.log.info("Sending the alert as a retry, as Airflow will retry the task: %s", event.title)
            self.event = replace(event, kind=EventKind.RETRY)
        return True

    def _report(self, store: AlertStore) -> str | None:
        """Report a failure in the message of its run or DAG, or in its own with ``fold="none"``."""
        event, options, destination = self.event, self.options, self.destination
        # With `fold="none"` each task instance has a message, and so a state, of its own.
        scopes = {"run": event.run_id, "dag": "", "none": f"{event.run_id} {event.key or ''}"}
        name = alert_state.variable_name(str(event.dag_id), str(scopes[options.fold]), destination.room_id)
        failure = TaskFailure.from_event(event, self.clock(), self.text)
        run = self._run_failures(run_failed=event.kind is EventKind.RUN_FAILURE)
        update = FailureUpdate(run=run, failure=failure, notifies=self.notifies)
        reserve = self.time_limit.left / 3
        is_only = False
        if options.fold == "run" and failure is not None and store.in_task:
            is_only = is_only_failure(store, store.states(), event.key)
        # An aggregator loads the state itself.
        saved = store.load(name) if is_only or options.fold == "none" else None
        before = None if saved is None else AlertMessageState.load(saved)
        if options.fold == "none" and before is not None and update.is_reported_in(before):
            # Airflow runs the callback twice.
            result = UpdateResult(UpdateOutcome.ALREADY_REPORTED, before)
        elif options.fold == "none" or (is_only and before is None):
            if is_only and failure is not None:
                store.save_failure({**failure.to_json(), "message": name})
            if self.time_limit.left < reserve:
                raise AlertStoreError("Airflow takes too long to answer")
            result = self._report_alone(store, name, update)
        else:
            aggregator = self._aggregator(store, name, self.client, destination)
            result = aggregator.report(update, may_be_only=is_only or not store.in_task)
        state = result.state
        if result.outcome is UpdateOutcome.ALREADY_REPORTED:
            self.log.info("Alert message %s in room %s already reports it", state.message_id, state.room_id)
            return state.message_id
        self.log.info("Alert message %s in room %s was %s", state.message_id, destination.room_id, result.outcome)
        if result.outcome is UpdateOutcome.POSTED:
            try:
                alert_state.remember_open(store, str(event.dag_id), name, self.clock())
            except AlertStoreError as error:
                self._warn_not_stored(error)
        if event.kind is EventKind.RETRY:
            self._recheck_retry(store, name)
        shown = state.runs[run.run_id].details if self.options.attach_traceback else ()
        if failure is not None and failure.key in {each.key for each in shown}:
            self._attach_traceback()
        return state.message_id

    def _report_alone(self, store: AlertStore, name: str, update: FailureUpdate) -> UpdateResult:
        """Report a failure in a new message, without waiting for other processes."""
        run, is_retry = update.run, self.event.kind is EventKind.RETRY
        if update.failure is not None:
            run = run.model_copy(
                update={"retrying" if is_retry else "failed": [self.event.key], "details": [update.failure]}
            )
        message_id, mention_line = self.client.run_flow(self.post())
        destination = self.destination
        state = AlertMessageState(
            opened_at=self.clock(),
            room_id=str(destination.room_id),
            message_id=message_id,
            chatwork_conn_id=destination.chatwork_conn_id,
            lang=destination.formatter.catalog.lang,
            mention_line=mention_line,
            notified=not is_retry,
            note=destination.note,
            runs={run.run_id: run},
        )
        try:
            if self.options.fold != "none" and store.load(name) is not None:
                # The callback of the DAG has posted a message meanwhile.
                self._aggregator(store, name, self.client, destination).save_written(state, run.run_id)
            else:
                store.save(name, state.to_json())
        except AlertStoreError as error:
            self._warn_not_stored(error)
        return UpdateResult(UpdateOutcome.POSTED, state)

    def _warn_not_stored(self, error: AlertStoreError) -> None:
        self.log.warning(
            "The alert about %s will not be resolved when the DAG succeeds, as Airflow did not store it: %s",
            self.event.title,
            error,
        )

    def _recheck_retry(self, store: AlertStore, name: str) -> None:
        """Edit the message if the retry has succeeded meanwhile: its own callback may have found no message to edit.

        The next try does not wait for the callback of the last one, and the callback of a killed task runs in another
        process.
        """
        try:
            if (store.states() or {}).get(self.event.key or ("", -1)) == "success":
                aggregator = self._aggregator(store, name, self.client, self.destination)
                aggregator.refresh(self._run_failures(run_failed=False))
                self.log.info("Edited the alert message, as the retry has succeeded: %s", self.event.title)
        except (AlertStoreError, ChatworkError) as error:
            self.log.warning("Could not check whether the retry has succeeded: %s: %s", self.event.title, error)

    def _aggregator(self, store: AlertStore, name: str, client: Client, destination: Destination) -> AlertAggregator:
        return AlertAggregator(
            store=store,
            name=name,
            client=client,
            destination=destination,
            dag_id=str(self.event.dag_id),
            time_limit=self.time_limit,
            clock=self.clock,
            sleep=self.sleep,
            warn=self.log.warning,
            window=self.options.fold_window if self.options.fold == "dag" else None,
        )

    def _run_failures(self, *, run_failed: bool) -> RunFailures:
        event = self.event
        return RunFailures(
            run_id=str(event.run_id),
            logical_date=event.logical_date.isoformat() if event.logical_date else None,
            url=self.run_url,
            run_failed=run_failed,
            reason=event.reason if run_failed else None,
            seconds=event.seconds if run_failed else None,
            text=self.text if run_failed else None,
        )

    def _resolve(self, store: AlertStore) -> None:
        """Edit the open messages that this success resolves. Without any, nothing is sent."""
        event = self.event
        dag_id, run_id = str(event.dag_id), str(event.run_id)
        try:
            if event.kind is EventKind.RUN_SUCCESS:
                now = datetime.fromtimestamp(self.clock(), UTC)
                recovery.report_recovery(
                    store, event, self._client_for, run_url=self.run_url, now=now, log=self.log.info
                )
                return
            for name, state in alert_state.open_alerts(store, dag_id):
                run = state.runs.get(run_id)
                if run is None or event.key not in (*run.failed, *run.retrying):
                    continue
                client, formatter = self._client_for(state)
                destination = Destination(
                    chatwork_conn_id=state.chatwork_conn_id or "",
                    room_id=int(state.room_id or 0),
                    formatter=formatter,
                    note=state.note,
                )
                aggregator = self._aggregator(store, name, client, destination)
                if aggregator.refresh(self._run_failures(run_failed=False)) is not None:
                    self.log.info("Edited alert message %s in room %s", state.message_id, state.room_id)
        except AlertStoreError as error:
            self.log.warning("Could not check for open alerts of DAG %s: %s", dag_id, error)

    def _client_for(self, state: AlertMessageState) -> tuple[Client, AlertFormatter]:
        """Return the client that a message was posted with, and a formatter in its language."""
        own, conn_id = self.route.chatwork_conn_id or self.options.chatwork_conn_id, state.chatwork_conn_id
        if conn_id is None or conn_id == own:
            client = self.client
        else:
            client = time_limited_client(self.load_settings(conn_id), self.time_limit)
        settings = client.settings
        return client, AlertFormatter(state.lang or settings.lang, settings.timezone)

    def _attach_traceback(self) -> None:
        """Upload the whole traceback as a file. If that fails, the alert is sent nevertheless."""
        event, room_id = self.event, self.destination.room_id
        if not event.traceback:
            return
        name = f"{event.dag_id}-{event.label}-{event.try_number}.txt".replace("/", "_")
        content = event.traceback.encode("utf-8", "replace")[-api.validation.MAX_FILE :]
        try:
            self.client.run(api.files.upload_file(room_id, Upload(name, content, "text/plain")))
        except ChatworkError as error:
            self.log.warning("Could not attach the traceback of %s in room %s: %s", event.title, room_id, error)
