from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_chatwork.waiting.reminders.progress import Progress

GIVEN = 1000.0


@dataclass
class Rules:
    """Notes what it is asked, and has something to do at fixed times."""

    moments: tuple[float, ...]
    due: float | None = 5000.0
    after: list[float | None] = field(default_factory=list)

    def due_date(self, facts: Any) -> float | None:
        return self.due

    def next_due(self, facts: Any, now: float) -> float | None:
        return min((moment for moment in self.moments if moment > now), default=None)

    def steps(self, facts: Any, now: float, *, after: float | None) -> Generator[Any, Any, list[str]]:
        self.after.append(after)
        yield from ()
        return ["done"]


def run(steps: Generator[Any, Any, Any]) -> Any:
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("it asked for something")


class TestProgress:
    facts: Any = None

    def test_begins_when_the_task_was_given(self):
        progress: Any = Progress(Rules((900.0, 2000.0)), GIVEN)  # type: ignore[arg-type]
        assert progress.next_due(self.facts) == 2000

    def test_does_not_look_for_what_it_has_said_itself(self):
        rules = Rules((2000.0, 3000.0))
        progress: Any = Progress(rules, GIVEN)  # type: ignore[arg-type]
        progress.next_due(self.facts)
        assert run(progress.steps(self.facts, 2001.0)) == ["done"]
        assert progress.next_due(self.facts) == 3000
        run(progress.steps(self.facts, 3001.0))
        assert rules.after == [None, 2001.0]

    def test_begins_anew_where_the_due_date_has_moved(self):
        rules = Rules((2000.0, 3000.0))
        progress: Any = Progress(rules, GIVEN)  # type: ignore[arg-type]
        progress.next_due(self.facts)
        run(progress.steps(self.facts, 2001.0))
        rules.due, rules.moments = 2500.0, (1500.0, 2000.0)
        assert progress.next_due(self.facts) == 1500
        run(progress.steps(self.facts, 2100.0))
        assert rules.after == [None, None]
