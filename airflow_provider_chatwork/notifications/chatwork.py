"""The notifier for callbacks of tasks, DAGs and deadlines."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.providers.common.compat.sdk import conf, redact
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.alerts.destination import AlertsSetting
    from airflow_provider_chatwork.alerts.routing import RoutingTable
    from airflow_provider_chatwork.alerts.sender import AlertSender
    from airflow_provider_chatwork.connection import Settings

# The positional arguments of an SLA callback in Airflow 2.
_SLA_ARGUMENTS = ("dag", "task_list", "blocking_task_list", "slas", "blocking_tis")
_WHEN = ("final", "every")
_FOLDS = ("run", "dag", "none")

# Some versions of Airflow refuse the connections and Variables of the database to callbacks of deadlines.
_HIDDEN_CONNECTION = (
    "(Where callbacks of deadlines run, Airflow may not show them what is in its database, see apache/airflow#63929: "
    "give the connection in an environment variable or a secrets backend, or use an AsyncCallback)"
)


class ChatworkNotifier(BaseNotifier):
    """Send an alert, as ``on_failure_callback`` of a task or a DAG, as another callback, or for a deadline.

    Without arguments it posts to the default room of the connection: the task, the run, the try, the duration, the
    error, the owner and the link to the log. The failures of one DAG run are reported in one message, which is edited.
    As ``on_success_callback`` it posts nothing, unless an alert of the DAG is resolved.

    An alert that cannot be sent is an ERROR in the log and is counted in the metric ``chatwork.alerts.lost``. It does
    not change the state of the task or the DAG run.

    :param text: the message, a template; the text of this package if not given. Use ``macros.chatwork.safe`` for text
        that machines have written.
    :param room_id: the room, a template; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection, a template.
    :param text_file: a file with the message, a template: relative to the DAG's folder or its ``template_searchpath``.
    :param lang: ``ja`` or ``en``; the language of the connection if not given, ``ja`` by default.
    :param mentions: whom to mention, a template: account ids, names or Chatwork ids of members of the room, ``owner``
        for the owners of the task, ``toall`` for all members; a list, or a text with commas. Nobody if not given.
    :param when: the failures that mention people: ``final`` for those that will not be retried, ``every`` for all. A
        failure that is added to a message by an edit mentions nobody.
    :param fold: what one message reports: the failures of a ``run``, those of a ``dag`` within ``fold_window``, or one
        (``none``).
    :param fold_window: seconds after which ``fold="dag"`` posts a new message.
    :param severity: the severity of a failure, for the routing: ``info``, ``warning``, ``error`` (the default) or
        ``critical``. A failure that will be retried is a ``warning``.
    :param routing: a ``RoutingTable``, or the name of a JSON Variable with one; the extra ``routing`` of the connection
        if not given.
    :param attach_traceback: whether the whole traceback is uploaded as a file.
    :param fallback: is called with the context if the alert cannot be sent, for example another notifier.
    :param raise_on_error: whether the error is also raised, for Airflow to log.
    :param time_limit: the maximum duration in seconds. Airflow 3 kills a callback of a task 20 seconds after the task
        (``[core] task_success_overtime``), and a callback in the DAG processor after 50 seconds.
    :param context: Airflow passes it to the notifiers of deadlines.
    """

    default_conn_name = ChatworkHook.default_conn_name
    template_fields: Sequence[str] = ("text", "text_file", "room_id", "chatwork_conn_id", "mentions")

    def __init__(
        self,
        text: str | None = None,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        *,
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
        self.text_file = text_file
        self.lang = None if lang is None else api.validation.choice("lang", lang, api.validation.LANGUAGES)
        self.mentions = mentions
        self.when = api.validation.choice("when", when, _WHEN)
        self.fold = api.validation.choice("fold", fold, _FOLDS)
        self.fold_window = _seconds("fold_window", fold_window)
        self.severity = None if severity is None else _severity(severity)
        self.routing = routing
        self.attach_traceback = attach_traceback
        self.fallback = fallback
        self.raise_on_error = raise_on_error
        self.time_limit = _seconds("time_limit", time_limit)
        self.context: Any = context or {}

    def __call__(self, *args: Any) -> None:
        """Send an alert with a copy of this notifier: Airflow renders in place, and many tasks share one notifier."""
        notifier = copy.copy(self)
        context: Any = args[0] if len(args) == 1 else dict(zip(_SLA_ARGUMENTS, args, strict=False))
        setting = notifier._read_setting(context)
        if setting is None:
            return
        try:
            notifier.render_template_fields(context)
        except Exception as error:
            notifier._report_lost(error, context)
        else:
            notifier._send(context, setting)

    def __await__(self) -> Generator[Any, None, None]:
        """Send an alert in an event loop, with the context given to ``__init__``."""
        return self._acall().__await__()

    async def _acall(self) -> None:
        notifier, context = copy.copy(self), self.context
        setting = notifier._read_setting(context)
        if setting is None:
            return
        try:
            notifier.render_template_fields(context)
        except Exception as error:
            await asyncio.to_thread(notifier._report_lost, error, context)
        else:
            await notifier._asend(context, setting)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render every template field to a text, also in DAGs with ``render_template_as_native_obj``."""
        dag: Any = context.get("dag")
        if jinja_env is None:
            make = getattr(dag, "get_template_env", None)
            jinja_env = self.get_template_env() if make is None else make(force_sandboxed=True)
        for name in self.template_fields:
            setattr(self, name, self.render_template(getattr(self, name), context, jinja_env))
        if self.text_file:
            self.text = self._render(jinja_env.get_template(str(self.text_file)), context)

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        # A DAG that renders native objects would turn "12.50" into 12.5, and a text into a list.
        return super(BaseNotifier, self)._render(template, context, None)

    def notify(self, context: Context) -> None:
        """Post the message, or edit the one that is there.

        :raises ChatworkError: with ``raise_on_error``, if it could not be posted.
        """
        setting = self._read_setting(context)
        if setting is not None:
            self._send(context, setting)

    def _send(self, context: Context, setting: AlertsSetting) -> None:
        from airflow_provider_chatwork.connection import load_settings

        try:
            # The connection is loaded first: Airflow only masks secrets of connections that were loaded.
            settings = load_settings(self.chatwork_conn_id)
            sender = self._create_sender(context, settings, setting)
            if sender is not None and sender.send() is not None:
                _count("sent")
        except Exception as error:
            self._report_lost(error, context)

    async def async_notify(self, context: Context) -> None:
        """Post the message from an event loop, such as that of the triggerer, without blocking it.

        It is always a message of its own: other failures of the run cannot be read there.

        :raises ChatworkError: with ``raise_on_error``, if it could not be posted.
        """
        setting = self._read_setting(context)
        if setting is not None:
            await self._asend(context, setting)

    async def _asend(self, context: Context, setting: AlertsSetting) -> None:
        from airflow_provider_chatwork.alerts.event import SUCCESSES
        from airflow_provider_chatwork.client import async_time_limited_client
        from airflow_provider_chatwork.connection import read_settings

        try:
            settings = await read_settings(self.chatwork_conn_id)
            # Loading a Variable blocks.
            sender = await asyncio.to_thread(self._create_sender, context, settings, setting)
            # A success without an author's text only resolves alerts, which needs the database.
            if sender is not None and (sender.text is not None or sender.event.kind not in SUCCESSES):
                async with async_time_limited_client(sender.settings, sender.time_limit) as client:
                    async with asyncio.timeout(self.time_limit):
                        await client.run_flow(sender.post())
                _count("sent")
        except Exception as error:
            await asyncio.to_thread(self._report_lost, error, context)

    def _create_sender(self, context: Context, settings: Settings, setting: AlertsSetting) -> AlertSender | None:
        """Return what sends the alert; ``None`` if the routing table has ``send=False`` for it.

        :param settings: the settings of the notifier's connection.
        """
        from airflow.providers.common.compat.sdk import Variable

        from airflow_provider_chatwork.alerts.airflow_store import get_store
        from airflow_provider_chatwork.alerts.destination import find_route, load_routing_table
        from airflow_provider_chatwork.alerts.event import FAILURES, SUCCESSES, AlertEvent
        from airflow_provider_chatwork.alerts.routing import DEFAULT_ROUTE
        from airflow_provider_chatwork.alerts.sender import AlertSender
        from airflow_provider_chatwork.client import TimeLimit
        from airflow_provider_chatwork.connection import load_settings

        time_limit = TimeLimit(self.time_limit)
        given: Any = context
        as_mapping = given if isinstance(given, Mapping) else {}
        base_url = _ui_base_url()
        event = AlertEvent.from_context(as_mapping, _mask_secrets, base_url=base_url)
        table, route = None, DEFAULT_ROUTE
        if self.routing is not None or settings.routing is not None:
            try:
                table = load_routing_table(self.routing, settings, lambda name: Variable.get(name, None))
                route = find_route(table, self, event)
            except Exception as error:
                # An alert must not be lost because of an invalid table.
                self.log.error("Ignoring the invalid routing table for the alert about %s: %s", event.title, error)
                table, route = None, DEFAULT_ROUTE
        if not route.send and event.kind not in SUCCESSES:
            self.log.info("No alert was sent: the routing table has send=False for %s", event.title)
            return None
        if route.chatwork_conn_id is not None:
            settings = load_settings(route.chatwork_conn_id)
        # Airflow stores alerts of failures of a run, and what resolves them.
        is_stored = event.dag_id is not None and event.run_id is not None and event.kind in FAILURES | SUCCESSES
        store = get_store(as_mapping, str(event.dag_id), str(event.run_id)) if is_stored else None
        run_url = None
        if base_url is not None and event.dag_id is not None and event.run_id is not None:
            run = quote(event.run_id, safe="")
            page = f"runs/{run}" if AIRFLOW_V_3_0_PLUS else f"grid?dag_run_id={run}"
            run_url = f"{base_url}/dags/{quote(event.dag_id, safe='')}/{page}"
        # If the text is empty, the text of this package is sent.
        is_empty = not str(self.text or "").strip()
        return AlertSender(
            event=event,
            options=self,
            text=None if is_empty else _mask_secrets(self.text),
            table=table,
            route=route,
            settings=settings,
            load_settings=load_settings,
            setting=setting,
            run_url=run_url,
            store=store,
            time_limit=time_limit,
            log=self.log,
        )

    def _read_setting(self, context: Any) -> AlertsSetting | None:
        """Return ``[chatwork] alerts``; ``None`` if it is off. There may be no connection then."""
        from airflow_provider_chatwork.alerts.destination import AlertsSetting
        from airflow_provider_chatwork.alerts.event import describe

        try:
            setting = AlertsSetting.parse(conf.get("chatwork", "alerts", fallback="on"))
        except ChatworkParameterError as error:
            # Alerts must not be lost because of an invalid setting.
            self.log.error("Invalid [chatwork] alerts, alerts are sent as with on: %s", error)
            return AlertsSetting()
        if not setting.enabled:
            self.log.info("No alert was sent: [chatwork] alerts is off: %s", describe(context, _mask_secrets))
            return None
        return setting

    def _report_lost(self, error: BaseException, context: Context) -> None:
        """Log an alert that could not be sent, and call the fallback."""
        from airflow_provider_chatwork.alerts.event import describe

        what = describe(context, _mask_secrets)
        reason: object = f"it took longer than {self.time_limit:g} s" if isinstance(error, TimeoutError) else error
        given: Any = context
        is_known = isinstance(error, (ChatworkError, TimeoutError))
        if isinstance(given, Mapping) and "deadline" in given and not is_known:
            reason = f"{error} {_HIDDEN_CONNECTION}"
        lost = "perhaps lost" if isinstance(error, ChatworkUnknownOutcomeError) else "lost"
        self.log.error("Chatwork alert %s: %s: %s: %s", lost, what, type(error).__name__, _safe_text(reason))
        _count("lost")
        if self.fallback is not None:
            try:
                self.fallback(context)
            except Exception as failure:
                self.log.error("The fallback of the lost Chatwork alert failed: %s: %s", what, _safe_text(failure))
            else:
                self.log.info("The fallback was called for the lost Chatwork alert: %s", what)
        if self.raise_on_error:
            raise error


def _seconds(parameter: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ChatworkParameterError(parameter, value, "give a number of seconds above 0")
    return float(value)


def _severity(value: object) -> str:
    from airflow_provider_chatwork.alerts.routing import SEVERITIES

    return api.validation.choice("severity", value, SEVERITIES)


send_chatwork_notification = ChatworkNotifier


def _mask_secrets(value: object) -> str:
    """Return a value as text with secrets masked. Cut a text only afterwards: parts of secrets are not masked."""
    return str(redact(str(value)))


def _safe_text(value: object) -> str:
    """Return a value as text with secrets masked. Never raises."""
    try:
        return _mask_secrets(value)
    except Exception:
        return f"{type(value).__name__} without a readable text"


def _ui_base_url() -> str | None:
    """Return the address of Airflow's UI without a slash at its end; ``None`` if it is not configured."""
    base: str | None = conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback=None)
    return base.rstrip("/") if base else None


def _count(metric: str) -> None:
    """Increment the metric ``chatwork.alerts.<metric>``. Never raises."""
    from airflow.providers.common.compat.sdk import Stats

    with suppress(Exception):
        Stats.incr(f"chatwork.alerts.{metric}")
