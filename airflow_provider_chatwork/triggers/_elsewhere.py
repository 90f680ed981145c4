"""Whether a wait that Airflow takes from a triggerer goes on in another one.

Airflow 3.3 calls ``on_kill`` of a trigger that is not to run here any more, whoever wanted that: a user who has ended
the task, or another triggerer that has taken this one for dead, as after a pause of its machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def goes_on_elsewhere(instance: Any, key: str, is_same: Callable[[Any], bool]) -> bool:
    """Ask Airflow whether a task is still waiting for what a trigger was waiting for.

    :param instance: the trigger's task instance; ``None`` where there is none, which then waits nowhere.
    :param key: the XCom under which the task has left what it waits for.
    :param is_same: whether what is found there is what the trigger was waiting for, and not what the task waits for
        after it was cleared.
    :raises Exception: Airflow did not answer.
    """
    if instance is None:
        return False
    return await asyncio.to_thread(_goes_on, instance, key, is_same)


def _goes_on(instance: Any, key: str, is_same: Callable[[Any], bool]) -> bool:
    # Airflow 3.3, which has what calls this.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    dag_id, run_id, task_id, map_index = instance.dag_id, instance.run_id, instance.task_id, instance.map_index
    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
    name = task_id if map_index < 0 else f"{task_id}_{map_index}"
    if states.get(run_id, {}).get(name) != "deferred":
        return False
    left = XCom.get_one(key=key, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    return left is None or is_same(left)
