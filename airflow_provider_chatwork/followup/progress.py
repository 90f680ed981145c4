"""How far a process has come with a follow-up. What it does not know, the room does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_chatwork.client import Steps
    from airflow_provider_chatwork.followup.follow_up import Done, Facts, FollowUp


class Progress:
    """Spares a process to look for what it has said itself.

    :param follow_up: what is to be said.
    :param created_at: the Unix time at which the tasks were given.
    """

    def __init__(self, follow_up: FollowUp, created_at: float) -> None:
        self._follow_up = follow_up
        self._created_at = created_at
        self._through: float | None = None
        self._due_date: float | None = None

    def next_due(self, facts: Facts) -> float | None:
        """The Unix time, perhaps past, at which :meth:`steps` has something to do; ``None`` if it never will."""
        due_date = self._follow_up.due_date(facts)
        if due_date != self._due_date:
            # Another due date has moments of its own, some of which may be over.
            self._due_date, self._through = due_date, None
        return self._follow_up.next_due(facts, self._created_at if self._through is None else self._through)

    def steps(self, facts: Facts, now: float) -> Steps[list[Done]]:
        """Do what is due; see :meth:`FollowUp.steps`. Yields calls."""
        done = yield from self._follow_up.steps(facts, now, after=self._through)
        self._through = now
        return done
