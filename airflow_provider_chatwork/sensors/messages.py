"""Wait for a message."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.sensors._base import ChatworkSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.utils.task_state import TaskState
    from airflow_provider_chatwork.utils.time_arguments import Since
    from airflow_provider_chatwork.waiting.message_filter import FoundMessage, MessageCursor, Position

_KEY = "chatwork_wait"


class ChatworkMessageSensor(ChatworkSensor):
    """Wait for a message that meets all given conditions.

    Returns the oldest such message, a dict: ``message_id``, ``account_id`` and ``account_name`` of its author,
    ``body``, ``text`` (what its author wrote: without quotes, without reply and To tags and the names behind them,
    without what Chatwork adds for a file; with ``reply_to``, only the part that replies to that message), ``send_time``
    (Unix time), ``link``, and ``possible_loss``.

    Each poll reads the current messages: an edited message counts with its latest text and its original send time, a
    deleted one does not count. System messages of Chatwork (somebody joined, a task was done, a file was uploaded
    without text) never count, and neither do messages of the token's account, so that a DAG does not answer itself.

    Chatwork returns the newest 100 messages of a room. If more may have come between two polls, the log has one warning
    and ``possible_loss`` is true; the wait continues. In mode ``reschedule`` before Airflow 3.3, where a poll does not
    know of the one before, this is the case as soon as more than 100 have come since the start of the wait.

    A condition that renders to nothing fails the task without another try, because any message would meet it. ``None``
    in the DAG file means that the condition is not given.

    If the account is no longer in the room, the task fails without another try. An outage of Chatwork does not end the
    wait; it is only logged. ``soft_fail`` skips on a timeout and on nothing else.

    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param since: the start of the wait: after a message (its id, as ``ChatworkPostMessageOperator`` returned it), or at
        a time (Unix time in seconds, a datetime, a day, or ISO 8601 text; without a zone, that of the connection). A
        time includes the second it is in. If not given: after the message of ``reply_to``, and otherwise the start of
        the task. All modes keep that start from the first poll to the last; so does a retry on Airflow 3.3 and later,
        and on 2.11 in mode ``reschedule``. Clearing the task starts again. The id of a message that was posted before
        the wait is the safest start: ``since=ask.output``.
    :param from_account_ids: the authors, as a list or as comma-separated text; anybody if not given. The token's own
        account has no effect among them; by itself it is an error as soon as it posts a matching message.
    :param matches: a regular expression, as of :func:`re.search`, that is found in ``text``. Messages are untrusted and
        up to 65535 characters long: an expression with nested repetition, such as ``(a+)+$``, can run for hours and, in
        the triggerer, delay all other waits.
    :param reply_to: the id of a message; only replies to it, by Chatwork's *Reply*, are found. A quote is not a reply.
    :param chatwork_conn_id: id of the connection.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param end_from_trigger: whether a wait in the triggerer also ends there (Airflow 3.0 and later), so that no worker
        is started for its end; docs/waiting.md lists the limits.
    :param poke_interval: seconds between two polls, as of every sensor. A poll is one request, in the triggerer for all
        waits on the room together; a matching message takes one more request, once.
    """

    template_fields: Sequence[str] = (
        *("since", "from_account_ids", "matches", "reply_to"),
        *ChatworkSensor.template_fields,
    )

    def __init__(
        self,
        *,
        since: int | float | str | date | datetime | None = None,
        from_account_ids: AccountIds | None = None,
        matches: str | None = None,
        reply_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.since = since
        self.from_account_ids = from_account_ids
        self.matches = matches
        self.reply_to = reply_to
        # A condition that renders to nothing must not count as not given, because any message would meet it.
        given = {"from_account_ids": from_account_ids, "matches": matches, "reply_to": reply_to}
        self._conditions = [name for name, value in given.items() if value is not None]
        self._cursor: MessageCursor | None = None

    @cached_property
    def own_account_id(self) -> int:
        """The account of the token."""
        return self.client.run(api.account.get_me())["account_id"]

    def prepare(self, context: Context) -> None:
        """Validate the rendered arguments before anything is sent, and determine the start of the wait."""
        from airflow_provider_chatwork.waiting import message_filter

        room_id = self.room_number
        account_ids = api.validation.identifiers(
            "from_account_ids", api.validation.none_if_blank(self.from_account_ids), required=False
        )
        matches = api.validation.none_if_blank(self.matches)
        reply_to = api.validation.none_if_blank(self.reply_to)
        found = {"from_account_ids": account_ids, "matches": matches, "reply_to": reply_to}
        for name in self._conditions:
            if not found[name]:
                remedy = "it renders to nothing; give a value, or remove the argument to wait for any message"
                raise ChatworkParameterError(name, getattr(self, name), remedy)
        if matches is not None:
            _check_pattern(matches)
        if reply_to is not None:
            reply_to = api.validation.message_identifier("reply_to", reply_to)
        saved = _task_state(context).get(_KEY)
        since = self._since(context, reply_to, saved)
        conditions = message_filter.MessageFilter(room_id, since, tuple(account_ids), matches, reply_to)
        self._cursor = message_filter.MessageCursor(conditions, *_seen(saved))

    def check(self, context: Context) -> FoundMessage | None:
        """Poll once, and return the message, or ``None``."""
        from airflow_provider_chatwork.waiting import message_filter

        if self._cursor is None:
            self.prepare(context)
        cursor = self._cursor
        assert cursor is not None
        room_id, before = cursor.filter.room_id, cursor.seen
        page = self.client.run(api.messages.list_messages(room_id))
        candidates = cursor.update(page, self.log.warning)
        if self.mode == "reschedule" and cursor.seen != before:
            self._save(context, cursor.filter.since, cursor.seen, cursor.possible_loss)
        message = None
        if candidates:
            message = message_filter.first_by_others(candidates, cursor.filter, self.own_account_id)
        if message is None:
            self.log.info("No matching message in room %s yet", room_id)
            return None
        web_url = self.hook.settings.web_url
        found = message_filter.found_message(
            message, page, cursor.filter, possible_loss=cursor.possible_loss, web_url=web_url
        )
        return self._log_found(context, found)

    def trigger(self) -> BaseTrigger:
        """Return the trigger that continues the wait."""
        # Imported here, because it is not needed to parse a DAG file.
        from airflow_provider_chatwork.triggers.messages import ChatworkMessageTrigger

        assert self._cursor is not None
        conditions = self._cursor.filter
        return ChatworkMessageTrigger(
            since=conditions.since,
            from_account_ids=conditions.from_account_ids,
            matches=conditions.matches,
            reply_to=conditions.reply_to,
            seen=self._cursor.seen,
            possible_loss=self._cursor.possible_loss,
            **self.trigger_arguments(),
        )

    def finish(self, context: Context, event: dict[str, Any]) -> FoundMessage:
        """Return the message that the trigger found."""
        return self._log_found(context, event["message"])

    def _log_found(self, context: Context, found: FoundMessage) -> FoundMessage:
        self.log.info("Found message %s in room %s", found["message_id"], self.room_number)
        self.show_place(context, found["message_id"])
        return found

    def _since(self, context: Context, reply_to: str | None, saved: dict[str, Any]) -> Since:
        """Return the start of the wait."""
        # Only a time without a zone needs the connection.
        from airflow_provider_chatwork.utils import time_arguments

        if api.validation.none_if_blank(self.since) is not None:
            since = time_arguments.parse_since(self.since, self.hook.settings.timezone)
            if since is not None:
                return since
        if reply_to is not None:
            return reply_to
        if "since" in saved:
            return saved["since"]  # type: ignore[no-any-return]
        started = self._started_at(context)
        self._save(context, started)
        return started

    def _started_at(self, context: Context) -> int:
        """Return the Unix time when the task started; in mode ``reschedule``, when it started for the first time."""
        ti: Any = context.get("ti")
        started: datetime | None = getattr(ti, "start_date", None)
        if self.mode == "reschedule":
            started = _first_start(ti, context, self.retries or 0) or started
        return int(started.timestamp() if started else time.time())

    def _save(self, context: Context, since: Since, seen: Position | None = None, possible_loss: bool = False) -> None:
        value = {"since": since, "possible_loss": possible_loss, "seen": None if seen is None else list(seen)}
        _task_state(context).set(_KEY, value)


def _task_state(context: Context) -> TaskState:
    # Imported here, because it is not needed to parse a DAG file.
    from airflow_provider_chatwork.utils.task_state import TaskState

    return TaskState(context)


def _seen(saved: dict[str, Any]) -> tuple[tuple[int, int] | None, bool]:
    seen = saved.get("seen")
    return (seen[0], seen[1]) if seen else None, bool(saved.get("possible_loss"))


def _check_pattern(matches: object) -> None:
    try:
        if not isinstance(matches, str):
            raise ChatworkParameterError("matches", matches, "give a regular expression as text")
        re.compile(matches)
    except re.error as error:
        raise ChatworkParameterError("matches", matches, f"give a regular expression; in this one: {error}") from None


def _first_start(ti: Any, context: Context, retries: int) -> datetime | None:
    """Return when a rescheduled task started for the first time, as Airflow's sensor computes it for its timeout."""
    if hasattr(ti, "get_first_reschedule_date"):
        first: datetime | str | None = ti.get_first_reschedule_date(context)
        # `dag.test()` of Airflow 3.0 returns it as text.
        return datetime.fromisoformat(first) if isinstance(first, str) else first
    # Airflow 2 has no public function for it.
    from airflow.sensors.base import _orig_start_date  # type: ignore[import-not-found,unused-ignore]

    first_try = (ti.max_tries or 0) - retries + 1
    started: datetime | None = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return started
