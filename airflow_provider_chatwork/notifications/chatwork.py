"""Tell a room how a DAG fares."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.providers.common.compat.sdk import redact

from airflow_provider_chatwork import api
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

# A callback that runs in the DAG processor is killed after 50 seconds.
_PATIENCE = 20.0
_TIMEOUT = 10.0
# What Airflow's contexts call a task's state, and what the room is told. Anything else is a failure.
_TITLES = {"success": "Task succeeded", "up_for_retry": "Task failed, will retry", "skipped": "Task skipped"}


class ChatworkNotifier(BaseNotifier):
    """Post a message about a task or a DAG run, as ``on_failure_callback`` for example.

    :param text: the message, a template; what failed, where and why if not given. Values that may hold anything are
        best put through ``macros.chatwork.safe``.
    :param room_id: the room, a template; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("text", "room_id", "chatwork_conn_id")

    def __init__(
        self,
        text: str | None = None,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.text = text
        self.room_id = room_id
        self.chatwork_conn_id = chatwork_conn_id

    def __call__(self, *args: Any) -> None:
        """Notify with a copy of this notifier: Airflow renders in place, and one notifier serves many tasks."""
        super(ChatworkNotifier, copy.copy(self)).__call__(*args)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render every field, also where nothing is left of it: Airflow up to 3.2 would post the template then."""
        environment = jinja_env or self.get_template_env(dag=context.get("dag"))
        for name in self.template_fields:
            setattr(self, name, self.render_template(getattr(self, name), context, environment))

    def notify(self, context: Context) -> None:
        """Post the message.

        :raises ChatworkError: where it could not be posted; Airflow logs it, and the task's state stays as it is.
        """
        hook = ChatworkHook(self.chatwork_conn_id)
        # Read before `redact`, which only knows the secrets of connections that were read.
        hook.settings = replace(hook.settings, timeout=min(hook.settings.timeout, _TIMEOUT))
        hook.max_wait = min(hook.settings.max_wait, _PATIENCE)
        # A template may have been rendered to a number or a list.
        text = failure_text(context) if self.text is None else _masked(self.text)
        body = api.notation.fit(text)
        message_id = hook.run(api.messages.post_message(hook.room_id_or_default(self.room_id), body))["message_id"]
        self.log.info("Posted to Chatwork as message %s", message_id)


def failure_text(context: Context) -> str:
    """Say what failed, where and why, as far as the context tells."""
    ti: Any = context.get("ti")
    dag_run: Any = context.get("dag_run")
    dag: Any = context.get("dag")
    facts = {
        "DAG": getattr(dag, "dag_id", None) or getattr(ti, "dag_id", None) or getattr(dag_run, "dag_id", None),
        "Task": _task_of(ti),
        "Run": getattr(dag_run, "run_id", None) or context.get("run_id"),
        "Try": getattr(ti, "try_number", None),
        "Log": getattr(ti, "log_url", None),
    }
    lines = [f"{name}: {api.notation.safe(_masked(value))}" for name, value in facts.items() if value is not None]
    exception, reason = context.get("exception"), context.get("reason")
    if isinstance(exception, BaseException):
        reason = f"{type(exception).__name__}: {exception}"
    elif exception:
        reason = exception
    if reason:
        lines.append(api.notation.code(api.notation.fit(_masked(reason), 2000)))
    return api.notation.info("\n".join(lines), title=_title(context))


def _title(context: Context) -> str:
    ti: Any = context.get("ti")
    # The context of a DAG's callback names a reason, and mostly the task instance that ended last.
    if ti is None or (context.get("reason") and not context.get("exception")):
        return "DAG run succeeded" if context.get("reason") == "success" else "DAG run failed"
    return _TITLES.get(str(getattr(ti, "state", "") or ""), "Task failed")


def _task_of(ti: Any) -> str | None:
    task_id = getattr(ti, "task_id", None)
    map_index = getattr(ti, "map_index", None)
    return task_id if map_index is None or map_index < 0 else f"{task_id} [{map_index}]"


def _masked(value: object) -> str:
    # Before anything is broken or cut out of the text: a secret is only known as a whole.
    return str(redact(str(value)))


send_chatwork_notification = ChatworkNotifier
