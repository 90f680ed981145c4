"""Rooms, accounts, and the waits that the DAG files read from a plan."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow_provider_chatwork.sandbox.company import SATO, SUZUKI, TAKAHASHI, YAMADA

#: The environment variable with the file of the plan.
PLAN = "REHEARSAL_WAITS_PLAN"

#: Two ways to wait: begun and ended in workers, or in the triggerer. Each has an account, and many DAGs.
BY_WORKER = "waits_by_worker"
BY_TRIGGERER = "waits_by_triggerer"
WAYS = (BY_TRIGGERER, BY_WORKER)
#: How many rooms the tasks of each are spread over.
ROOMS = 10
#: How many waits a DAG has. For each wait that begins in the triggerer, Airflow sends it the whole DAG, so that a DAG
#: of 500 of them takes it minutes to begin, in which its event loop stands still for seconds.
WAITS_OF_A_DAG = 25

#: DAGs in which everything is waited for that can be, and those with what nobody does in time.
ONE_TRIGGERER = "one_triggerer"
TWO_TRIGGERERS = "two_triggerers"
SCENARIOS = (ONE_TRIGGERER, TWO_TRIGGERERS)
#: What has to be withdrawn when a user ends the wait for it.
GIVEN_UP = "given_up"
ENDINGS = ("marked_failed", "marked_success", "cleared")
#: The same for waits in workers.
KILLED_WORKERS = "killed_workers"
WORKER_ENDINGS = ("sigterm", "marked_failed")

#: The connection of the scenarios.
CONNECTION = "chatwork_default"

#: Seconds between two looks. A wait that is over within a second or two of its beginning is taken for a task that was
#: killed from outside, by Airflow's scheduler.
MANY_EVERY = 15.0
EVERY = 6.0
#: Seconds between two reminders: more than it takes until somebody goes on where a triggerer has died, so that what was
#: sent last is due for him, too. And those that people have for what they do not do, which is more than all that takes.
REMINDER_EVERY = 40
TOO_SHORT = 90
#: How many there are of each kind of wait in a scenario.
SENSORS = 24
GIVEN = 8
SAID = 4
#: How many processes of workers each takes, by what its task is called. Who is asked by several may answer between.
PROCESSES = {
    "in_workers": {2},
    "from_trigger": {1},
    "in_triggerer": {0},
    "give": {2},
    "hear": {1, 2},
    "ask": {2, 3, 4},
}
PEOPLE = (YAMADA, SATO, SUZUKI, TAKAHASHI)
ASSIGNEE = TAKAHASHI
APPROVERS = (YAMADA, SATO)


def dags_of(way: str, count: int) -> dict[str, slice]:
    """The DAGs of so many waits, each with its share of them."""
    starts = range(0, count, WAITS_OF_A_DAG)
    return {f"{way}_{start // WAITS_OF_A_DAG}": slice(start, start + WAITS_OF_A_DAG) for start in starts}


def processes_of(task_id: str) -> set[int]:
    """How many processes of workers a wait of a scenario may take."""
    return PROCESSES[task_id.rpartition("_")[0]]


def late(scenario: str) -> str:
    """The DAG with what nobody does in time."""
    return f"{scenario}_late"


def rooms_of(way: str) -> list[int]:
    """The rooms of a way to wait."""
    first = 420_000_001 + WAYS.index(way) * 100
    return [*range(first, first + ROOMS)]


def room(scenario: str, purpose: str) -> int:
    """A room of a scenario, by its purpose; what is given up or killed has one for ``tasks``."""
    purposes = ("tasks", "given_0", "given_1", "talk", "late")
    return 430_000_001 + (*SCENARIOS, GIVEN_UP, KILLED_WORKERS).index(scenario) * 100 + purposes.index(purpose)


def all_rooms() -> list[int]:
    """All rooms."""
    scenarios = [
        room(scenario, name) for scenario in SCENARIOS for name in ("tasks", "given_0", "given_1", "talk", "late")
    ]
    ended = [room(dag_id, "tasks") for dag_id in (GIVEN_UP, KILLED_WORKERS)]
    return [*(each for way in WAYS for each in rooms_of(way)), *scenarios, *ended]


def plan() -> dict[str, list[list[int]]]:
    """The Chatwork tasks that are waited for, pairs of room and task, by way or DAG. For the DAG files."""
    found: dict[str, Any] = json.loads(Path(os.environ[PLAN]).read_text("utf-8"))
    return found
