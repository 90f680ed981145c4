"""Wait for what somebody says."""

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
    from airflow_provider_chatwork.utils.since import Since
    from airflow_provider_chatwork.waiting.message_filter import FoundMessage, MessageLooks, Position

_KEPT = "chatwork_wait"


class ChatworkMessageSensor(ChatworkSensor):
    """Wait for a message: by somebody, that says something, or that answers a message.

    All conditions that are given have to hold. Returns the oldest message for which they do, a dict: ``message_id``,
    ``account_id`` and ``account_name`` of its author, ``body``, ``text`` (what its author wrote: without quotes,
    without reply and To tags and the names behind them, without what Chatwork adds for a file; of a message that
    answers several, with ``reply_to`` only the part that answers this one), ``send_time`` (Unix time), ``link``, and
    ``possible_loss``.

    What counts is how a message stands at the time of a look: one that was edited counts with its latest text and as
    sent when it was sent, one that was deleted does not count. What Chatwork writes by itself (somebody joined, a task
    was done, a file was uploaded without a word) never counts, and neither does what the account of the token posts: a
    DAG does not answer itself.

    Chatwork shows the newest 100 messages of a room. Where more may have come between two looks, a line in the log says
    so once, and ``possible_loss`` is true; the wait goes on. In mode ``reschedule`` before Airflow 3.3, where one look
    does not know of the other, that is as soon as more than 100 have come since the wait began.

    A condition that is given and renders to nothing fails the task for good, as without it any message would do.
    ``None`` in the DAG file is not given.

    A room the account is no longer in ends the wait with a failure that no retry cures. An outage of Chatwork does not
    end it; it only shows in the log. ``soft_fail`` skips on a timeout and on nothing else.

    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param since: where the wait begins: behind a message (its id, as ``ChatworkPostMessageOperator`` returned it), or
        at a time (Unix time in seconds, a datetime, a day, or ISO 8601 text; without a zone, that of the connection).
        A time includes the second it is in. If not given: behind the message of ``reply_to``, and otherwise when the
        task began. That is known in all modes from the first look to the last; a retry begins at the same time on
        Airflow 3.3 and later, and anew on earlier ones, except on 2.11 in mode ``reschedule``. Clearing the task begins
        anew. A message that is posted before the wait is the safest beginning: ``since=ask.output``.
    :param from_account_ids: by whom, as a list or as comma-separated text; by anybody if not given. The token's own
        account among them does nothing; by itself it is an error as soon as it posts what would match.
    :param matches: a regular expression, as of :func:`re.search`, that is found in ``text``. Messages are written by
        whoever is in the room and up to 65535 characters long: an expression with nested repetition, such as
        ``(a+)+$``, can take for ever on the wrong one and, in the triggerer, hold up all other waits with it.
    :param reply_to: the id of a message; the message that is waited for answers it, by Chatwork's *Reply*. A quote is
        no reply.
    :param chatwork_conn_id: id of the connection.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param end_from_trigger: whether a wait in the triggerer also ends there (Airflow 3.0 and later), so that no worker
        is started for its end; docs/waiting.md says what is given up.
    :param poke_interval: seconds between two looks, as for every sensor. A look costs one call, in the triggerer for
        all waits on the room together; a message that would match costs one more, once.
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
        # A condition that a template makes nothing of must not become none: any message would do.
        given = {"from_account_ids": from_account_ids, "matches": matches, "reply_to": reply_to}
        self._conditions = [name for name, value in given.items() if value is not None]
        self._looks: MessageLooks | None = None

    @cached_property
    def own_account_id(self) -> int:
        """The account of the token."""
        return self.client.run(api.account.get_me())["account_id"]

    def begin(self, context: Context) -> None:
        """Find what cannot be right before anything is sent, and when the wait began."""
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
                remedy = "there is nothing in what was given; give something, or leave it away to wait for any message"
                raise ChatworkParameterError(name, getattr(self, name), remedy)
        if matches is not None:
            _check_pattern(matches)
        if reply_to is not None:
            reply_to = api.validation.message_identifier("reply_to", reply_to)
        kept = self._recall(context)
        since = self._since(context, reply_to, kept)
        wanted = message_filter.Wanted(room_id, since, tuple(account_ids), matches, reply_to)
        self._looks = message_filter.MessageLooks(wanted, *_seen(kept))

    def look(self, context: Context) -> FoundMessage | None:
        """Look once. Returns the message, and ``None`` while there is none."""
        from airflow_provider_chatwork.waiting import message_filter

        if self._looks is None:
            self.begin(context)
        looks = self._looks
        assert looks is not None
        room_id, before = looks.wanted.room_id, looks.seen
        page = self.client.run(api.messages.list_messages(room_id))
        candidates = looks.look(page, self.log.warning)
        if self.mode == "reschedule" and looks.seen != before:
            self._keep(context, looks.wanted.since, looks.seen, looks.possible_loss)
        message = None
        if candidates:
            message = message_filter.first_by_others(candidates, looks.wanted, self.own_account_id)
        if message is None:
            self.log.info("The message has not come into room %s yet", room_id)
            return None
        web_url = self.hook.settings.web_url
        found = message_filter.found_message(
            message, page, looks.wanted, possible_loss=looks.possible_loss, web_url=web_url
        )
        return self._shown(context, found)

    def trigger(self) -> BaseTrigger:
        """Return what goes on with the wait in the triggerer."""
        # Imported here, so that reading a DAG file does not load what only the triggerer needs.
        from airflow_provider_chatwork.triggers.messages import ChatworkMessageTrigger

        assert self._looks is not None
        wanted = self._looks.wanted
        return ChatworkMessageTrigger(
            since=wanted.since,
            from_account_ids=wanted.from_account_ids,
            matches=wanted.matches,
            reply_to=wanted.reply_to,
            seen=self._looks.seen,
            possible_loss=self._looks.possible_loss,
            **self.patience(),
        )

    def finish(self, context: Context, event: dict[str, Any]) -> FoundMessage:
        """Return the message, as the trigger saw it."""
        return self._shown(context, event["message"])

    def _shown(self, context: Context, found: FoundMessage) -> FoundMessage:
        self.log.info("Message %s in room %s is the one", found["message_id"], self.room_number)
        self.show_place(context, found["message_id"])
        return found

    def _since(self, context: Context, reply_to: str | None, kept: dict[str, Any]) -> Since:
        """Where the wait begins."""
        # Not asked in vain: only a moment without a zone needs the connection.
        from airflow_provider_chatwork.utils import since as time_arguments

        if api.validation.none_if_blank(self.since) is not None:
            since = time_arguments.read_since(self.since, self.hook.settings.timezone)
            if since is not None:
                return since
        if reply_to is not None:
            return reply_to
        if "since" in kept:
            return kept["since"]  # type: ignore[no-any-return]
        began = self._began(context)
        self._keep(context, began)
        return began

    def _began(self, context: Context) -> int:
        """The second in which the task began, or, in mode ``reschedule``, in which it began for the first time."""
        ti: Any = context.get("ti")
        began: datetime | None = getattr(ti, "start_date", None)
        if self.mode == "reschedule":
            began = _first_start(ti, context, self.retries or 0) or began
        return int(began.timestamp() if began else time.time())

    def _recall(self, context: Context) -> dict[str, Any]:
        """What an earlier process of this task has kept. Only Airflow 3.3 and later can."""
        store: Any = context.get("task_state_store")
        kept = None if store is None else store.get(_KEPT, None)
        return kept if isinstance(kept, dict) and kept.get("round") == _round(context) else {}

    def _keep(self, context: Context, since: Since, seen: Position | None = None, possible_loss: bool = False) -> None:
        store: Any = context.get("task_state_store")
        if store is not None:
            kept = {"round": _round(context), "since": since, "possible_loss": possible_loss}
            store.set(_KEPT, {**kept, "seen": None if seen is None else list(seen)})


def _seen(kept: dict[str, Any]) -> tuple[tuple[int, int] | None, bool]:
    seen = kept.get("seen")
    return (seen[0], seen[1]) if seen else None, bool(kept.get("possible_loss"))


def _check_pattern(matches: object) -> None:
    try:
        if not isinstance(matches, str):
            raise ChatworkParameterError("matches", matches, "give a regular expression as text")
        re.compile(matches)
    except re.error as error:
        raise ChatworkParameterError("matches", matches, f"give a regular expression; in this one: {error}") from None


def _first_start(ti: Any, context: Context, retries: int) -> datetime | None:
    """When a task that is rescheduled again and again began, as the base class has it for its timeout."""
    if hasattr(ti, "get_first_reschedule_date"):
        first: datetime | str | None = ti.get_first_reschedule_date(context)
        # `dag.test()` of Airflow 3.0 leaves it as it came over the wire.
        return datetime.fromisoformat(first) if isinstance(first, str) else first
    # Airflow 2 has no public way to it.
    from airflow.sensors.base import _orig_start_date  # type: ignore[import-not-found,unused-ignore]

    first_try = (ti.max_tries or 0) - retries + 1
    started: datetime | None = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return started


def _round(context: Context) -> int | None:
    # Clearing a task raises its `max_tries`, a retry does not: who clears a task wants the wait to begin anew.
    return getattr(context.get("ti"), "max_tries", None)
