"""When a wait may end: not before Airflow's scheduler knows of the end of the process that has begun it.

A task that goes on earlier looks to it as if that process had died, and fails.
"""

from __future__ import annotations

from collections.abc import Collection

from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.waits.observations import noted_ends, processes

#: Seconds after which the scheduler has overlooked an end, as it may where somebody else is at the task's row.
_OVERLOOKED = 15.0


class Parking:
    """The processes that have begun the waits of a DAG, or of several.

    :param dag_id: the DAG, with ``%`` for a part of their names.
    """

    def __init__(self, airflow: Airflow, watch: Watch, dag_id: str) -> None:
        self._airflow = airflow
        self._watch = watch
        self._dag_id = dag_id
        self._over: float | None = None

    def is_over(self, task_ids: Collection[str]) -> bool:
        """Whether the ends of those of these tasks are known, or long ago."""
        if noted_ends(self._airflow.log_of("scheduler"), self._dag_id) >= {*task_ids}:
            return True
        ended = processes(self._airflow, self._dag_id)
        if self._over is None and all(ended.get(task_id) for task_id in task_ids):
            self._over = self._watch.seconds
        return self._over is not None and self._watch.seconds - self._over > _OVERLOOKED
