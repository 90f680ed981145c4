"""What the sandbox remembers: people, rooms and what is in them, as plain data without rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Where the ids of each kind start. Message ids have 19 digits and are odd multiples apart, so that a client that
#: takes them for floating point numbers gets wrong ones here as well.
FIRST_IDS = {
    "account": 1_001_100,
    "room": 400_001_000,
    "task": 600_001_000,
    "file": 900_001_000,
    "request": 300_001_000,
    "message": 1_900_000_000_000_000_123,
}
MESSAGE_ID_STEP = 4_294_967_311

DELETED = "[deleted]"


@dataclass(slots=True)
class Account:
    """A person (or a bot, which Chatwork does not tell apart)."""

    account_id: int
    name: str
    chatwork_id: str = ""
    organization_id: int = 0
    organization_name: str = ""
    department: str = ""
    title: str = ""
    url: str = ""
    introduction: str = ""
    mail: str = ""
    tel_organization: str = ""
    tel_extension: str = ""
    tel_mobile: str = ""
    skype: str = ""
    facebook: str = ""
    twitter: str = ""
    login_mail: str = ""


@dataclass(slots=True)
class Message:
    """A message; ``system`` marks those Chatwork writes itself (task added, file uploaded, member joined)."""

    message_id: int
    account_id: int
    body: str
    send_time: int
    update_time: int = 0
    system: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Task:
    """A task of one assignee. ``limit_time`` is in Unix seconds, 0 without a deadline."""

    task_id: int
    account_id: int
    assigned_by_account_id: int
    message_id: int
    body: str
    limit_time: int
    limit_type: str
    created: float
    status: str = "open"


@dataclass(slots=True)
class StoredFile:
    """An uploaded file with its bytes."""

    file_id: int
    account_id: int
    message_id: int
    filename: str
    content: bytes
    content_type: str
    upload_time: int


@dataclass(slots=True)
class Link:
    """An invite link that is switched on."""

    code: str
    need_acceptance: bool = True
    description: str = ""


@dataclass(slots=True)
class ContactRequest:
    """Somebody asks ``to_account_id`` to be a contact."""

    request_id: int
    account_id: int
    to_account_id: int
    message: str


@dataclass(slots=True)
class Room:
    """A chat with everything in it.

    ``roles`` tells who is in it and as what. ``unread`` holds per account the ids of unread messages. ``seen`` is the
    cursor of ``force=0``: per account the newest message id handed out.
    """

    room_id: int
    name: str
    type: str
    roles: dict[int, str]
    description: str = ""
    icon: str = "group"
    last_update_time: int = 0
    link: Link | None = None
    messages: dict[int, Message] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    files: dict[int, StoredFile] = field(default_factory=dict)
    unread: dict[int, set[int]] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    sticky: set[int] = field(default_factory=set)

    def other(self, account_id: int) -> int:
        """Return the other person of a direct chat (the same one in My chat)."""
        return next((member for member in self.roles if member != account_id), account_id)


@dataclass(slots=True)
class Store:
    """Everything. ``revision`` grows with every change that anybody could see."""

    accounts: dict[int, Account] = field(default_factory=dict)
    rooms: dict[int, Room] = field(default_factory=dict)
    contacts: dict[int, dict[int, int]] = field(default_factory=dict)
    requests: dict[int, ContactRequest] = field(default_factory=dict)
    last_ids: dict[str, int] = field(default_factory=dict)
    revision: int = 0

    def new_id(self, kind: str) -> int:
        """Return the next unused id of a kind in :data:`FIRST_IDS`."""
        step = MESSAGE_ID_STEP if kind == "message" else 1
        self.last_ids[kind] = self.last_ids[kind] + step if kind in self.last_ids else FIRST_IDS[kind]
        return self.last_ids[kind]

    def touch(self) -> None:
        """Note that something changed."""
        self.revision += 1

    def my_chat(self, account_id: int) -> int:
        """Return the id of an account's own chat, 0 when it has none."""
        mine = (room.room_id for room in self.rooms.values() if room.type == "my" and account_id in room.roles)
        return next(mine, 0)

    def rooms_of(self, account_id: int) -> Iterable[Room]:
        """Return the rooms an account is in."""
        return [room for room in self.rooms.values() if account_id in room.roles]

    def reachable(self, account_id: int) -> set[int]:
        """Return whom an account may put into a room: itself, its contacts, its colleagues."""
        home = self.accounts[account_id].organization_id
        colleagues = {other.account_id for other in self.accounts.values() if home and other.organization_id == home}
        return {account_id, *self.contacts.get(account_id, {}), *colleagues}
