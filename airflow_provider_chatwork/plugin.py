"""What Airflow loads by itself, in every one of its processes.

Hence nothing is imported here but the base class and pure functions, unless the configuration asks for more.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_chatwork.api import notation, urls


def _listeners() -> list[Any]:
    # Who has not asked for it does not even load it.
    if not conf.getboolean("chatwork", "alert_failed_runs", fallback=False):
        return []
    from airflow_provider_chatwork.listener import FailedRuns

    return [FailedRuns()]


class ChatworkPlugin(AirflowPlugin):
    """The message notation in templates: ``{{ macros.chatwork.to(123, "山田さん") }}``."""

    name = "chatwork"
    macros = [  # noqa: RUF012 - declared by the base class, as no class variable
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
