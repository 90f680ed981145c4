"""Collect the failures of a run from the states of its tasks and from what the tasks have saved."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_chatwork.alerts.alert_state import (
    DETAILED,
    AlertMessageState,
    AlertStore,
    FailureUpdate,
    Key,
    RunFailures,
    TaskFailure,
)

# The states of a task whose callback may be running.
_MAY_BE_IN_CALLBACK = frozenset({"running", "failed", "up_for_retry"})


def collect_failures(
    store: AlertStore,
    name: str,
    update: FailureUpdate,
    state: AlertMessageState,
    states: Mapping[Key, str | None] | None,
) -> RunFailures:
    """Return all failures of a run that are known now.

    :param name: the name of the state of the message.
    :param state: what the message reports already.
    :param states: the states of the task instances; ``None`` if they are unknown.
    :raises AlertStoreError: if Airflow does not answer.
    """
    run, own = update.run, update.failure
    before = state.runs.get(run.run_id) or RunFailures(run_id=run.run_id)
    known = {failure.key: failure for failure in before.details}
    if own is not None:
        known[own.key] = own
    if states is None:
        failed = list(before.failed)
        retrying = [key for key in before.retrying if own is None or key != own.key]
        if own is not None and own.key not in (keys := retrying if own.retrying else failed):
            keys.append(own.key)
    else:
        failed, retrying, known = _collect_from_states(store, name, states, known, before, own)
    return RunFailures(
        run_id=run.run_id,
        logical_date=run.logical_date or before.logical_date,
        url=run.url or before.url,
        failed=failed,
        retrying=retrying,
        details=[known[key] for key in (*failed, *retrying) if key in known][:DETAILED],
        run_failed=run.run_failed or before.run_failed,
        reason=run.reason or before.reason,
        seconds=run.seconds if run.run_failed else before.seconds,
        text=run.text or before.text,
    )


def _collect_from_states(
    store: AlertStore,
    name: str,
    states: Mapping[Key, str | None],
    known: dict[Key, TaskFailure],
    before: RunFailures,
    own: TaskFailure | None,
) -> tuple[list[Key], list[Key], dict[Key, TaskFailure]]:
    """Return the keys of failed and of retrying task instances, and the known failures by key.

    The state of a task whose callback is running may be out of date. What the task has saved is up to date.
    """
    reported = {*known, *before.failed, *before.retrying}
    own_key = own.key if own else None
    others = {key: state for key, state in states.items() if key != own_key}
    # A running task is in its callback, or Airflow is trying it again and has deleted what it had saved.
    running = {key for key, state in others.items() if state == "running"}
    wanted = running | {key for key, state in others.items() if state in _MAY_BE_IN_CALLBACK and key not in reported}
    # A task that was cleared after its final failure and will be retried.
    wanted |= {key for key in before.failed if others.get(key) == "up_for_retry"}
    known = {key: failure for key, failure in known.items() if key not in running}
    for saved in store.load_failures({task_id for task_id, _ in wanted}) if wanted else ():
        failure = TaskFailure.load(saved)
        if failure.key in wanted:
            # The author's text for one message must not appear in another one.
            is_here = saved.get("message") == name
            known[failure.key] = failure if is_here else failure.model_copy(update={"text": None})
    failed: list[Key] = []
    retrying: list[Key] = []
    by_time = [failure.key for failure in sorted(known.values(), key=lambda failure: failure.failed_at)]
    for key in dict.fromkeys((*before.failed, *before.retrying, *by_time, *states)):
        found, state = known.get(key), states.get(key)
        if own is not None and key == own_key:
            (retrying if own.retrying else failed).append(key)
        elif state == "failed":
            failed.append(key)
        elif state in _MAY_BE_IN_CALLBACK and found is not None:
            (retrying if found.retrying else failed).append(key)
        elif state == "up_for_retry" and key in reported:
            retrying.append(key)
    return failed, retrying, known
