"""Every kind of wait, and a triggerer that is killed while reminders are being sent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.cluster import Sandbox
from tests.system_tests.waits.deferral_race import Parking
from tests.system_tests.waits.fixtures import APPROVERS, GIVEN, SAID, YAMADA, late, processes_of, room
from tests.system_tests.waits.observations import ENDED, Instance, instances, processes, reminders

#: How late Chatwork answers to whoever posts when the triggerer dies, in seconds.
_SLOW = 5.0
#: For how long those that nobody does in time wait at least, before it dies.
_WAITED = 15.0
#: Seconds after which what has not happened will not.
_SETTLED = 60.0
#: In how many seconds Airflow's scheduler knows of the end of a process.
_NOTED = 8.0


class Scenario:
    """One play, act by act.

    :param name: the DAG, and the one of it that ends late.
    :param tasks: pairs of room and task, which the sensors wait for.
    """

    def __init__(
        self, airflow: Airflow, sandbox: Sandbox, watch: Watch, name: str, tasks: Sequence[Sequence[int]]
    ) -> None:
        self.airflow = airflow
        self.sandbox = sandbox
        self.name = name
        #: When the triggerer died, in Unix time, and how many reminders were on their way then.
        self.killed_at = 0.0
        self.under_way = 0
        #: How many waits were taken from a triggerer that lived.
        self.taken_away = 0
        #: The reminders that were there then.
        self.before: Counter[tuple[str, int]] = Counter()
        self._watch = watch
        self._tasks = list(tasks)

    @property
    def dag_ids(self) -> list[str]:
        """The DAGs of it."""
        return [self.name, late(self.name)]

    @property
    def instances(self) -> dict[str, Instance]:
        """The task instances, those of the second DAG with a ``late.`` in front."""
        return instances(self.airflow, self.name) | {
            f"late.{name}": instance for name, instance in instances(self.airflow, late(self.name)).items()
        }

    def processes(self) -> dict[str, int]:
        """How many processes of workers each wait of the first DAG has taken and ended."""
        return processes(self.airflow, self.name)

    def messages(self, *purposes: str) -> list[dict[str, Any]]:
        """What has been posted in rooms, also what was deleted, without what Chatwork writes itself."""
        rooms = {room(self.name, purpose) for purpose in purposes}
        found: list[dict[str, Any]] = []
        for each in self.sandbox.read("state")["rooms"]:
            if each["room_id"] in rooms:
                found += (message for message in each["messages"] if not message["system"])
        return found

    def reminded(self) -> Counter[tuple[str, int]]:
        """How often each reminder was posted."""
        return reminders(self.messages("given_0", "given_1"))

    def begin(self) -> None:
        """Let everything wait that ends well."""
        self._begin(self.name)

    def begin_late(self) -> None:
        """Let wait what nobody does in time, for a while."""
        self._begin(late(self.name))
        self._watch.pause(_WAITED, "the time that nobody is in")

    def _begin(self, dag_id: str) -> None:
        self.airflow.trigger([dag_id])
        parking = Parking(self.airflow, self._watch, dag_id)
        self._until(f"{dag_id}: all of it waits", lambda: self._parked(dag_id, parking))

    def freeze(self, triggerer: str, job: int) -> None:
        """Let a triggerer stand still until another one goes on with its waits, and then find that out.

        :param job: its number in Airflow's database.
        """
        query = "SELECT COUNT(*) FROM trigger WHERE triggerer_id = ?"
        self.airflow.freeze(triggerer)
        self._watch.report(f"{self.name}: the {triggerer} is frozen")
        self._until("another one has taken over", lambda: self.airflow.query(query, (job,)) == [(0,)])
        self.airflow.thaw(triggerer)
        thawed = self._watch.seconds

        def noticed() -> bool:
            # Airflow takes its waits away from it as if a user had ended them.
            logs = (self.airflow.home / "logs" / f"dag_id={self.name}").rglob(f"*.trigger.{job}.log")
            self.taken_away = sum("cancelled by user action" in log.read_text("utf-8", "replace") for log in logs)
            return self.taken_away >= GIVEN or self._watch.seconds - thawed > _SETTLED

        self._until("it has noticed that", noticed)

    def kill(self, triggerer: str) -> None:
        """Kill a triggerer while a reminder is in the room and the answer to it is on its way."""
        rooms = "|".join(str(room(self.name, f"given_{number}")) for number in range(2))
        path = rf"/rooms/({rooms})/messages"
        self.sandbox.order("add_fault", kind="delay", operation="post_message", path=path, seconds=_SLOW, times=None)
        before = self.reminded()
        self._watch.until(lambda: self.reminded() != before, lambda: "the next reminder")
        self.killed_at = time.time()
        self.airflow.kill(triggerer)
        self.before = self.reminded()
        self.under_way = self.before.total() - before.total()
        self.sandbox.order("clear_faults")
        self._watch.report(f"{self.name}: killed the {triggerer} with {self.under_way} reminders unanswered")

    def go_on(self) -> None:
        """Let people do the first part, while nobody looks, or somebody else."""
        self._do(0)

    def end(self) -> None:
        """Wait until everybody is reminded again, and let people do the rest."""

        def reminded_again() -> bool:
            self.airflow.check_alive()
            if any(name.startswith("give") and each.state in ENDED for name, each in self.instances.items()):
                # No reminder is sent for it any more, and the check fails.
                return True
            return len({place for place, _ in self.reminded() - self.before}) == GIVEN

        self._until("everybody is reminded again", reminded_again)
        # The first answer has started a process, which has parked the task anew.
        self._until("the one answer is noted", lambda: self.processes()["ask_all"] > 1)
        self._watch.pause(_NOTED, "the scheduler")
        self._do(1)
        self._until("all has ended", lambda: all(each.state in ENDED for each in self.instances.values()))
        over = self._watch.seconds

        def settled() -> bool:
            all_ended = all(count in processes_of(task_id) for task_id, count in self.processes().items())
            return all_ended or self._watch.seconds - over > _SETTLED

        # A process ends a while after its task has.
        self._until("its processes, too", settled)

    def _do(self, part: int) -> None:
        """Do one half of what is waited for."""
        talk = room(self.name, "talk")
        for room_id, task_id in self._tasks[part::2]:
            self.sandbox.complete_task(room_id, task_id)
        for number in range(part * SAID // 2, (part + 1) * SAID // 2):
            self.sandbox.order("post_message", room_id=talk, account_id=YAMADA, body=f"入荷 {number} 番です")
        questions = [message for message in self.messages("talk") if "在庫の差異" in message["body"]]
        for question in questions:
            if "(any)" not in question["body"] or part:
                self.sandbox.order(
                    "reply",
                    room_id=talk,
                    account_id=APPROVERS[part],
                    message_id=str(question["message_id"]),
                    body="承認",
                )
        if part:
            for each in self.sandbox.read("state")["rooms"]:
                if each["room_id"] in (room(self.name, "given_0"), room(self.name, "given_1")):
                    for task in each["tasks"]:
                        self.sandbox.complete_task(each["room_id"], task["task_id"])

    def _parked(self, dag_id: str, parking: Parking) -> bool:
        self.airflow.check_alive()
        found = instances(self.airflow, dag_id)
        if failed := [name for name, each in found.items() if each.state in ENDED]:
            raise AssertionError(f"{dag_id}: {failed} ended before anybody did anything")
        began = [name for name in found if not name.startswith(("from_trigger", "in_triggerer", "sensor"))]
        return bool(found) and all(each.state == "deferred" for each in found.values()) and parking.is_over(began)

    def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        def progress() -> str:
            states = Counter(str(each.state) for each in self.instances.values())
            return ", ".join(f"{number} {state}" for state, number in states.most_common())

        self._watch.until(is_so, progress)
        self._watch.report(f"{self.name}: {what}")
