"""Tasks that end in every way a task can, in a process that lives on."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, BaseOperator, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import TAKAHASHI
from tests.system_tests.alerts.rooms import ROOMS, give
from tests.system_tests.short_wait import ShortWait

AIRFLOW_3 = int(__version__.split(".")[0]) >= 3
COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "catchup": False,
    "is_paused_upon_creation": False,
}
# The next try does not wait for the callback of the one before, and what they say depends on who comes first.
DEFAULTS: dict[str, Any] = {"owner": "data-team", "retry_delay": timedelta(seconds=5)}


def every_callback(notifier: ChatworkNotifier) -> dict[str, Any]:
    return {f"on_{event}_callback": notifier for event in ("failure", "retry", "success")}


def load(table: str) -> None:
    raise RuntimeError(f"受注テーブル {table} を読めません\nSELECT COUNT(*) FROM {table} -- [toall]")


with DAG("one_line", default_args={"on_failure_callback": ChatworkNotifier()}, **COMMON):

    @task
    def load_orders() -> None:
        load("orders")

    load_orders()

with DAG(
    "retries_then_fails",
    default_args={
        **DEFAULTS,
        **every_callback(ChatworkNotifier(room_id=ROOMS["retries_then_fails"], mentions=[TAKAHASHI])),
    },
    **COMMON,
):

    @task(retries=2)
    def sync_stock() -> None:
        load("stock")

    sync_stock()

with DAG(
    "second_try",
    default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["second_try"], mentions=[TAKAHASHI]))},
    **COMMON,
):

    @task(retries=1)
    def flaky(ti: Any = None) -> None:
        if ti.try_number == 1:
            load("flaky")

    flaky()

with DAG(
    "gives_up",
    default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["gives_up"], mentions=[TAKAHASHI]))},
    **COMMON,
):

    @task(retries=2)
    def check() -> None:
        raise AirflowFailException("やり直しても無駄です")

    check()

SUCCEEDS = ChatworkNotifier(room_id=ROOMS["succeeds"], mentions=[TAKAHASHI])
with DAG(
    "succeeds",
    default_args={**DEFAULTS, **every_callback(SUCCEEDS)},
    on_success_callback=SUCCEEDS,
    on_failure_callback=SUCCEEDS,
    **COMMON,
):

    @task
    def works() -> str:
        return "ok"

    works()

STARTS = ChatworkNotifier(room_id=ROOMS["starts_and_skips"])
with DAG("starts_and_skips", default_args=DEFAULTS, **COMMON):

    @task(on_execute_callback=STARTS)
    def starts() -> str:
        return "ok"

    @task(on_skipped_callback=STARTS)
    def skips() -> None:
        raise AirflowSkipException("休日です")

    starts() >> skips()

with DAG(
    "mapped",
    default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["mapped"]))},
    **COMMON,
):

    @task(map_index_template="{{ task.op_kwargs['shop'] }}")
    def total(shop: str) -> None:
        if shop == "那覇":
            load(shop)

    total.expand(shop=["札幌", "那覇"])

with DAG(
    "takes_too_long",
    default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["takes_too_long"]))},
    **COMMON,
):

    @task(execution_timeout=timedelta(seconds=2))
    def export() -> None:
        time.sleep(60)

    export()

if AIRFLOW_3:

    class FailsAfterWaiting(BaseOperator):
        def execute(self, context: Any) -> None:
            self.defer(trigger=ShortWait(seconds=10), method_name="go_on")

        def go_on(self, context: Any, event: Any = None) -> None:
            load("waited")

    with DAG(
        "waits",
        default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["waits"]))},
        **COMMON,
    ):
        FailsAfterWaiting(task_id="wait_for_file")

    with DAG(
        "marked",
        default_args={**DEFAULTS, **every_callback(ChatworkNotifier(room_id=ROOMS["marked"]))},
        **COMMON,
    ):
        # A person marks these while they run.

        @task
        def marked_failed() -> None:
            give("marked_failed")
            time.sleep(600)

        @task
        def marked_success() -> None:
            give("marked_success")
            time.sleep(600)

        marked_failed()
        marked_success()
