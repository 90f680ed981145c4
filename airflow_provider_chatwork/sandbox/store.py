"""The data of the sandbox: accounts, rooms and their content, without rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: The first id of each kind. Message ids have 19 digits, as on Chatwork, and odd differences: a client that reads them
#: as floating point numbers gets wrong ids here as well.
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
    """The account of a person or a bot; Chatwork has no difference."""

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
    """A message; ``system`` is true for system messages (task added, file uploaded, member joined)."""

    message_id: int
    account_id: int
    body: str
    send_time: int
    update_time: int = 0
    system: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Task:
    """A task of one assignee. ``limit_time`` is in Unix seconds, 0 for no deadline."""

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
    """An uploaded file with its content."""

    file_id: int
    account_id: int
    message_id: int
    filename: str
    content: bytes
    content_type: str
    upload_time: int


@dataclass(slots=True)
class Link:
    """The invite link of a room."""

    code: str
    need_acceptance: bool = True
    description: str = ""


@dataclass(slots=True)
class ContactRequest:
    """A contact request of ``account_id`` to ``to_account_id``."""

    request_id: int
    account_id: int
    to_account_id: int
    message: str


@dataclass(slots=True)
class Room:
    """A room with its content.

    ``roles`` has the role of each member, ``unread`` the ids of the unread messages of each account. ``seen`` is the
    cursor of ``force=0``: the newest message id that each account has got.
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
        """Return the other member of a direct chat; in My chat, the account itself."""
        return next((member for member in self.roles if member != account_id), account_id)


@dataclass(slots=True)
class Store:
    """All data of a sandbox. Every visible change increases ``revision``."""

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
        """Increase ``revision``."""
        self.revision += 1

    def my_chat(self, account_id: int) -> int:
        """Return the room id of an account's My chat, 0 if it has none."""
        return next((room.room_id for room in self.rooms_of(account_id) if room.type == "my"), 0)

    def rooms_of(self, account_id: int) -> Iterable[Room]:
        """Return the rooms of an account."""
        return [room for room in self.rooms.values() if account_id in room.roles]

    def possible_members(self, account_id: int) -> set[int]:
        """Return the accounts that an account may add to a room: itself, its contacts and its colleagues."""
        own = self.accounts[account_id].organization_id
        colleagues = {other.account_id for other in self.accounts.values() if own and other.organization_id == own}
        return {account_id, *self.contacts.get(account_id, {}), *colleagues}
