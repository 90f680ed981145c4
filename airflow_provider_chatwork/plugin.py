"""The Airflow plugin: macros for templates and the listener for failed runs.

Every Airflow process loads it, so it imports little: the listener only if the configuration enables it.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_chatwork.api import notation, urls


def _listeners() -> list[Any]:
    if not conf.getboolean("chatwork", "alert_failed_runs", fallback=False):
        return []
    from airflow_provider_chatwork.listener import FailedRunListener

    return [FailedRunListener()]


class ChatworkPlugin(AirflowPlugin):
    """Chatwork's notation in templates: ``{{ macros.chatwork.to(123, "山田さん") }}``."""

    name = "chatwork"
    macros = [  # noqa: RUF012 - the base class does not declare it as a ClassVar
        notation.code,
        notation.deleted,
        notation.download,
        notation.dtext,
        notation.fit,
        notation.hr,
        notation.info,
        notation.picon,
        notation.piconname,
        notation.pname,
        notation.preview,
        notation.quote,
        notation.reply,
        notation.safe,
        notation.task,
        notation.title,
        notation.to,
        notation.to_all,
        notation.url,
        urls.message_url,
        urls.room_url,
    ]
    listeners = _listeners()
