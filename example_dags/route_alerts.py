"""Route alerts by owner and tag: a routing table selects the room and the mentions, and sets quiet hours.

The first matching route applies; without a match, the arguments of the notifier apply. A table for all DAGs belongs in
a Variable (``ChatworkNotifier(routing="variable_name")``) or in the connection's extra ``routing``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.alerts.routing import QuietHours, Route, RoutingTable
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# Rooms and a person of the sandbox. Replace them.
PARAMS = {"data_room": 400000101, "sales_room": 400000102, "on_duty": 1001002}

table = RoutingTable(
    routes=(
        # "owner" mentions the owner of the failed task, if a member of the room has this name or Chatwork id.
        Route(name="sales", owner="sales", room_id=PARAMS["sales_room"], mentions=(PARAMS["on_duty"], "owner")),
        Route(name="trials", tag="trial", send=False),
    ),
    # In quiet hours, alerts below this severity are posted without mentions.
    quiet_hours=QuietHours(start="22:00", end="07:00", days_off=("sat", "sun"), below="error"),
)
alerts = ChatworkNotifier(room_id=PARAMS["data_room"], routing=table, attach_traceback=True)

with DAG(
    "chatwork_route_alerts",
    schedule=None,
    params=PARAMS,
    default_args={"on_failure_callback": alerts, "retries": 0},
    doc_md=__doc__,
    tags=["chatwork"],
):

    @task(owner="sales")
    def load_sales() -> None:
        raise ValueError("売上ファイルがまだ届いていません")

    @task
    def load_stock() -> None:
        raise TimeoutError("在庫システムが応答しません")

    load_sales()
    load_stock()
