"""Post one message to each room of a list that is made at run time (dynamic task mapping)."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# Rooms of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"rooms": {"東日本": 400000101, "西日本": 400000102}}

with DAG("chatwork_post_to_each_room", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):

    @task
    def reports(params: dict[str, Any]) -> list[dict[str, Any]]:
        sales = {"東日本": 3_120_000, "西日本": 2_840_000}
        return [
            {"room_id": room_id, "body": f"{region}の売上は {sales[region]:,} 円でした。"}
            for region, room_id in params["rooms"].items()
        ]

    ChatworkPostMessageOperator.partial(task_id="post_message").expand_kwargs(reports())
