"""Every operation once, with arguments for a new sandbox, and its HTTP request by the API reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_chatwork.api import account, contacts, files, messages, read_marks, rooms, tasks
from airflow_provider_chatwork.api.call import Call, Upload
from airflow_provider_chatwork.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, SALES_ROOM, SATO, TAKAHASHI, YAMADA
from airflow_provider_chatwork.sandbox.store import Link

MODULES = (account, contacts, files, messages, read_marks, rooms, tasks)

REQUEST_ID = 300_000_101
REPORT = Upload('売上 "速報".csv', "日付,売上\n2026-01-01,120000\n".encode(), "text/csv")
LINK = {"code": "night-batch", "need_acceptance": False, "description": "夜間バッチ"}


def bots_message(sandbox: Sandbox) -> str:
    """A message of the bot."""
    own = (m for m in sandbox.messages(DATA_ROOM) if m["account"]["account_id"] == BOT and "dtext" not in m["body"])
    return str(next(own)["message_id"])


def open_task(sandbox: Sandbox) -> int:
    return int(next(task["task_id"] for task in sandbox.tasks(DATA_ROOM) if task["status"] == "open"))


def sales_file(sandbox: Sandbox) -> int:
    return int(sandbox.files(SALES_ROOM)[0]["file_id"])


def opens_link(sandbox: Sandbox) -> None:
    sandbox.store.rooms[DATA_ROOM].link = Link("old-code", True)


@dataclass(frozen=True, eq=False)
class Case:
    """One operation.

    ``kind``: ``read``; ``cursor``, a read that moves something; ``create``, a write that must not happen twice and
    leaves a trace; ``accept``, one that leaves a trace which does not say what the answer would have; ``replace``, a
    write that may be done again; ``settle``, one whose repetition Chatwork refuses.
    """

    operation: str
    kind: str
    method: str
    path: str
    build: Callable[[Sandbox], Call[Any]] = field(repr=False)
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] | None = None
    prepare: Callable[[Sandbox], None] = field(default=lambda sandbox: None, repr=False)
    variant: str = ""

    def __str__(self) -> str:
        return self.operation + self.variant

    def call(self, sandbox: Sandbox) -> Call[Any]:
        self.prepare(sandbox)
        return self.build(sandbox)

    @property
    def is_list(self) -> bool:
        return self.operation.startswith("list_") or self.operation == "get_my_tasks"


_ROOM = f"/rooms/{DATA_ROOM}"
_ADMINS = {"members_admin_ids": f"{BOT},{SATO}", "members_member_ids": str(YAMADA)}
_LINK_FORM = {"code": "night-batch", "need_acceptance": "0", "description": "夜間バッチ"}
_TO = f"{YAMADA},{TAKAHASHI}"

CASES = (
    Case("get_me", "read", "GET", "/me", lambda s: account.get_me()),
    Case("get_my_status", "read", "GET", "/my/status", lambda s: account.get_my_status()),
    Case(
        *("get_my_tasks", "read", "GET", "/my/tasks"),
        lambda s: account.get_my_tasks(assigned_by_account_id=SATO, status="open"),
        query={"assigned_by_account_id": str(SATO), "status": "open"},
    ),
    Case("list_contacts", "read", "GET", "/contacts", lambda s: contacts.list_contacts()),
    Case("list_rooms", "read", "GET", "/rooms", lambda s: rooms.list_rooms()),
    Case(
        *("create_room", "create", "POST", "/rooms"),
        lambda s: rooms.create_room(
            "夜間バッチ",
            [BOT],
            members_member_ids=[YAMADA, SATO],
            members_readonly_ids=TAKAHASHI,
            description="障害対応",
            icon_preset="magcup",
            link=True,
            link_code="night",
            link_need_acceptance=False,
        ),
        form={
            "name": "夜間バッチ",
            "members_admin_ids": str(BOT),
            "members_member_ids": f"{YAMADA},{SATO}",
            "members_readonly_ids": str(TAKAHASHI),
            "description": "障害対応",
            "icon_preset": "magcup",
            "link": "1",
            "link_code": "night",
            "link_need_acceptance": "0",
        },
    ),
    Case("get_room", "read", "GET", _ROOM, lambda s: rooms.get_room(DATA_ROOM)),
    Case(
        *("update_room", "replace", "PUT", _ROOM),
        lambda s: rooms.update_room(DATA_ROOM, name="基盤", description="", icon_preset="star"),
        form={"name": "基盤", "description": "", "icon_preset": "star"},
    ),
    Case(
        *("delete_room", "create", "DELETE", _ROOM),
        lambda s: rooms.delete_room(DATA_ROOM, "leave"),
        form={"action_type": "leave"},
    ),
    Case("list_members", "read", "GET", f"{_ROOM}/members", lambda s: rooms.list_members(DATA_ROOM)),
    Case(
        *("update_members", "replace", "PUT", f"{_ROOM}/members"),
        lambda s: rooms.update_members(DATA_ROOM, [BOT, SATO], members_member_ids=str(YAMADA)),
        form=_ADMINS,
    ),
    Case(
        *("list_messages", "read", "GET", f"{_ROOM}/messages"),
        lambda s: messages.list_messages(DATA_ROOM),
        query={"force": "1"},
    ),
    Case(
        *("list_messages", "cursor", "GET", f"{_ROOM}/messages"),
        lambda s: messages.list_messages(DATA_ROOM, force=False),
        query={"force": "0"},
        variant="-force0",
    ),
    Case(
        *("post_message", "create", "POST", f"{_ROOM}/messages"),
        lambda s: messages.post_message(DATA_ROOM, "夜間バッチが\n終わりました & =100%+", self_unread=True),
        form={"body": "夜間バッチが\n終わりました & =100%+", "self_unread": "1"},
    ),
    Case(
        *("mark_messages_read", "settle", "PUT", f"{_ROOM}/messages/read"),
        lambda s: read_marks.mark_messages_read(DATA_ROOM),
        form={},
    ),
    Case(
        *("mark_messages_unread", "settle", "PUT", f"{_ROOM}/messages/unread"),
        lambda s: read_marks.mark_messages_unread(DATA_ROOM, bots_message(s)),
        form={"message_id": "{message_id}"},
    ),
    Case(
        *("get_message", "read", "GET", f"{_ROOM}/messages/{{message_id}}"),
        lambda s: messages.get_message(DATA_ROOM, bots_message(s)),
    ),
    Case(
        *("edit_message", "replace", "PUT", f"{_ROOM}/messages/{{message_id}}"),
        lambda s: messages.edit_message(DATA_ROOM, bots_message(s), "訂正"),
        form={"body": "訂正"},
    ),
    Case(
        *("delete_message", "settle", "DELETE", f"{_ROOM}/messages/{{message_id}}"),
        lambda s: messages.delete_message(DATA_ROOM, bots_message(s)),
    ),
    Case(
        *("list_tasks", "read", "GET", f"{_ROOM}/tasks"),
        lambda s: tasks.list_tasks(DATA_ROOM, account_id=YAMADA, assigned_by_account_id=BOT, status="open"),
        query={"account_id": str(YAMADA), "assigned_by_account_id": str(BOT), "status": "open"},
    ),
    Case(
        *("create_task", "create", "POST", f"{_ROOM}/tasks"),
        lambda s: tasks.create_task(DATA_ROOM, "確認", [YAMADA, TAKAHASHI], limit=1_767_312_000, limit_type="date"),
        form={"body": "確認", "to_ids": _TO, "limit_type": "date", "limit": "1767312000"},
    ),
    Case(
        *("get_task", "read", "GET", f"{_ROOM}/tasks/{{task_id}}"),
        lambda s: tasks.get_task(DATA_ROOM, open_task(s)),
    ),
    Case(
        *("set_task_status", "settle", "PUT", f"{_ROOM}/tasks/{{task_id}}/status"),
        lambda s: tasks.set_task_status(DATA_ROOM, open_task(s), "done"),
        form={"body": "done"},
    ),
    Case(
        *("list_files", "read", "GET", f"/rooms/{SALES_ROOM}/files"),
        lambda s: files.list_files(SALES_ROOM, account_id=BOT),
        query={"account_id": str(BOT)},
    ),
    Case(
        *("upload_file", "create", "POST", f"{_ROOM}/files"),
        lambda s: files.upload_file(DATA_ROOM, REPORT, message="速報です"),
        form={"message": "速報です"},
    ),
    Case(
        *("get_file", "read", "GET", f"/rooms/{SALES_ROOM}/files/{{file_id}}"),
        lambda s: files.get_file(SALES_ROOM, sales_file(s)),
        query={"create_download_url": "0"},
    ),
    Case("get_invite_link", "read", "GET", f"{_ROOM}/link", lambda s: rooms.get_invite_link(DATA_ROOM)),
    Case(
        *("create_invite_link", "create", "POST", f"{_ROOM}/link"),
        lambda s: rooms.create_invite_link(DATA_ROOM, **LINK),
        form=_LINK_FORM,
    ),
    Case(
        *("update_invite_link", "replace", "PUT", f"{_ROOM}/link"),
        lambda s: rooms.update_invite_link(DATA_ROOM, **LINK),
        form=_LINK_FORM,
        prepare=opens_link,
    ),
    Case(
        *("delete_invite_link", "settle", "DELETE", f"{_ROOM}/link"),
        lambda s: rooms.delete_invite_link(DATA_ROOM),
        prepare=opens_link,
    ),
    Case("list_incoming_requests", "read", "GET", "/incoming_requests", lambda s: contacts.list_incoming_requests()),
    Case(
        *("accept_incoming_request", "accept", "PUT", f"/incoming_requests/{REQUEST_ID}"),
        lambda s: contacts.accept_incoming_request(REQUEST_ID),
        form={},
    ),
    Case(
        *("reject_incoming_request", "settle", "DELETE", f"/incoming_requests/{REQUEST_ID}"),
        lambda s: contacts.reject_incoming_request(REQUEST_ID),
    ),
)
