"""The account of the token. https://developer.chatwork.com/reference/get-me"""

from __future__ import annotations

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import Call, Request
from airflow_provider_chatwork.api.http import parse_list, parse_object


def get_me() -> Call[models.Me]:
    """Read the account of the token. Changes nothing."""
    return Call("get_me", Request("GET", "/me"), parse_object(models.Me))


def get_my_status() -> Call[models.MyStatus]:
    """The number of unread messages and open tasks in all rooms."""
    return Call("get_my_status", Request("GET", "/my/status"), parse_object(models.MyStatus))


def get_my_tasks(
    *, assigned_by_account_id: int | str | None = None, status: str | None = None
) -> Call[list[models.MyTask]]:
    """The tasks assigned to the account of the token, at most 100; there are no pages.

    :param assigned_by_account_id: only tasks that this account assigned.
    :param status: ``open`` (Chatwork's default) or ``done``.
    """
    query = {}
    if assigned_by_account_id is not None:
        query["assigned_by_account_id"] = str(validation.identifier("assigned_by_account_id", assigned_by_account_id))
    if status is not None:
        query["status"] = validation.choice("status", status, validation.TASK_STATUSES)
    return Call("get_my_tasks", Request("GET", "/my/tasks", query=query), parse_list(models.MyTask))
