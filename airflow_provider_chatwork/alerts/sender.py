"""One alert, from what happened to the message in the room."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts import recovery
from airflow_provider_chatwork.alerts.aggregation import Fold, Ledger, LedgerError, News, Told, read_board, says
from airflow_provider_chatwork.alerts.alert_state import Board, Entry, RunPart
from airflow_provider_chatwork.alerts.destination import Plan, Switch, plan
from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.alerts.formatter import Writer
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.alerts.time_limited_client import Budget, Line
from airflow_provider_chatwork.alerts.wishes import Wishes
from airflow_provider_chatwork.api.call import CallFlow, Upload
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.notation import safe

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.settings import Settings

# What nobody is called for.
_GOOD = (Kind.SUCCESS, Kind.RUN_SUCCESS, Kind.SKIPPED, Kind.STARTED)
# States of a task instance that is not going to stay failed.
_NOT_OVER = frozenset({"up_for_retry", "queued", "scheduled", "restarting", "deferred"})


@dataclass(kw_only=True)
class Delivery:
    """Tells one story.

    :param wishes: what the author wants.
    :param story: what happened, with nothing secret in it.
    :param table: the routing table, and ``route`` the rule of it that applies.
    :param settings: of the connection that the route names.
    :param log: a logger.
    :param connect: reads another connection, for alerts that went through that one.
    :param switch: what this Airflow allows.
    :param run_url: where the run can be seen.
    :param sleep: waits for a number of seconds.
    """

    wishes: Wishes
    story: Story
    table: RoutingTable | None
    route: Route
    settings: Settings
    connect: Callable[[str], Settings]
    switch: Switch
    run_url: str | None
    log: Any
    budget: Budget
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def rings(self) -> bool:
        """Whether people are called: for what does not end well, and for what will be retried with ``when="every"``."""
        if self.story.kind is Kind.RETRY:
            return self.wishes.when == "every"
        return self.story.kind not in _GOOD

    @cached_property
    def plan(self) -> Plan:
        """Where it goes."""
        now = datetime.fromtimestamp(self.clock(), UTC)
        return plan(
            self.wishes, self.story, self.route, self.table, self.settings, self.switch, rings=self.rings, now=now
        )

    @cached_property
    def line(self) -> Line:
        """The line to Chatwork."""
        return Line(self.settings, self.budget)

    @property
    def chatwork_conn_id(self) -> str:
        """The connection that it goes through."""
        return self.route.chatwork_conn_id or self.wishes.chatwork_conn_id

    @property
    def is_silent(self) -> bool:
        """Whether it is good news that nobody has asked for, except where it ends an alert."""
        return self.story.kind in (Kind.SUCCESS, Kind.RUN_SUCCESS) and self.wishes.text is None

    def tell(self, ledger: Ledger | None) -> str | None:
        """Say it, each failure once, and return the id of the message; ``None`` where there is nothing to say.

        :param ledger: what Airflow knows and keeps; ``None`` where it cannot be asked.
        :raises ChatworkError: where it could not be posted.
        """
        if ledger is not None and not self._is_true(ledger):
            return None
        if ledger is not None and self.story.kind in (Kind.SUCCESS, Kind.RUN_SUCCESS):
            self._all_is_well(ledger)
        if self.is_silent or not self.route.send:
            return None
        if ledger is not None and self.story.is_failure and self.story.run_id and self.story.dag_id:
            try:
                return self._tell_together(ledger)
            except LedgerError as error:
                self.log.warning("This alert gets a message of its own, as Airflow could not be asked: %s", error)
        message_id: str = self.line.run_flow(self.steps())
        self._attach(self.plan.room_id)
        return message_id

    def steps(self) -> CallFlow[str]:
        """The calls that post it in a message of its own."""
        plan = self.plan
        text = self.wishes.text
        if text is None:
            text = plan.writer.story(self.story, self.run_url)
        to = yield from plan.call_line()
        body = api.notation.fit("\n".join(part for part in (to, text, safe(plan.note or "")) if part))
        posted = yield api.messages.post_message(plan.room_id, body)
        self.log.info("Posted to room %s of Chatwork as message %s", plan.room_id, posted["message_id"])
        return str(posted["message_id"])

    def _is_true(self, ledger: Ledger) -> bool:
        """Whether it happened, as far as can be known here.

        Outside of the task's own process a failure is reported by those who lost sight of it: they may be late, say
        it again, or not have counted the retries.
        """
        story = self.story
        if not story.is_failure or story.witnessed or ledger.in_task:
            return True
        if story.kind is not Kind.RUN_FAILURE:
            story = self.story = replace(story, killed=story.error is None)
        try:
            states = ledger.states()
        except LedgerError as error:
            self.log.warning("Whether the failure still stands could not be checked: %s", error)
            return True
        if story.kind is Kind.RUN_FAILURE:
            if story.reason == "task_failure" and states and {*states.values()} <= {"success", "skipped"}:
                self.log.info("%s was reported as failed, but all its tasks have succeeded", story.run_id)
                return False
            return True
        state = None if states is None or story.key is None else states.get(story.key)
        if state == "success":
            self.log.info("%s was reported as failed, but has succeeded meanwhile", story.label)
            return False
        tries_left = (story.try_number or 0) < (story.tries or 0)
        if story.kind is Kind.FAILURE and (state in _NOT_OVER or (state != "failed" and tries_left)):
            self.log.info("%s was reported as failed, but Airflow will try it again", story.label)
            self.story = replace(story, kind=Kind.RETRY)
        return True

    def _tell_together(self, ledger: Ledger) -> str | None:
        plan, story = self.plan, self.story
        name = self._name(plan)
        entry = Entry.of(story, self.clock(), self.wishes.text)
        news = News(part=self._part(ended=story.kind is Kind.RUN_FAILURE), entry=entry, rings=self.rings)
        if self.wishes.fold == "none":
            told = self._tell_alone(ledger, name, news)
        else:
            told = self._fold(ledger, name, self.line, plan.writer).tell(news)
        if told.how == "another":
            self.log.info("Message %s of Chatwork tells of this already", told.board.message_id)
            return told.board.message_id
        self.log.info("Message %s in room %s of Chatwork was %s", told.board.message_id, plan.room_id, told.how)
        if told.how == "posted":
            self._keep(ledger, name)
        if story.kind is Kind.RETRY:
            self._look_again(ledger, name)
        if entry is not None and any(shown.key == entry.key for shown in told.board.runs[str(story.run_id)].details):
            self._attach(plan.room_id)
        return told.board.message_id

    def _tell_alone(self, ledger: Ledger, name: str, news: News) -> Told:
        """Give a failure a message of its own, unless Airflow calls for it twice."""
        kept = ledger.load(name)
        before = None if kept is None else read_board(kept)
        if before is not None and says(before, news):
            return Told("another", before)
        part = news.part
        if news.entry is not None:
            keys = [news.entry.key]
            details = [news.entry]
            if news.entry.retrying:
                part = replace(part, retrying=keys, details=details)
            else:
                part = replace(part, failed=keys, details=details)
        message_id = self.line.run_flow(self.steps())
        board = replace(self._new_board(), message_id=message_id, rang=news.is_final, runs={part.run_id: part})
        try:
            ledger.save(name, board.to_json())
        except LedgerError as error:
            self.log.warning("When the DAG succeeds again, this alert will not be answered: %s", error)
        return Told("posted", board)

    def _keep(self, ledger: Ledger, name: str) -> None:
        try:
            recovery.keep(ledger, str(self.story.dag_id), name, self.clock())
        except LedgerError as error:
            self.log.warning("When the DAG succeeds again, this alert will not be answered: %s", error)

    def _look_again(self, ledger: Ledger, name: str) -> None:
        """Take a retry back that has succeeded meanwhile: its success may have found nothing yet to take back.

        Airflow waits for no callback before the next try, and that of a task whose process was killed comes from
        another process, which has more to do.
        """
        try:
            if (ledger.states() or {}).get(self.story.key or ("", -1)) == "success":
                self._fold(ledger, name, self.line, self.plan.writer).refresh(self._part(ended=False))
                self.log.info("%s has succeeded meanwhile, and the message says so", self.story.label)
        except (LedgerError, ChatworkError) as error:
            self.log.warning("Whether the retry has succeeded meanwhile could not be told: %s", error)

    def _name(self, plan: Plan) -> str:
        story, fold = self.story, self.wishes.fold
        scope = {
            "run": story.run_id,
            "dag": "",
            # A message, and so a board, of its own for each of them.
            "none": f"{story.run_id} {story.key or ''}",
        }[fold]
        return recovery.board_name(str(story.dag_id), str(scope), plan.room_id)

    def _new_board(self) -> Board:
        plan = self.plan
        return Board(
            since=self.clock(),
            room_id=str(plan.room_id),
            chatwork_conn_id=self.chatwork_conn_id,
            lang=plan.writer.catalog.lang,
            note=plan.note,
        )

    def _fold(self, ledger: Ledger, name: str, line: Line, writer: Writer) -> Fold:
        return Fold(
            ledger=ledger,
            name=name,
            new_board=self._new_board,
            run=line.run,
            compose=lambda board: writer.board(board, str(self.story.dag_id)),
            call_line=lambda: line.run_flow(self.plan.call_line()),
            clock=self.clock,
            sleep=self.sleep,
            log=self.log.warning,
            window=self.wishes.fold_window if self.wishes.fold == "dag" else None,
            left=lambda: self.budget.left,
        )

    def _part(self, *, ended: bool) -> RunPart:
        story = self.story
        return RunPart(
            run_id=str(story.run_id),
            logical_date=story.logical_date.isoformat() if story.logical_date else None,
            url=self.run_url,
            ended="failed" if ended else None,
            reason=story.reason if ended else None,
            seconds=story.seconds if ended else None,
            text=self.wishes.text if ended else None,
        )

    def _all_is_well(self, ledger: Ledger) -> None:
        """Take an alert back that is over. Where there is none, nothing is sent and nobody hears of it."""
        story = self.story
        if not story.dag_id or not story.run_id:
            return
        try:
            if story.kind is Kind.RUN_SUCCESS:
                now = datetime.fromtimestamp(self.clock(), UTC)
                recovery.tell(ledger, story, self._means, run_url=self.run_url, now=now, log=self.log.info)
                return
            for name, board in recovery.boards_of(ledger, story.dag_id):
                part = board.runs.get(story.run_id)
                if part is not None and story.key in (*part.failed, *part.retrying):
                    line, writer = self._means(board)
                    if self._fold(ledger, name, line, writer).refresh(self._part(ended=False)) is not None:
                        self.log.info("Message %s of Chatwork was brought up to date", board.message_id)
        except LedgerError as error:
            self.log.warning("Whether there is an alert to take back could not be asked: %s", error)

    def _means(self, board: Board) -> tuple[Line, Writer]:
        """The line that a message was posted through, and a writer of its language."""
        conn_id = board.chatwork_conn_id or self.chatwork_conn_id
        line = self.line if conn_id == self.chatwork_conn_id else Line(self.connect(conn_id), self.budget)
        return line, Writer(alert_catalog(board.lang or line.settings.lang), line.settings.timezone, self.wishes.style)

    def _attach(self, room_id: int) -> None:
        """Add the whole traceback as a file. The alert stands without it."""
        story = self.story
        if not self.wishes.attach_traceback or not story.traceback:
            return
        name = f"{story.dag_id}-{story.label}-{story.try_number}.txt".replace("/", "_")
        content = story.traceback.encode("utf-8", "replace")[-api.validation.MAX_FILE :]
        try:
            self.line.run(api.files.upload_file(room_id, Upload(name, content, "text/plain")))
        except ChatworkError as error:
            self.log.warning("The traceback could not be attached: %s", error)
