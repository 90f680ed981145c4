"""What becomes of an alert when its DAG succeeds again.

Which messages of a DAG are open stands in one Variable of the DAG, so that a success costs no call to Chatwork and one
look into Airflow where nothing is open. Which is open does not depend on the order of the runs: those of asset-driven
DAGs have no logical date.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.aggregation import Ledger, read_board
from airflow_provider_chatwork.alerts.airflow_store import variable_name
from airflow_provider_chatwork.alerts.alert_state import Board
from airflow_provider_chatwork.alerts.event import Story
from airflow_provider_chatwork.alerts.formatter import Writer
from airflow_provider_chatwork.alerts.time_limited_client import Line
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkForbiddenError, ChatworkNotFoundError

# How many open messages of one DAG are remembered, and how many of them are marked when it succeeds again.
_KEPT = 20
_MARKED = 5
_TRIES = 3
# What Chatwork says where there is no longer anything to be said, or anybody to say it to.
_GONE = (ChatworkNotFoundError, ChatworkForbiddenError)


def board_name(dag_id: str, run_id: str, room_id: int) -> str:
    """The name that a board is kept under: of a run's message in a room; of the DAG's for an empty run id."""
    return variable_name(dag_id, *([run_id] if run_id else []), room_id)


def keep(ledger: Ledger, dag_id: str, name: str, now: float) -> None:
    """Remember that the message of a board is open.

    :param now: in Unix seconds.
    :raises LedgerError: where Airflow does not keep it.
    """
    index = variable_name(dag_id)
    for _ in range(_TRIES):
        # Another run may write at the same time and swallow this, so what was written is looked at again.
        boards = _open(ledger, index)
        if name in boards:
            return
        boards[name] = now
        for forgotten in sorted(boards, key=boards.__getitem__)[:-_KEPT]:
            del boards[forgotten]
            ledger.save(forgotten, None)
        ledger.save(index, {"boards": boards})


def boards_of(ledger: Ledger, dag_id: str) -> list[tuple[str, Board]]:
    """The boards of a DAG whose messages are open, oldest first, with the names they are kept under.

    :raises LedgerError: where Airflow cannot be asked.
    """
    boards = _open(ledger, variable_name(dag_id))
    found = ((name, ledger.load(name)) for name in sorted(boards, key=boards.__getitem__))
    return [(name, read_board(kept)) for name, kept in found if kept is not None]


def _open(ledger: Ledger, index: str) -> dict[str, float]:
    return dict((ledger.load(index) or {}).get("boards") or {})


def tell(
    ledger: Ledger,
    story: Story,
    means: Callable[[Board], tuple[Line, Writer]],
    *,
    run_url: str | None,
    now: datetime,
    log: Callable[..., Any],
) -> None:
    """Say that a DAG has recovered: mark its open alerts, and answer the latest of every room.

    :param story: the run that succeeded.
    :param means: the line and the writer for a board.
    :raises ChatworkError: where it could not be said; the alerts stay open then.
    """
    assert story.dag_id is not None
    assert story.run_id is not None
    index = variable_name(story.dag_id)
    kept = boards_of(ledger, story.dag_id)
    over = [(name, board) for name, board in kept if board.message_id and _is_over(board, story, ledger)]
    if not over:
        return
    # Taken off first: of two runs that succeed at the same time only one is to say so.
    left = {name: board.since for name, board in kept if (name, board) not in over}
    ledger.save(index, {"boards": left} if left else None)
    try:
        _mark_and_answer([_settled(board, str(story.run_id)) for _, board in over], story, means, run_url, now)
    except ChatworkError:
        ledger.save(index, {"boards": {name: board.since for name, board in kept}})
        raise
    for name, _ in over:
        ledger.save(name, None)
    log("%s has recovered: %s messages of Chatwork say so", story.dag_id, min(len(over), _MARKED))


def _mark_and_answer(
    boards: list[Board],
    story: Story,
    means: Callable[[Board], tuple[Line, Writer]],
    run_url: str | None,
    now: datetime,
) -> None:
    for board in boards[-_MARKED:]:
        line, writer = means(board)
        after = now.timestamp() - board.since
        head = writer.recovered_line(now, after)
        body = api.notation.fit(f"{head}\n{writer.board(board, str(story.dag_id))}")
        try:
            line.run(api.messages.edit_message(str(board.room_id), str(board.message_id), body))
        except _GONE:
            # Somebody has deleted it, or left the room with it, and knows.
            continue
    rooms: dict[tuple[str | None, str | None], list[Board]] = {}
    # What never came to more than retries gets no answer.
    for board in boards:
        if board.rang:
            rooms.setdefault((board.chatwork_conn_id, board.room_id), []).append(board)
    for rang in rooms.values():
        _answer(rang, story, means, run_url, now)


def _answer(
    rang: list[Board],
    story: Story,
    means: Callable[[Board], tuple[Line, Writer]],
    run_url: str | None,
    now: datetime,
) -> None:
    """Answer the latest message of a room; all of them are in the same one."""
    latest = rang[-1]
    line, writer = means(latest)
    me = line.run(api.account.get_me())
    answer = writer.recovered(
        str(story.dag_id), str(story.run_id), now, now.timestamp() - rang[0].since, len(rang), run_url
    )
    link = api.notation.reply(me["account_id"], str(latest.room_id), str(latest.message_id))
    with suppress(*_GONE):
        line.run(api.messages.post_message(str(latest.room_id), f"{link}\n{answer}"))


def _settled(board: Board, run_id: str) -> Board:
    """The board of a run that has succeeded, in which nothing is tried again any more.

    The success of the task says so too, but may come later than that of the run, and then finds nothing.
    """
    part = board.runs.get(run_id)
    if part is None or not part.retrying:
        return board
    part = replace(part, retrying=[], details=[entry for entry in part.details if not entry.retrying])
    return replace(board, runs={**board.runs, run_id: part})


def _is_over(board: Board, story: Story, ledger: Ledger) -> bool:
    if story.run_id in board.runs:
        # A run may succeed although tasks in it have failed, where its last tasks do not mind.
        states: Any = ledger.states()
        return states is None or "failed" not in states.values()
    # A run that was on its way already when another one failed says nothing of what failed there.
    return story.run_started is None or story.run_started.timestamp() >= board.since
