"""Send alerts to whom they concern: a table says which room gets them, whom they call, and when nobody is called.

The first route that matches counts. What matches none goes where the notifier says. A table for all DAGs belongs into
a Variable (``ChatworkNotifier(routing="its_name")``) or into the connection's extra ``routing``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.alerts.routing import QuietHours, Route, RoutingTable
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# The rooms and people of the sandbox: put your own here.
PARAMS = {"data_room": 400000101, "sales_room": 400000102, "on_duty": 1001002}

table = RoutingTable(
    routes=(
        # The owner of the failed task is looked up among the room's members, by name or Chatwork id.
        Route(name="sales", owner="sales", room_id=PARAMS["sales_room"], mentions=(PARAMS["on_duty"], "owner")),
        Route(name="trials", tag="trial", send=False),
    ),
    # Alerts below this severity call nobody at night and on days off; they are posted all the same.
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
