"""One message for all that fails together, whichever processes it fails in.

The callbacks of a storm run in many processes at once and share nothing but Airflow. So each of them

1. records its own failure with its own task instance, where no other process writes;
2. looks at the board: what is there already needs no second telling, and costs no call to Chatwork;
3. otherwise becomes the writer, or waits for the one there is;
4. as the writer, derives the whole text anew from the states of the run's tasks and what they recorded, posts it or
   edits what was posted, and puts it on the board;
5. looks again, and writes again where somebody else has written meanwhile, or where the text lacks anything.

That a single process writes at a time saves calls and is not relied on: the text is never changed but always made
anew of what is recorded, and whoever writes last has looked after everybody else has recorded. Of two first messages
the older stays. What was written is checked once more, so an update of the board that another one swallowed is made
again.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.alert_state import DETAILED, Board, Entry, Key, RunPart
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError

T = TypeVar("T")

# The states from which a task does not come back by itself, and those in which its callback may be running.
_FAILED = "failed"
_CALLING_BACK = frozenset({"running", "failed", "up_for_retry"})
# Those of a task that may call back any moment.
_COMING = frozenset({"running", "up_for_retry", "queued", "scheduled", "restarting", "deferred", "up_for_reschedule"})

# How long a writer keeps the others waiting, how long it takes until a claim has been seen by them, at least and at
# most, and how often the waiting ones look: in seconds.
_HOLD = 8.0
_SETTLE = 0.15
_LONGEST_SETTLE = 1.0
_LOOK = 0.25
# How often a writer writes again for what has come in meanwhile; then the others see to it.
_ROUNDS = 12


class LedgerError(Exception):
    """Airflow cannot be asked for, or does not keep, what is told."""


class _Recovered(Exception):
    """The board of a message that was to be brought up to date is gone: the DAG is well, and the message says so."""


class Ledger(Protocol):
    """What Airflow knows and keeps. Every method may raise :class:`LedgerError`."""

    @property
    def in_task(self) -> bool:
        """Whether this is the process that the task ran in, which knows best how it ended."""

    def states(self) -> Mapping[Key, str | None] | None:
        """The state of every task instance of the run; ``None`` where that cannot be asked from here."""

    def record(self, entry: dict[str, Any]) -> None:
        """Keep an entry with the task instance that this process runs, if it runs one."""

    def recorded(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The entries that task instances of these tasks have kept."""

    def load(self, name: str) -> dict[str, Any] | None:
        """Read what was saved under a name."""

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """Keep a value under a name; ``None`` takes it away."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What one callback has to say.

    :param part: the run, without what failed in it.
    :param entry: the task instance that failed, if one did.
    :param rings: whether people are called for it.
    """

    part: RunPart
    entry: Entry | None
    rings: bool

    @property
    def is_final(self) -> bool:
        """Whether something failed for good, which has to ring even where a retry has rung."""
        return bool(self.part.ended) or (self.entry is not None and not self.entry.retrying)

    def facts(self) -> set[tuple[str, str, Any]]:
        """What the message must say for this to be told."""
        if self.entry is None:
            return {(self.part.run_id, *fact) for fact in self.part.told()}
        return {(self.part.run_id, "retrying" if self.entry.retrying else "failed", self.entry.key)}


@dataclass(frozen=True)
class Told:
    """How the news was told: ``posted``, ``edited``, or by ``another`` process."""

    how: str
    board: Board


@dataclass(kw_only=True)
class Fold:
    """Tells news in one message.

    :param ledger: Airflow.
    :param name: where the board is kept.
    :param new_board: makes the board of a message that is not there yet.
    :param run: sends a call to Chatwork.
    :param compose: makes the text of a board.
    :param call_line: makes the line that calls people, for a message that rings.
    :param log: says what went wrong without being in the way.
    :param window: seconds after which a new message is begun; ``None`` for never.
    :param left: how many seconds are left for all of it.
    :param patience: seconds for which another writer is waited for.
    """

    ledger: Ledger
    name: str
    new_board: Callable[[], Board]
    run: Callable[[Call[Any]], Any]
    compose: Callable[[Board], str]
    call_line: Callable[[], str]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    left: Callable[[], float] = lambda: float("inf")
    window: float | None = None
    patience: float = 10.0

    def __post_init__(self) -> None:
        self._me = uuid.uuid4().hex[:12]
        self._settle = _SETTLE
        # What is kept back for Chatwork of the time there is, whatever Airflow takes.
        self._kept_back = self.left() / 3
        self._news: News | None = None

    def tell(self, news: News) -> Told:
        """Say it, unless it is said.

        :raises ChatworkError: where Chatwork does not take it.
        :raises LedgerError: where Airflow cannot be asked; nothing was sent then.
        """
        if news.entry is not None:
            self.ledger.record({**news.entry.to_json(), "board": self.name})
        self._news = news
        until = self.clock() + min(self.patience, self.left() / 2)
        while True:
            board = self._board()
            if board is not None and board.message_id and says(board, news):
                return Told("another", board)
            self._check_time()
            now = self.clock()
            if board is not None and board.held_by_another(self._me, now) and now < until:
                self._pause(_LOOK)
                continue
            states = self.ledger.states()
            if self._is_alone(board, news, states):
                return self._write_alone(board or self.new_board(), news, states)
            if self._claim(board) or self.clock() >= until:
                return self._write(news)

    def refresh(self, part: RunPart) -> Told | None:
        """Make the message anew of what failed in a run by now, if there is one of it that still stands.

        :return: ``None`` where there is none, or where the DAG recovers meanwhile.
        """
        board = self._board()
        if board is None or not board.message_id or part.run_id not in board.runs:
            return None
        news = News(part=part, entry=None, rings=False)
        self._claim(board)
        try:
            return self._write(news)
        except _Recovered:
            return None

    def _board(self) -> Board | None:
        kept = self.ledger.load(self.name)
        board = None if kept is None else read_board(kept)
        if board is not None and not board.room_id:
            raise LedgerError("what was kept names no room")
        if board is not None and self._news is not None and failed_before(board, self._news):
            return None
        if board is not None and self.window is not None and self.clock() - board.since > self.window:
            return None
        return board

    def _standing(self) -> Board | None:
        """The board; without news, there has to be one.

        :raises _Recovered: there is none any more.
        """
        board = self._board()
        if board is None and self._news is None:
            raise _Recovered
        return board

    def _is_alone(self, board: Board | None, news: News, states: Mapping[Key, str | None] | None) -> bool:
        """Whether nobody else can have anything to tell, so that nobody has to be asked or waited for.

        That saves what most failures are: the only one of their run.
        """
        if self.window is not None or states is None or not self.ledger.in_task:
            return False
        told = board.runs.get(news.part.run_id) if board is not None else None
        own = news.entry.key if news.entry else None
        return not any(
            state in _COMING or (state == _FAILED and (told is None or key not in told.failed))
            for key, state in states.items()
            if key != own
        )

    def _write_alone(self, board: Board, news: News, states: Mapping[Key, str | None] | None) -> Told:
        run_id = news.part.run_id
        part = self._gather(news, board.runs.get(run_id), states)
        self._check_time()
        seen = board
        board, was_posted = self._send(replace(board, runs={**board.runs, run_id: part}, writer=None), news)
        try:
            self._publish(board, seen, run_id, held=False)
        except LedgerError as error:
            self._not_kept(run_id, error)
        return Told("posted" if was_posted else "edited", board)

    def _claim(self, board: Board | None) -> bool:
        began = self.clock()
        self._save(self._held(board or self.new_board()))
        # Where Airflow takes its time, so do the others. What one run has told cannot be asked of another's tasks. But
        # one slow answer must not use up the time that the others wait.
        shortest = _SETTLE if self.window is None else 3 * _SETTLE
        self._settle = max(shortest, min(5 * (self.clock() - began), _LONGEST_SETTLE))
        self._pause(self._settle)
        self._check_time()
        seen = self._board()
        return seen is not None and seen.writer is not None and seen.writer[0] == self._me

    def _held(self, board: Board) -> Board:
        return replace(board, writer=[self._me, self.clock() + _HOLD])

    def _write(self, news: News) -> Told:
        run_id = news.part.run_id
        how = "edited"
        written: Board | None = None
        try:
            for _ in range(_ROUNDS):
                seen = self._standing() or self.new_board()
                if written is None:
                    self._check_time()
                else:
                    if not seen.message_id:
                        raise LedgerError("what was kept is not there any more")
                    seen = self._settle_on_one(seen, written)
                board = replace(
                    seen, runs={**seen.runs, run_id: self._gather(news, seen.runs.get(run_id), self.ledger.states())}
                )
                if (
                    written is not None
                    and seen.message_id == written.message_id
                    and seen.told() == written.told() == board.told()
                ):
                    break
                if written is None:
                    self._check_time()
                elif self.left() < self._kept_back:
                    break
                written, was_posted = self._send(board, news)
                how = "posted" if was_posted else how
                self._publish(written, seen, run_id)
                self._pause(self._settle)
            self._release()
        except (ChatworkError, LedgerError) as error:
            # Where it is Airflow that fails, the others need not be told to go on: their wait ends by itself.
            if isinstance(error, ChatworkError):
                with contextlib.suppress(LedgerError):
                    self._release()
            if written is None:
                raise
            self._not_kept(run_id, error)
        assert written is not None
        return Told(how, written)

    def _check_time(self) -> None:
        """See that Airflow has not used up the time that Chatwork needs."""
        if self.left() < self._kept_back:
            raise LedgerError("it takes too long to answer")

    def _not_kept(self, run_id: str, error: Exception) -> None:
        self.log(f"What failed in run {run_id} was told, but perhaps not all of it, or not for the last time: {error}")

    def _publish(self, written: Board, seen: Board, run_id: str, *, held: bool = True) -> None:
        latest = self._standing()
        if latest is not None and latest.message_id not in (None, seen.message_id, written.message_id):
            # Somebody else has posted since. The next round sees which message is left, and what it lacks.
            self._settle_on_one(latest, written)
        else:
            merged = written.merged(latest, run_id)
            # There may be another round.
            self._save(self._held(merged) if held else merged)

    def _settle_on_one(self, seen: Board, written: Board) -> Board:
        """Where two first messages were posted at once, keep the older and delete the other."""
        if not seen.message_id or not written.message_id or seen.message_id == written.message_id:
            return seen
        # One that only spoke of retries makes room for one that rings, however old it is.
        kept, other = sorted((seen, written), key=lambda board: (not board.rang, int(board.message_id or 0)))
        self._delete(other)
        seen = replace(seen, message_id=kept.message_id, rang=kept.rang)
        self._save(seen)
        return seen

    def _delete(self, board: Board) -> None:
        try:
            self.run(api.messages.delete_message(_room(board), str(board.message_id)))
        except ChatworkNotFoundError:
            # Another one was faster.
            pass
        except ChatworkError as error:
            # What it said is said elsewhere by now.
            self.log(f"Message {board.message_id} of Chatwork has become needless, but is still there: {error}")

    def _send(self, board: Board, news: News) -> tuple[Board, bool]:
        outdated = board if board.message_id and news.is_final and not board.rang else None
        if board.message_id and outdated is None:
            try:
                self.run(api.messages.edit_message(_room(board), board.message_id, self.compose(board)))
            except ChatworkNotFoundError:
                # Somebody has deleted it; what failed since must be told all the same.
                pass
            else:
                return board, False
        to = self.call_line() if news.rings else ""
        board = replace(board, rang=board.rang or news.is_final, to=to, note=self.new_board().note)
        posted = self.run(api.messages.post_message(_room(board), self.compose(board)))
        if outdated is not None:
            # An edit would not ring, so a message that only spoke of retries makes room for one that does.
            self._delete(outdated)
        return replace(board, message_id=posted["message_id"]), True

    def _gather(self, news: News, before: RunPart | None, states: Mapping[Key, str | None] | None) -> RunPart:
        before = before or RunPart(run_id=news.part.run_id)
        own = news.entry
        known = {entry.key: entry for entry in before.details}
        if own is not None:
            known[own.key] = own
        if states is None:
            # Where the run cannot be asked about, what was told and what is new must do.
            failed = list(before.failed)
            retrying = [key for key in before.retrying if own is None or key != own.key]
            if own is not None:
                _append(retrying if own.retrying else failed, own.key)
        else:
            failed, retrying, known = self._ask(states, known, before, own)
        details = [known[key] for key in (*failed, *retrying) if key in known][:DETAILED]
        news_part = news.part
        return RunPart(
            run_id=news_part.run_id,
            logical_date=news_part.logical_date or before.logical_date,
            url=news_part.url or before.url,
            failed=failed,
            retrying=retrying,
            details=details,
            ended=news_part.ended or before.ended,
            reason=news_part.reason or before.reason,
            seconds=news_part.seconds if news_part.ended else before.seconds,
            text=news_part.text or before.text,
        )

    def _ask(
        self, states: Mapping[Key, str | None], known: dict[Key, Entry], before: RunPart, own: Entry | None
    ) -> tuple[list[Key], list[Key], dict[Key, Entry]]:
        """Derive from the tasks' states, and from what those recorded whose states are behind, what has failed."""
        told = {*known, *before.failed, *before.retrying}
        own_key = own.key if own else None
        # A task that runs is in its callback, where its state is behind, or it is being tried again, in which case
        # its record is gone.
        running = {key for key, state in states.items() if state == "running" and key != own_key}
        wanted = running | {
            key for key, state in states.items() if state in _CALLING_BACK and key not in told and key != own_key
        }
        # One that was told as failed and will be tried again after all was cleared.
        wanted |= {key for key in before.failed if states.get(key) == "up_for_retry" and key != own_key}
        known = {key: entry for key, entry in known.items() if key not in running}
        for item in self.ledger.recorded({task_id for task_id, _ in wanted}) if wanted else ():
            entry = read_entry(item)
            if entry.key in wanted:
                # What an author wrote for one room is not to be read in another.
                known[entry.key] = entry if item.get("board") == self.name else replace(entry, text=None)
        failed: list[Key] = []
        retrying: list[Key] = []
        by_time = [entry.key for entry in sorted(known.values(), key=lambda entry: entry.at)]
        for key in dict.fromkeys((*before.failed, *before.retrying, *by_time, *states)):
            found, state = known.get(key), states.get(key)
            if own is not None and key == own_key:
                # Its state may be behind.
                (retrying if own.retrying else failed).append(key)
            elif state == _FAILED:
                failed.append(key)
            elif state in _CALLING_BACK and found is not None:
                (retrying if found.retrying else failed).append(key)
            elif state == "up_for_retry" and key in told:
                retrying.append(key)
        return failed, retrying, known

    def _release(self) -> None:
        board = self._board()
        if board is not None and board.writer is not None and board.writer[0] == self._me:
            self._save(replace(board, writer=None))

    def _save(self, board: Board) -> None:
        self.ledger.save(self.name, board.to_json())

    def _pause(self, seconds: float) -> None:
        # Apart from each other, so that those who wait do not all look, and write, at the same time.
        self.sleep(seconds * (1 + random.random()))


def read_board(kept: Mapping[str, Any]) -> Board:
    """A board as it was kept.

    :raises LedgerError: where somebody has made something else of it.
    """
    try:
        board = Board.from_json(kept)
        board.held_by_another("", 0.0)
        board.told()
    except Exception as error:
        raise LedgerError(f"what was kept cannot be read: {error!r}") from error
    return board


def read_entry(kept: Mapping[str, Any]) -> Entry:
    """An entry as it was recorded.

    :raises LedgerError: where somebody has made something else of it.
    """
    try:
        return Entry.from_json(kept)
    except Exception as error:
        raise LedgerError(f"what was recorded cannot be read: {error!r}") from error


def failed_before(board: Board, news: News) -> bool:
    """Whether a message tells of an earlier failure for good of what has failed again: that is a new event."""
    entry, part = news.entry, board.runs.get(news.part.run_id)
    if entry is None or entry.retrying or part is None:
        return False
    return any(
        told.key == entry.key and not told.retrying and (told.try_number or 0) < (entry.try_number or 0)
        for told in part.details
    )


def says(board: Board, news: News) -> bool:
    """Whether a message tells of the news already, and has called whom it should."""
    entry, part = news.entry, board.runs.get(news.part.run_id)
    if part is not None and entry is not None:
        tries = [told.try_number for told in part.details if told.key == entry.key]
        if tries and entry.try_number not in tries:
            # What it says is of an earlier one.
            return False
    return board.told() >= news.facts() and (board.rang or not news.is_final)


def _append(keys: list[Key], key: Key) -> None:
    if key not in keys:
        keys.append(key)


def _room(board: Board) -> str:
    assert board.room_id is not None
    return board.room_id
