"""What an alert needs of Airflow besides the context: configuration, Variables, secrets, links and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import conf, redact
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

if TYPE_CHECKING:
    from airflow_provider_chatwork.connection import Settings

# The positional arguments of an SLA callback in Airflow 2.
_SLA_ARGUMENTS = ("dag", "task_list", "blocking_task_list", "slas", "blocking_tis")


def context_from_arguments(arguments: Sequence[Any]) -> Any:
    """Return the context of a callback, from its positional arguments."""
    return arguments[0] if len(arguments) == 1 else dict(zip(_SLA_ARGUMENTS, arguments, strict=False))


def as_mapping(context: Any) -> Mapping[str, Any]:
    """Return the context; an empty one if it is not a mapping."""
    return context if isinstance(context, Mapping) else {}


def mask_secrets(value: object) -> str:
    """Return a value as text with secrets masked. Cut a text only afterwards: parts of secrets are not masked."""
    return str(redact(str(value)))


def describe(context: Any) -> str:
    """Return a short description of the event for the log. Never raises."""
    from airflow_provider_chatwork.alerts.event import AlertEvent

    try:
        return mask_secrets(AlertEvent.from_context(as_mapping(context)).title)
    # Objects in a context may raise anything.
    except Exception:
        return "an event that cannot be read"


def safe_text(value: object) -> str:
    """Return a value as text with secrets masked. Never raises."""
    try:
        return mask_secrets(value)
    except Exception:
        return f"{type(value).__name__} without a readable text"


def load_settings(conn_id: str) -> Settings:
    """Load the settings of a connection."""
    return ChatworkHook(conn_id).settings


def load_variable(name: str) -> Any:
    """Load a Variable; ``None`` if there is none."""
    from airflow.providers.common.compat.sdk import Variable

    return Variable.get(name, None)


def alerts_setting() -> object:
    """Return ``[chatwork] alerts`` of Airflow's configuration."""
    return conf.get("chatwork", "alerts", fallback="on")


def ui_base_url() -> str | None:
    """Return the address of Airflow's UI without a slash at its end; ``None`` if it is not configured."""
    base: str | None = conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback=None)
    return base.rstrip("/") if base else None


def run_url(base_url: str | None, dag_id: str | None, run_id: str | None) -> str | None:
    """Return the address of a run in Airflow's UI."""
    if base_url is None or dag_id is None or run_id is None:
        return None
    dag, run = quote(dag_id, safe=""), quote(run_id, safe="")
    path = f"runs/{run}" if AIRFLOW_V_3_0_PLUS else f"grid?dag_run_id={run}"
    return f"{base_url}/dags/{dag}/{path}"


def count(metric: str) -> None:
    """Increment the metric ``chatwork.alerts.<metric>``. Never raises."""
    from airflow.providers.common.compat.sdk import Stats

    with suppress(Exception):
        Stats.incr(f"chatwork.alerts.{metric}")
