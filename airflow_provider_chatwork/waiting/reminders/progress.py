"""How far a process has come with a follow-up. What it does not know, the room does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.outbox.delivery import OutboxMessage
    from airflow_provider_chatwork.waiting.reminders.plan import Facts, FollowUp


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
        # What of the letters that are due now is through, while others wait.
        self._said: set[tuple[str, float]] = set()

    def next_due(self, facts: Facts) -> float | None:
        """The Unix time, perhaps past, at which :meth:`steps` has something to do; ``None`` if it never will."""
        due_date = self._follow_up.due_date(facts)
        if due_date != self._due_date:
            # Another due date has moments of its own, some of which may be over.
            self._due_date, self._through = due_date, None
            self._said.clear()
        return self._follow_up.next_due(facts, self._created_at if self._through is None else self._through)

    def letters(self, facts: Facts, now: float) -> list[OutboxMessage]:
        """What is due and was not said yet. Whoever says it tells :meth:`said`, and in the end :meth:`through`."""
        letters = self._follow_up.letters(facts, now, after=self._through)
        return [letter for letter in letters if letter.key not in self._said]

    def said(self, letter: OutboxMessage) -> None:
        """Note that one of the letters is through, whatever came of it."""
        self._said.add(letter.key)

    def through(self, now: float) -> None:
        """Note that all of them are."""
        self._through = now
        self._said.clear()
