"""Tasks that end in every possible way, in a process that is not killed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    task,
)

from tests.system_tests.recording_notifier import Recorder
from tests.system_tests.short_wait import ShortWait

AIRFLOW_3 = int(__version__.split(".")[0]) >= 3
PROMPT = timedelta(seconds=1)


def load(table: str) -> None:
    raise RuntimeError(f"受注テーブル {table} を読めません\nSELECT COUNT(*) FROM {table} -- [toall]")


class FailsAfterWaiting(BaseOperator):
    def execute(self, context: Any) -> None:
        self.defer(trigger=ShortWait(seconds=6), method_name="go_on")

    def go_on(self, context: Any, event: Any = None) -> None:
        load("waited")


with DAG(
    "tasks",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"owner": "data-team", "retry_delay": PROMPT},
    tags=["orders", "critical"],
    params={"region": "東京"},
    description="受注",
    is_paused_upon_creation=False,
):

    @task(on_execute_callback=Recorder("task.on_execute"), on_success_callback=Recorder("task.on_success"))
    def other() -> str:
        return "ok"

    @task(
        retries=2,
        on_retry_callback=Recorder("task.on_retry"),
        on_failure_callback=Recorder("task.on_failure"),
        on_execute_callback=Recorder("task.on_execute.tries"),
    )
    def fails() -> None:
        load("orders")

    @task(
        retries=2,
        on_retry_callback=Recorder("task.fail_exception.on_retry"),
        on_failure_callback=Recorder("task.fail_exception.on_failure"),
    )
    def gives_up() -> None:
        raise AirflowFailException("やり直しても無駄です")

    @task(on_skipped_callback=Recorder("task.on_skipped"))
    def skips() -> None:
        raise AirflowSkipException("休日です")

    @task(retries=1, on_success_callback=Recorder("task.second_try.on_success"))
    def second_try(ti: Any = None) -> None:
        if ti.try_number == 1:
            load("flaky")

    @task(on_failure_callback=Recorder("task.mapped.on_failure"), map_index_template="{{ task.op_kwargs['shop'] }}")
    def mapped(shop: str) -> None:
        if shop == "那覇":
            load(shop)

    @task(
        execution_timeout=timedelta(seconds=2),
        on_failure_callback=Recorder("task.execution_timeout.on_failure"),
    )
    def takes_too_long() -> None:
        time.sleep(60)

    other()
    fails()
    gives_up()
    skips()
    second_try()
    mapped.expand(shop=["札幌", "那覇"])
    takes_too_long()
    if AIRFLOW_3:
        FailsAfterWaiting(task_id="waits", on_failure_callback=Recorder("task.deferred.on_failure"))

if AIRFLOW_3:
    with DAG("marked", start_date=datetime(2026, 1, 1), schedule=None, is_paused_upon_creation=False):
        # A person marks these while they run.

        @task(on_failure_callback=Recorder("task.marked_failed.on_failure"))
        def marked_failed() -> None:
            time.sleep(240)

        @task(
            on_success_callback=Recorder("task.marked_success.on_success"),
            on_failure_callback=Recorder("task.marked_success.on_failure"),
        )
        def marked_success() -> None:
            time.sleep(240)

        marked_failed()
        marked_success()
