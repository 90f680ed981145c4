"""What has been told of a DAG run (or of a DAG), as it is kept between the processes that tell it.

A board is plain JSON in an Airflow Variable, as that is the one place which workers and the DAG processor of every
Airflow version can both read and write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.api.notation import fit

#: How many failures are told with their error; of the others only the names are.
DETAILED = 5
#: How many characters are kept of an error, or of what the author has written.
LONGEST_TEXT = 2000

Key = tuple[str, int]


class _Plain:
    """Plain JSON and back. Keys of a later release are passed over."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` has made."""
        names = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: item for name, item in value.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is empty."""
        found = asdict(self)  # type: ignore[call-overload]
        # An index of 0 is something.
        return {name: value for name, value in found.items() if value not in (None, [], {}, "") and value is not False}


@dataclass(kw_only=True)
class Entry(_Plain):
    """One task instance that failed.

    :param at: when it failed, in Unix seconds.
    :param retrying: whether Airflow will try it again.
    :param killed: whether nobody knows of an error, as the task was not there any more to tell it.
    """

    task_id: str
    map_index: int = -1
    label: str | None = None
    error: str | None = None
    killed: bool = False
    where: str | None = None
    try_number: int | None = None
    tries: int | None = None
    seconds: float | None = None
    owners: list[str] = field(default_factory=list)
    log_url: str | None = None
    at: float = 0.0
    retrying: bool = False
    text: str | None = None

    @property
    def key(self) -> Key:
        """Which task instance of its run it is."""
        return self.task_id, self.map_index

    @property
    def name(self) -> str:
        """What people know it as."""
        return self.label or name_of(self.key)

    @classmethod
    def of(cls, story: Story, at: float, text: str | None = None) -> Self | None:
        """The entry of a task's failure; ``None`` where no task is to blame.

        :param at: when it failed, in Unix seconds.
        :param text: what the author has written of it.
        """
        if story.key is None or story.task_id is None:
            return None
        return cls(
            task_id=story.task_id,
            map_index=story.map_index,
            label=story.label,
            error=story.error,
            killed=story.killed,
            where=story.where,
            try_number=story.try_number,
            tries=story.tries,
            seconds=None if story.seconds is None else round(story.seconds, 1),
            owners=list(story.owners),
            log_url=story.log_url,
            at=at,
            retrying=story.kind is Kind.RETRY,
            text=text,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with no more of its texts than a database keeps five of: 64 KB, in MySQL, and encrypted."""
        found = super().to_json()
        for name in ("error", "text"):
            if name in found:
                found[name] = fit(found[name], LONGEST_TEXT)
        return found


@dataclass(kw_only=True)
class RunPart(_Plain):
    """What failed in one run.

    :param failed: the task instances that failed for good, in the order in which that became known.
    :param retrying: those that Airflow will try again.
    :param details: the first of them.
    :param ended: ``failed`` once the run itself has.
    :param text: what the author has written of that.
    :param seconds: how long the run took.
    """

    run_id: str
    logical_date: str | None = None
    url: str | None = None
    failed: list[Key] = field(default_factory=list)
    retrying: list[Key] = field(default_factory=list)
    details: list[Entry] = field(default_factory=list)
    ended: str | None = None
    reason: str | None = None
    seconds: float | None = None
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with its entries."""
        text = None if self.text is None else fit(self.text, LONGEST_TEXT)
        found = {**super().to_json(), "details": [entry.to_json() for entry in self.details], "text": text}
        return {name: value for name, value in found.items() if value}

    def __post_init__(self) -> None:
        # JSON has neither tuples nor entries.
        self.failed = [(str(task_id), int(index)) for task_id, index in self.failed]
        self.retrying = [(str(task_id), int(index)) for task_id, index in self.retrying]
        self.details = [Entry.from_json(item) if isinstance(item, Mapping) else item for item in self.details]

    def told(self) -> set[tuple[str, Any]]:
        """What a text made of this part says."""
        facts: set[tuple[str, Any]] = {("failed", key) for key in self.failed}
        facts |= {("retrying", key) for key in self.retrying}
        return facts | ({("ended", self.ended)} if self.ended else set())


@dataclass(kw_only=True)
class Board(_Plain):
    """One message and all that is in it.

    :param since: when the first failure was told, in Unix seconds.
    :param to: whom the message calls, in notation.
    :param rang: whether it told of a failure for good when it was posted; an edit does not ring.
    :param note: a line below all, already in the reader's language.
    :param writer: who is about to write, and until when others wait for it: ``[name, Unix seconds]``.
    """

    since: float = 0.0
    room_id: str | None = None
    message_id: str | None = None
    chatwork_conn_id: str | None = None
    lang: str | None = None
    to: str = ""
    rang: bool = False
    note: str | None = None
    writer: list[Any] | None = None
    runs: dict[str, RunPart] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = {
            run_id: RunPart.from_json(part) if isinstance(part, Mapping) else part for run_id, part in self.runs.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with its runs."""
        return {**super().to_json(), "runs": {run_id: part.to_json() for run_id, part in self.runs.items()}}

    def told(self) -> set[tuple[str, str, Any]]:
        """What its message says, all runs together."""
        return {(run_id, *fact) for run_id, part in self.runs.items() for fact in part.told()}

    def held_by_another(self, writer: str, now: float) -> bool:
        """Whether somebody else is about to write."""
        return bool(self.writer) and self.writer[0] != writer and now < float(self.writer[1])  # type: ignore[index]

    def merged(self, other: Board | None, run_id: str) -> Board:
        """The board, with what another writer has put on it since: its runs, of all but one."""
        if other is None:
            return self
        return replace(self, runs={**other.runs, **{run_id: self.runs[run_id]}})


def name_of(key: Key) -> str:
    """What a task instance is called without its own label."""
    task_id, index = key
    return task_id if index < 0 else f"{task_id} [{index}]"
