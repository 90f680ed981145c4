"""The hook: one Airflow connection, every operation of Chatwork.

Every DAG file that uses the provider imports this module, each time it is parsed. So what only a running task needs
(the clients, the transports, the reading of a connection) is imported by the methods that need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property, wraps
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkParameterError
from airflow_provider_chatwork.provider_info import CONNECTION_TYPE, HOOK_NAME

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_chatwork.api.call import Call, CallFlow
    from airflow_provider_chatwork.api.retry import RetryPolicy
    from airflow_provider_chatwork.api.settings import Settings
    from airflow_provider_chatwork.client import AsyncClient, Client
    from airflow_provider_chatwork.transports import HttpxTransport

P = ParamSpec("P")
T = TypeVar("T")

# How long what is merely nice to know may take: the test of a connection, the message a link leads to.
_HASTE = 10.0
# A download's address is good for 30 seconds, so each try asks for a new one.
_DOWNLOAD_TRIES = 3


class _Operation(Generic[P, T]):
    # Offers an operation of ``api/`` as a method of the hook that runs it, with the operation's own signature. It is
    # named by a function, so that its module is loaded when it is used and not when a DAG file is parsed.

    def __init__(self, operation: Callable[[], Callable[P, Call[T]]]) -> None:
        self._operation = operation

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._operation().__doc__

    @overload
    def __get__(self, hook: None, owner: type) -> Callable[P, Call[T]]: ...

    @overload
    def __get__(self, hook: ChatworkHook, owner: type) -> Callable[P, T]: ...

    def __get__(self, hook: ChatworkHook | None, owner: type) -> Callable[P, Call[T]] | Callable[P, T]:
        build = self._operation()
        if hook is None:
            return build

        @wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return hook.run(build(*args, **kwargs))

        return method


class ChatworkHook(BaseHook):
    """Chatwork, by way of an Airflow connection.

    Every operation of the API is a method (``hook.post_message(room_id, "hello")``); :meth:`run` and :meth:`arun`
    take the same operations as values from ``airflow_provider_chatwork.api``. All of them raise the classes of
    ``airflow_provider_chatwork.api.errors``.

    :param chatwork_conn_id: id of a connection of the type ``chatwork``.
    :param max_wait: seconds within which the waits of one call must end, where the connection's ``max_wait`` does
        not suit. https://developer.chatwork.com/docs/endpoints
    """

    conn_name_attr = "chatwork_conn_id"
    default_conn_name = "chatwork_default"
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    get_me = _Operation(lambda: api.account.get_me)
    get_my_status = _Operation(lambda: api.account.get_my_status)
    get_my_tasks = _Operation(lambda: api.account.get_my_tasks)
    list_contacts = _Operation(lambda: api.contacts.list_contacts)
    list_rooms = _Operation(lambda: api.rooms.list_rooms)
    create_room = _Operation(lambda: api.rooms.create_room)
    get_room = _Operation(lambda: api.rooms.get_room)
    update_room = _Operation(lambda: api.rooms.update_room)
    delete_room = _Operation(lambda: api.rooms.delete_room)
    list_members = _Operation(lambda: api.rooms.list_members)
    update_members = _Operation(lambda: api.rooms.update_members)
    list_messages = _Operation(lambda: api.messages.list_messages)
    post_message = _Operation(lambda: api.messages.post_message)
    mark_messages_read = _Operation(lambda: api.read_marks.mark_messages_read)
    mark_messages_unread = _Operation(lambda: api.read_marks.mark_messages_unread)
    get_message = _Operation(lambda: api.messages.get_message)
    edit_message = _Operation(lambda: api.messages.edit_message)
    delete_message = _Operation(lambda: api.messages.delete_message)
    list_tasks = _Operation(lambda: api.tasks.list_tasks)
    create_task = _Operation(lambda: api.tasks.create_task)
    get_task = _Operation(lambda: api.tasks.get_task)
    set_task_status = _Operation(lambda: api.tasks.set_task_status)
    list_files = _Operation(lambda: api.files.list_files)
    upload_file = _Operation(lambda: api.files.upload_file)
    get_file = _Operation(lambda: api.files.get_file)
    get_invite_link = _Operation(lambda: api.invite_links.get_invite_link)
    create_invite_link = _Operation(lambda: api.invite_links.create_invite_link)
    update_invite_link = _Operation(lambda: api.invite_links.update_invite_link)
    delete_invite_link = _Operation(lambda: api.invite_links.delete_invite_link)
    list_incoming_requests = _Operation(lambda: api.contacts.list_incoming_requests)
    accept_incoming_request = _Operation(lambda: api.contacts.accept_incoming_request)
    reject_incoming_request = _Operation(lambda: api.contacts.reject_incoming_request)

    def __init__(
        self, chatwork_conn_id: str = default_conn_name, *, max_wait: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.chatwork_conn_id = chatwork_conn_id
        self.max_wait = max_wait
        self._async: tuple[asyncio.AbstractEventLoop, AsyncClient, HttpxTransport] | None = None

    @cached_property
    def settings(self) -> Settings:
        """What the connection says, read and checked once."""
        from airflow.providers.common.compat.sdk import mask_secret

        from airflow_provider_chatwork.connection import settings_from

        connection = self.get_connection(self.chatwork_conn_id)
        settings = settings_from(connection, connection.extra_dejson)
        if settings.webhook_token is not None:
            # Airflow masks what is in the extra by itself, but 3.1 does not.
            mask_secret(settings.webhook_token)
        return settings

    @cached_property
    def client(self) -> Client:
        """The client behind :meth:`run`; it keeps its connections."""
        from airflow_provider_chatwork.client import Client
        from airflow_provider_chatwork.transports import RequestsTransport

        return Client(self.settings, RequestsTransport(self.settings.proxy), policy=self._policy(self.settings))

    @cached_property
    def quick_client(self) -> Client:
        """A client for reads that are not worth a long wait: two tries, and ten seconds at the most between them."""
        from airflow_provider_chatwork.api.retry import RetryPolicy
        from airflow_provider_chatwork.client import Client
        from airflow_provider_chatwork.transports import RequestsTransport

        policy = RetryPolicy(max_wait=min(self.settings.max_wait, _HASTE), tries=2)
        return Client(self.settings, RequestsTransport(self.settings.proxy), policy=policy)

    def reload_connection(self) -> bool:
        """Read the connection anew, and return whether it has another token by now.

        For who waits for days: whoever re-issues a token, which ends the one before, puts the new one into the
        connection. What comes next is sent with it, but for what :meth:`arun` sends.
        """
        token = self.settings.token
        for name in ("settings", "client", "quick_client"):
            self.__dict__.pop(name, None)
        is_another = self.settings.token != token
        if is_another:
            self.log.info("The connection %s has another token by now", self.chatwork_conn_id)
        return is_another

    def get_conn(self) -> Client:
        """Return the client, as hooks do."""
        return self.client

    def run(self, call: Call[T]) -> T:
        """Run an operation and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``.
        """
        return self.client.run(call)

    def run_flow(self, flow: CallFlow[T]) -> T:
        """Run the calls that ``flow`` yields one after the other, and return its value."""
        return self.client.run_flow(flow)

    async def arun(self, call: Call[T]) -> T:
        """Run an operation in an event loop, without blocking it, and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``.
        """
        return await (await self._async_client()).run(call)

    async def arun_flow(self, flow: CallFlow[T]) -> T:
        """Run the calls of ``flow`` in an event loop, and return its value."""
        return await (await self._async_client()).run_flow(flow)

    async def aclose(self) -> None:
        """Close the connections that :meth:`arun` keeps."""
        if self._async is not None:
            _, _, transport = self._async
            self._async = None
            await transport.close()

    async def _async_client(self) -> AsyncClient:
        from airflow_provider_chatwork.client import AsyncClient
        from airflow_provider_chatwork.transports import HttpxTransport

        loop = asyncio.get_running_loop()
        if self._async is None or self._async[0] is not loop:
            settings = await self.asettings()
            # Another task of the loop may have been faster; a second client would never be closed.
            if self._async is None or self._async[0] is not loop:
                transport = HttpxTransport(settings.proxy)
                self._async = (loop, AsyncClient(settings, transport, policy=self._policy(settings)), transport)
        return self._async[1]

    async def asettings(self) -> Settings:
        """:attr:`settings`, read in an event loop without blocking it."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        from airflow_provider_chatwork.connection import settings_from

        connection: Connection = await get_async_connection(self.chatwork_conn_id, hook=self)
        return settings_from(connection, await get_async_extra_dejson(connection))

    def _policy(self, settings: Settings) -> RetryPolicy:
        from airflow_provider_chatwork.api.retry import RetryPolicy

        return RetryPolicy(max_wait=settings.max_wait if self.max_wait is None else self.max_wait)

    def room_id_or_default(self, room_id: int | str | None) -> int | str:
        """``room_id`` where one is given, and the connection's ``default_room_id`` otherwise.

        :raises ChatworkParameterError: where there is neither.
        """
        chosen = api.validation.none_if_blank(room_id)
        if chosen is None:
            chosen = self.settings.default_room_id
        if chosen is None:
            raise ChatworkParameterError(
                "room_id", room_id, f"give a room, or set default_room_id in the connection {self.chatwork_conn_id}"
            )
        return chosen

    def download_file(self, room_id: int | str, file_id: int | str, destination: str | PathLike[str]) -> str:
        """Download a file of a room and return where it was written.

        :param destination: a file, or a folder (one that exists, or a name ending in ``/``), where the file gets the
            name it has in Chatwork. A path of this machine or the URL of an object storage. What is there is replaced,
            but only by a whole file; a part is never left behind.
        :raises ChatworkNetworkError: where the whole file could not be read in three tries.
        """
        from airflow_provider_chatwork.transports import fetch
        from airflow_provider_chatwork.utils import file_storage

        for attempt in range(1, _DOWNLOAD_TRIES + 1):
            file = self.get_file(room_id, file_id, create_download_url=True)
            chunks = fetch(file.get("download_url", ""), proxy=self.settings.proxy)
            try:
                return file_storage.save(chunks, destination, name=file["filename"], size=file["filesize"])
            except ChatworkNetworkError:
                if attempt == _DOWNLOAD_TRIES:
                    raise
        raise AssertionError("the loop returns or raises")

    def test_connection(self) -> tuple[bool, str]:
        """Ask Chatwork whose token this is. Changes nothing, sends nothing to anybody, and never raises."""
        try:
            me = self.quick_client.run(api.account.get_me())
        except Exception as error:
            return False, str(error) or type(error).__name__
        budget = self.quick_client.rate_limit
        left = f"; {budget.remaining} of {budget.limit} requests left in this window" if budget else ""
        return True, f"Connected as {me.get('name', '?')} (account {me['account_id']}){left}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Draw the connection form of Airflow 2.11 to 3.1; later ones read the provider info."""
        from airflow_provider_chatwork.connection_form import connection_form_widgets

        return connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Hide, rename and explain the form's standard fields in Airflow 2.11 to 3.1."""
        from airflow_provider_chatwork.connection_form import ui_field_behaviour

        return ui_field_behaviour()
