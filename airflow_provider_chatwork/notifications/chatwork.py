"""Tell a room how a DAG fares."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.providers.common.compat.sdk import conf, redact
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.severity import SEVERITIES
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.alerts.destination import Switch
    from airflow_provider_chatwork.alerts.routing import RoutingTable
    from airflow_provider_chatwork.alerts.sender import Delivery
    from airflow_provider_chatwork.api.settings import Settings

_WHEN = ("final", "every")
_FOLDS = ("run", "dag", "none")
_STYLES = ("full", "short")

# Airflow 3.3 refuses the connections and Variables of its database to the callbacks of deadlines that run on an
# executor, and other versions have had the like in the triggerer.
_UNSEEN = (
    "(Where callbacks of deadlines run, Airflow may not show them what is in its database, see apache/airflow#63929: "
    "give the connection in an environment variable or a secrets backend, or use an AsyncCallback)"
)


class ChatworkNotifier(BaseNotifier):
    """Tell a room what failed, as ``on_failure_callback`` of a task or a DAG, for a deadline, or anywhere else.

    Without arguments it posts to the room of the connection: what failed, where, on which try, for how long it ran,
    why, whose it is, and where its log is. What fails in one DAG run is told in one message, which is edited. As
    ``on_success_callback`` it says nothing, unless an alert of the DAG is over.

    An alert that cannot be delivered is an ERROR in the log and a count of the metric ``chatwork.alerts.lost``, and
    nothing else happens to the DAG.

    :param text: the message, a template; see ``template`` if not given. Put what machines wrote through
        ``macros.chatwork.safe``.
    :param room_id: the room, a template; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection, a template.
    :param template: a text of this package: ``full``, or ``short`` for what failed and why.
    :param text_file: a file with the message, a template: relative to the DAG's folder or its ``template_searchpath``.
    :param lang: ``ja`` or ``en``; what the connection says if not given, and ``ja`` if that says nothing.
    :param mentions: whom to call, a template: account ids, names or handles of the room's members, ``owner`` for the
        owners of the task, ``toall`` for everybody; a list, or a text with commas. Nobody if not given.
    :param when: which failures call people: ``final`` for those that will not be retried, ``every`` for those that
        will as well. What is told in one message with an earlier one calls nobody anew.
    :param fold: what one message holds: the failures of a ``run``, those of a ``dag`` within ``fold_window``, or one
        (``none``).
    :param fold_window: seconds after which ``fold="dag"`` begins a new message.
    :param severity: how bad a failure is, for the routing: ``info``, ``warning``, ``error`` (the default) or
        ``critical``. A failure that is retried is a ``warning``.
    :param routing: which alert goes where: a ``RoutingTable``, or the name of a JSON Variable with one; the extra
        ``routing`` of the connection if not given.
    :param attach_traceback: whether the whole traceback goes along as a file.
    :param fallback: what to call with the context when an alert cannot be delivered: another notifier, for example.
    :param raise_on_error: whether the error is raised as well, for Airflow to log.
    :param time_limit: seconds that it gives itself. Airflow 3 kills a callback of a task 20 seconds after the task
        (``[core] task_success_overtime``), and one of the DAG processor after 50.
    :param context: what Airflow passes to the notifiers of deadlines.
    """

    default_conn_name = ChatworkHook.default_conn_name
    template_fields: Sequence[str] = ("text", "text_file", "room_id", "chatwork_conn_id", "mentions")

    def __init__(
        self,
        text: str | None = None,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        *,
        template: str = "full",
        text_file: str | None = None,
        lang: str | None = None,
        mentions: Any = None,
        when: str = "final",
        fold: str = "run",
        fold_window: float = 3600.0,
        severity: str | None = None,
        routing: RoutingTable | str | None = None,
        attach_traceback: bool = False,
        fallback: Callable[[Context], Any] | None = None,
        raise_on_error: bool = False,
        time_limit: float = 15.0,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        self.text = text
        self.room_id = room_id
        self.chatwork_conn_id = chatwork_conn_id
        self.template = api.validation.choice("template", template, _STYLES)
        self.text_file = text_file
        self.lang = None if lang is None else api.validation.choice("lang", lang, api.validation.LANGUAGES)
        self.mentions = mentions
        self.when = api.validation.choice("when", when, _WHEN)
        self.fold = api.validation.choice("fold", fold, _FOLDS)
        self.fold_window = _seconds("fold_window", fold_window)
        self.severity = None if severity is None else api.validation.choice("severity", severity, SEVERITIES)
        self.routing = routing
        self.attach_traceback = attach_traceback
        self.fallback = fallback
        self.raise_on_error = raise_on_error
        self.time_limit = _seconds("time_limit", time_limit)
        self.context: Any = context or {}

    def __call__(self, *args: Any) -> None:
        """Notify with a copy of this notifier: Airflow renders in place, and one notifier serves many tasks."""
        notifier, context = copy.copy(self), _context_of(args)
        if notifier._is_switched_off(context):
            return
        try:
            notifier.render_template_fields(context)
        except Exception as error:
            notifier._lost(error, context)
        else:
            notifier.notify(context)

    def __await__(self) -> Generator[Any, None, None]:
        """Notify in an event loop, with the context given to ``__init__``."""
        return self._acall().__await__()

    async def _acall(self) -> None:
        notifier, context = copy.copy(self), self.context
        if notifier._is_switched_off(context):
            return
        try:
            notifier.render_template_fields(context)
        except Exception as error:
            await asyncio.to_thread(notifier._lost, error, context)
        else:
            await notifier.async_notify(context)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render every field to a text, also for DAGs that render to objects, and where nothing is left of it."""
        dag: Any = context.get("dag")
        if jinja_env is None:
            make = getattr(dag, "get_template_env", None)
            jinja_env = self.get_template_env() if make is None else make(force_sandboxed=True)
        for name in self.template_fields:
            setattr(self, name, self.render_template(getattr(self, name), context, jinja_env))
        if self.text_file:
            self.text = self._render(jinja_env.get_template(str(self.text_file)), context)

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        # A DAG that renders to objects would make 12.5 of "12.50", and nothing that can be sent of a list.
        return super(BaseNotifier, self)._render(template, context, None)

    def notify(self, context: Context) -> None:
        """Post the message, or edit the one that is there.

        :raises ChatworkError: with ``raise_on_error``, where it could not be posted.
        """
        if self._is_switched_off(context):
            return
        try:
            delivery = self._delivery(context, ChatworkHook(self.chatwork_conn_id).settings, _variable, _settings)
            if delivery is not None and delivery.tell(self._ledger(context, delivery)) is not None:
                _count("sent")
        except Exception as error:
            self._lost(error, context)

    async def async_notify(self, context: Context) -> None:
        """Post the message from an event loop, such as the triggerer's, without blocking it.

        It is a message of its own: what else has failed cannot be asked there.

        :raises ChatworkError: with ``raise_on_error``, where it could not be posted.
        """
        from airflow_provider_chatwork.alerts.time_limited_client import AsyncLine

        if self._is_switched_off(context):
            return
        try:
            hook = ChatworkHook(self.chatwork_conn_id)
            settings = await hook.asettings()
            # Reading a Variable blocks.
            delivery = await asyncio.to_thread(self._delivery, context, settings, _variable, _settings)
            if delivery is not None and not delivery.is_silent:
                line = AsyncLine(delivery.settings, delivery.budget)
                try:
                    async with asyncio.timeout(self.time_limit):
                        await line.run_flow(delivery.steps())
                finally:
                    await line.close()
                _count("sent")
        except Exception as error:
            await asyncio.to_thread(self._lost, error, context)

    def _delivery(
        self,
        context: Context,
        settings: Settings,
        load: Callable[[str], Any],
        connect: Callable[[str], Settings],
    ) -> Delivery | None:
        """What is to be told and how; ``None`` where this Airflow or the routing table does not want it told.

        :param settings: of the notifier's connection. It is read before anything is masked, as Airflow only knows
            the secrets of connections that were read.
        """
        from airflow_provider_chatwork.alerts import destination as planning
        from airflow_provider_chatwork.alerts import event as stories
        from airflow_provider_chatwork.alerts.routing import Route
        from airflow_provider_chatwork.alerts.sender import Delivery
        from airflow_provider_chatwork.alerts.time_limited_client import Budget
        from airflow_provider_chatwork.alerts.wishes import Wishes

        budget = Budget(self.time_limit)
        switch = self._switch()
        wishes = Wishes(
            # A text of which nothing is left must not cost the alert.
            text=_masked(self.text) if self.text and str(self.text).strip() else None,
            room_id=self.room_id,
            chatwork_conn_id=self.chatwork_conn_id,
            style=self.template,
            lang=self.lang,
            mentions=self.mentions,
            when=self.when,
            fold=self.fold,
            fold_window=self.fold_window,
            severity=self.severity,
            routing=self.routing,
            attach_traceback=self.attach_traceback,
        )
        story = stories.masked(stories.read(_plain(context), now=datetime.now(UTC), mask=_masked), _masked)
        story = replace(story, log_url=_whole(story.log_url))
        try:
            table = planning.table_of(wishes, settings, load)
            route = planning.route_of(table, wishes, story)
        except Exception as error:
            # A wrong table must not cost the alert.
            self.log.error("The routing table cannot be used, so the alert goes where it would without one: %s", error)
            table, route = None, Route()
        if not route.send and story.kind not in (stories.Kind.SUCCESS, stories.Kind.RUN_SUCCESS):
            self.log.info("No alert was sent: the routing table has send=False for %s", story.title)
            return None
        return Delivery(
            wishes=wishes,
            story=story,
            table=table,
            route=route,
            settings=settings if route.chatwork_conn_id is None else connect(route.chatwork_conn_id),
            connect=connect,
            switch=switch,
            run_url=_run_url(story.dag_id, story.run_id),
            log=self.log,
            budget=budget,
        )

    def _ledger(self, context: Context, delivery: Delivery) -> Any:
        from airflow_provider_chatwork.alerts.airflow_store import ledger_of

        story = delivery.story
        if story.dag_id is None or story.run_id is None or not story.is_foldable:
            return None
        return ledger_of(_plain(context), story.dag_id, story.run_id)

    def _switch(self) -> Switch:
        from airflow_provider_chatwork.alerts.destination import Switch

        try:
            return Switch.read(_switch_value())
        except ChatworkParameterError as error:
            # A slip of the pen must not cost every alert.
            self.log.error("Alerts are sent as if they were switched on: %s", error)
            return Switch()

    def _is_switched_off(self, context: Any) -> bool:
        """Whether this Airflow sends no alerts. It may have no connection either, so nothing else is looked at."""
        from airflow_provider_chatwork.alerts.destination import Switch

        # What cannot be read is said once, where the alert is made.
        with suppress(ChatworkParameterError):
            if not Switch.read(_switch_value()).on:
                self.log.info("No alert was sent: [chatwork] alerts is off. It was: %s", self._title(context))
                return True
        return False

    def _title(self, context: Any) -> str:
        from airflow_provider_chatwork.alerts import event as stories

        try:
            return _masked(stories.read(_plain(context), now=datetime.now(UTC)).title)
        # Whatever a context is, it must not be what costs the line in the log.
        except Exception:
            return "an event that cannot be read"

    def _lost(self, error: BaseException, context: Context) -> None:
        """Say that an alert is lost, where nobody can overlook it, and try the other way."""
        what = self._title(context)
        reason: object = f"it took longer than {self.time_limit:g} s" if isinstance(error, TimeoutError) else error
        if "deadline" in _plain(context) and not isinstance(error, (ChatworkError, TimeoutError)):
            reason = f"{error} {_UNSEEN}"
        fate = "perhaps lost" if isinstance(error, ChatworkUnknownOutcomeError) else "lost"
        self.log.error("Chatwork alert %s: %s: %s: %s", fate, what, type(error).__name__, _text(reason))
        _count("lost")
        if self.fallback is not None:
            try:
                self.fallback(context)
            except Exception as failure:
                self.log.error("The fallback of the lost Chatwork alert failed as well: %s", _text(failure))
            else:
                self.log.info("The fallback was called for the lost Chatwork alert")
        if self.raise_on_error:
            raise error


def _seconds(parameter: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ChatworkParameterError(parameter, value, "give a number of seconds above 0")
    return float(value)


def _context_of(args: Sequence[Any]) -> Any:
    if len(args) == 1:
        return args[0]
    # How Airflow 2 calls for missed SLAs.
    names = ("dag", "task_list", "blocking_task_list", "slas", "blocking_tis")
    return dict(zip(names, args, strict=False))


def _plain(context: Any) -> Mapping[str, Any]:
    # Anything may be called with anything.
    return context if isinstance(context, Mapping) else {}


def _text(value: object) -> str:
    try:
        return _masked(value)
    except Exception:
        return f"{type(value).__name__}, which does not say more"


def _masked(value: object) -> str:
    # Before anything is broken or cut out of the text: a secret is only known as a whole.
    return str(redact(str(value)))


def _settings(conn_id: str) -> Settings:
    return ChatworkHook(conn_id).settings


def _switch_value() -> object:
    return conf.get("chatwork", "alerts", fallback="on")


def _variable(name: str) -> Any:
    from airflow.providers.common.compat.sdk import Variable

    return Variable.get(name, None)


def _base_url() -> str | None:
    section = "api" if AIRFLOW_V_3_0_PLUS else "webserver"
    base: str | None = conf.get(section, "base_url", fallback=None)
    return base.rstrip("/") if base else None


def _run_url(dag_id: str | None, run_id: str | None) -> str | None:
    """Where the run can be seen in Airflow's UI."""
    base = _base_url()
    if base is None or dag_id is None or run_id is None:
        return None
    dag, run = quote(dag_id, safe=""), quote(run_id, safe="")
    return f"{base}/dags/{dag}/runs/{run}" if AIRFLOW_V_3_0_PLUS else f"{base}/dags/{dag}/grid?dag_run_id={run}"


def _whole(log_url: str | None) -> str | None:
    """The link to a log. Airflow 3.0 forgets the slash behind an address that ends without one."""
    base = _base_url()
    if base is None or log_url is None or not log_url.startswith(f"{base}dags/"):
        return log_url
    return f"{base}/{log_url.removeprefix(base)}"


def _count(what: str) -> None:
    from airflow.providers.common.compat.sdk import Stats

    # A metric must not cost an alert.
    with suppress(Exception):
        Stats.incr(f"chatwork.alerts.{what}")


send_chatwork_notification = ChatworkNotifier
