"""What happens to the open alerts of a DAG when it succeeds again.

One Variable for each DAG lists its open messages, so that a success without open alerts takes one read of a Variable
and no request to Chatwork. The order of the runs does not matter: runs of asset-driven DAGs have no logical date.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeAlias

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.alert_state import AlertMessageState, AlertStore, open_alerts, variable_name
from airflow_provider_chatwork.alerts.event import AlertEvent
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkForbiddenError, ChatworkNotFoundError
from airflow_provider_chatwork.client import Client

#: Returns the client that a message was posted with, and a formatter in its language.
ClientFor: TypeAlias = Callable[[AlertMessageState], tuple[Client, AlertFormatter]]

# The maximum number of open messages of a DAG that are edited when it succeeds again.
_MAX_EDITED = 5
# The message was deleted, or the account has left the room.
_GONE = (ChatworkNotFoundError, ChatworkForbiddenError)


def report_recovery(
    store: AlertStore,
    event: AlertEvent,
    client_for: ClientFor,
    *,
    run_url: str | None,
    now: datetime,
    log: Callable[..., Any],
) -> None:
    """Report that a DAG has recovered: edit its open messages, and reply to the latest one in every room.

    :param event: the success of a run.
    :raises ChatworkError: if Chatwork refuses it; the alerts stay open then.
    """
    dag_id, run_id = str(event.dag_id), str(event.run_id)
    index = variable_name(dag_id)
    saved = open_alerts(store, dag_id)
    resolved = [(name, state) for name, state in saved if state.message_id and _is_resolved(state, event, store)]
    if not resolved:
        return
    # The list is saved first, so that only one of two runs that succeed at the same time reports the recovery.
    left = {name: state.opened_at for name, state in saved if (name, state) not in resolved}
    store.save(index, {"messages": left} if left else None)
    try:
        _edit_and_reply(
            [_clear_retries(state, run_id) for _, state in resolved], dag_id, run_id, client_for, run_url, now
        )
    except ChatworkError:
        store.save(index, {"messages": {name: state.opened_at for name, state in saved}})
        raise
    for name, _ in resolved:
        store.save(name, None)
    log("DAG %s has recovered: edited %s alert messages", dag_id, min(len(resolved), _MAX_EDITED))


def _edit_and_reply(
    states: list[AlertMessageState],
    dag_id: str,
    run_id: str,
    client_for: ClientFor,
    run_url: str | None,
    now: datetime,
) -> None:
    for state in states[-_MAX_EDITED:]:
        client, formatter = client_for(state)
        head = formatter.recovered_line(now, now.timestamp() - state.opened_at)
        body = api.notation.fit(f"{head}\n{formatter.state_text(state, dag_id)}")
        with suppress(*_GONE):
            client.run(api.messages.edit_message(str(state.room_id), str(state.message_id), body))
    rooms: dict[tuple[str | None, str | None], list[AlertMessageState]] = {}
    # A message that only reported retries gets no reply.
    for state in states:
        if state.notified:
            rooms.setdefault((state.chatwork_conn_id, state.room_id), []).append(state)
    for notified in rooms.values():
        first, latest = notified[0], notified[-1]
        client, formatter = client_for(latest)
        account_id = client.run(api.account.get_me())["account_id"]
        after = now.timestamp() - first.opened_at
        text = formatter.recovered_text(dag_id, run_id, now, after, len(notified), run_url)
        link = api.notation.reply(account_id, str(latest.room_id), str(latest.message_id))
        with suppress(*_GONE):
            client.run(api.messages.post_message(str(latest.room_id), f"{link}\n{text}"))


def _clear_retries(state: AlertMessageState, run_id: str) -> AlertMessageState:
    """Return the state without the retries of a run that has succeeded.

    The success of the task would remove them as well, but its callback may run after that of the DAG run.
    """
    run = state.runs.get(run_id)
    if run is None or not run.retrying:
        return state
    details = [failure for failure in run.details if not failure.retrying]
    run = run.model_copy(update={"retrying": [], "details": details})
    return state.model_copy(update={"runs": {**state.runs, run_id: run}})


def _is_resolved(state: AlertMessageState, event: AlertEvent, store: AlertStore) -> bool:
    if event.run_id in state.runs:
        # A run may succeed with failed tasks in it, if its last tasks have other trigger rules.
        states = store.states()
        return states is None or "failed" not in states.values()
    # A run that started before the alert does not show that its cause is gone.
    return event.run_started is None or event.run_started.timestamp() >= state.opened_at
