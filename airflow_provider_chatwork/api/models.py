"""The types of Chatwork's answers: plain JSON, so each of them can be an XCom.

Times are Unix seconds; an ``update_time`` of 0 means never edited. Chatwork may add fields, and new values of ``role``,
``type``, ``status`` and ``limit_type``. https://developer.chatwork.com/reference
"""

from __future__ import annotations

from typing import Annotated, NotRequired, TypeAlias, TypedDict

from airflow_provider_chatwork.api.http import REQUIRED

#: The id of an account, room, task, file or contact request.
Id: TypeAlias = Annotated[int, REQUIRED]
#: A number of items.
Count: TypeAlias = Annotated[int, REQUIRED]
#: The id of a message: text, because a float cannot hold it.
MessageId: TypeAlias = Annotated[str, REQUIRED]


class Account(TypedDict):
    """An account, in a message, task or file."""

    account_id: Id
    name: str
    avatar_image_url: str


class Me(TypedDict):
    """The account of the token. Contains personal data: do not log it."""

    account_id: Id
    room_id: int
    name: str
    chatwork_id: str
    organization_id: int
    organization_name: str
    department: str
    title: str
    url: str
    introduction: str
    mail: str
    tel_organization: str
    tel_extension: str
    tel_mobile: str
    skype: str
    facebook: str
    twitter: str
    avatar_image_url: str
    login_mail: NotRequired[str]


class MyStatus(TypedDict):
    """Unread messages and open tasks. ``*_room_num`` count rooms, the others count messages and tasks."""

    unread_room_num: Count
    mention_room_num: Count
    mytask_room_num: Count
    unread_num: Count
    mention_num: Count
    mytask_num: Count


class RoomOfTask(TypedDict):
    """The room of a :class:`MyTask`."""

    room_id: Id
    name: str
    icon_path: str


class MyTask(TypedDict):
    """A task that is assigned to the account of the token."""

    task_id: Id
    room: Annotated[RoomOfTask, REQUIRED]
    assigned_by_account: Account
    message_id: MessageId
    body: str
    limit_time: int
    status: Annotated[str, REQUIRED]
    limit_type: str


class Contact(TypedDict):
    """A contact. ``room_id`` is the direct chat with them."""

    account_id: Id
    room_id: Id
    name: str
    chatwork_id: str
    organization_id: int
    organization_name: str
    department: str
    avatar_image_url: str


class Room(TypedDict):
    """A room. ``type``: my, direct, group. ``role`` of the account of the token: admin, member, readonly."""

    room_id: Id
    name: str
    type: str
    role: str
    sticky: bool
    unread_num: int
    mention_num: int
    mytask_num: int
    message_num: int
    file_num: int
    task_num: int
    icon_path: str
    last_update_time: int


class RoomWithDescription(Room):
    """A room as ``get_room`` returns it."""

    description: str


class ChangedRoom(TypedDict):
    """The room that was created or changed."""

    room_id: Id


class Member(TypedDict):
    """A member of a room. ``role``: admin, member, readonly."""

    account_id: Id
    role: str
    name: str
    chatwork_id: str
    organization_id: int
    organization_name: str
    department: str
    avatar_image_url: str


class MemberRoles(TypedDict):
    """The account ids of a room, by role."""

    admin: Annotated[list[int], REQUIRED]
    member: Annotated[list[int], REQUIRED]
    readonly: Annotated[list[int], REQUIRED]


class Sent(TypedDict):
    """The fields of a message that give its position in the room."""

    message_id: str
    send_time: int


class Message(TypedDict):
    """A message."""

    message_id: MessageId
    account: Annotated[Account, REQUIRED]
    body: Annotated[str, REQUIRED]
    send_time: Annotated[int, REQUIRED]
    update_time: int


class ChangedMessage(TypedDict):
    """The message that was posted, edited or deleted."""

    message_id: MessageId


class Unread(TypedDict):
    """The unread messages of a room."""

    unread_num: Count
    mention_num: Count


class Task(TypedDict):
    """A task. ``status``: open, done. ``limit_type``: none, date, time. ``account`` is the assignee."""

    task_id: Id
    account: Annotated[Account, REQUIRED]
    assigned_by_account: Account
    message_id: MessageId
    body: str
    limit_time: int
    status: Annotated[str, REQUIRED]
    limit_type: str


class CreatedTasks(TypedDict):
    """The tasks that were created, one for each assignee."""

    task_ids: Annotated[list[int], REQUIRED]


class ChangedTask(TypedDict):
    """The task whose status was set."""

    task_id: Id


class File(TypedDict):
    """A file. ``filesize`` is in bytes; ``download_url`` is valid for 30 seconds."""

    file_id: Id
    account: Account
    message_id: MessageId
    filename: Annotated[str, REQUIRED]
    filesize: Annotated[int, REQUIRED]
    upload_time: int
    download_url: NotRequired[str]


class UploadedFile(TypedDict):
    """The file that was uploaded."""

    file_id: Id


class InviteLink(TypedDict):
    """A room's invite link. If ``public`` is false, there is no link and the other fields are missing."""

    public: Annotated[bool, REQUIRED]
    url: NotRequired[str]
    need_acceptance: NotRequired[bool]
    description: NotRequired[str]


class IncomingRequest(TypedDict):
    """A contact request of another account."""

    request_id: Id
    account_id: int
    message: str
    name: str
    chatwork_id: str
    organization_id: int
    organization_name: str
    department: str
    avatar_image_url: str
