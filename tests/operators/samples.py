"""One example of each operator that succeeds in the seeded company."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.files import ChatworkDownloadFileOperator, ChatworkUploadFileOperator
from airflow_provider_chatwork.operators.messages import (
    ChatworkDeleteMessageOperator,
    ChatworkEditMessageOperator,
    ChatworkPostMessageOperator,
)
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator, ChatworkSetTaskStatusOperator
from airflow_provider_chatwork.provider_info import get_provider_info
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox

#: Every operator of the provider.
OPERATORS: list[type[ChatworkOperator]] = sorted(
    {
        value
        for entry in get_provider_info()["operators"]
        for module in entry["python-modules"]
        for value in vars(import_module(module)).values()
        if inspect.isclass(value) and issubclass(value, ChatworkOperator) and value.__module__ == module
    },
    key=lambda operator: operator.__name__,
)
#: The operators that create something, with their operation.
CREATING: dict[type[ChatworkOperator], str] = {
    ChatworkPostMessageOperator: "post_message",
    ChatworkCreateTaskOperator: "create_task",
    ChatworkUploadFileOperator: "upload_file",
}


@dataclass
class Sample:
    """Arguments of an operator without its room, and its main operation."""

    arguments: dict[str, Any]
    operation: str


def sample(operator: type[ChatworkOperator], sandbox: ServedSandbox, folder: Path) -> Sample:
    """An example of an operator in the room ``DATA_ROOM``."""
    room = company.DATA_ROOM
    if operator is ChatworkPostMessageOperator:
        return Sample({"body": "夜間バッチ完了"}, "post_message")
    if operator is ChatworkEditMessageOperator:
        message_id = sandbox.post_message(room, company.BOT, "before")
        return Sample({"message_id": message_id, "body": "after"}, "edit_message")
    if operator is ChatworkDeleteMessageOperator:
        return Sample({"message_id": sandbox.post_message(room, company.BOT, "before")}, "delete_message")
    if operator is ChatworkCreateTaskOperator:
        return Sample({"body": "確認", "to_ids": [company.YAMADA, company.SATO]}, "create_task")
    if operator is ChatworkSetTaskStatusOperator:
        [task_id] = sandbox.create_task(room, company.BOT, [company.BOT], "確認")
        return Sample({"chatwork_task_id": task_id}, "set_task_status")
    if operator is ChatworkUploadFileOperator:
        return Sample({"content": "日付,売上\n", "filename": "売上.csv"}, "upload_file")
    if operator is ChatworkDownloadFileOperator:
        file_id = sandbox.upload_file(room, company.SATO, Upload("指標.csv", b"1,2\n"))
        return Sample({"file_id": file_id, "destination": str(folder / "指標.csv")}, "get_file")
    if operator is ChatworkApprovalOperator:
        # A timeout of 0, so that it does not wait for answers.
        arguments = {"question": "公開してよいですか", "approvers": company.SATO, "timeout": 0, "on_timeout": "承認"}
        return Sample(arguments, "post_message")
    raise LookupError(f"there is no sample of {operator.__name__} yet")
