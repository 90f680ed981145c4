"""Waiting for people in an event loop: all waits on one room of one account share one poll.

::

    async with watch_tasks(settings, room_id, task_ids) as wait:
        while await wait.news(until=deadline):
            if wait.is_complete:
                ...

``accounts`` keeps what is shared, ``account`` looks in turn and within the budget, ``subject`` is what waits share of
one room, ``tasks`` and ``messages`` are the two kinds of it.
"""

from __future__ import annotations

from airflow_provider_chatwork.waiting.poller.message_poller import MessagesWait, watch_messages
from airflow_provider_chatwork.waiting.poller.task_poller import TasksWait, watch_tasks

__all__ = ["MessagesWait", "TasksWait", "watch_messages", "watch_tasks"]
