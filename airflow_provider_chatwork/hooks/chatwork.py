"""The hook: all operations of Chatwork with the settings of an Airflow connection.

Every DAG file that uses the provider imports this module when it is parsed. So the methods import what only a running
task needs: the clients, the transports, the parser of connections.
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
    from airflow_provider_chatwork.api.call import Call, CallFlow
    from airflow_provider_chatwork.client import AsyncClient, Client
    from airflow_provider_chatwork.connection import Settings
    from airflow_provider_chatwork.transports import HttpxTransport

P = ParamSpec("P")
T = TypeVar("T")

# The ``max_wait`` of calls that are not essential: the test of a connection, the message id for a link.
_QUICK_MAX_WAIT = 10.0
# A download URL is valid for 30 seconds, so each try gets a new one.
_DOWNLOAD_TRIES = 3


class _Operation(Generic[P, T]):
    # Makes an operation of ``api/`` a method of the hook, with the signature of the operation. The operation is given
    # as a function, so that its module is imported on first use and not when a DAG file is parsed.

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
    """Run Chatwork's operations with an Airflow connection.

    Every operation of the API is a method (``hook.post_message(room_id, "hello")``). :meth:`run` and :meth:`arun` take
    the same operations as values from ``airflow_provider_chatwork.api``. All of them raise the errors of
    ``airflow_provider_chatwork.api.errors``.

    :param chatwork_conn_id: id of a connection of the type ``chatwork``.
    :param max_wait: seconds within which the waits of one call must end; replaces the ``max_wait`` of the connection.
        https://developer.chatwork.com/docs/endpoints
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
    get_invite_link = _Operation(lambda: api.rooms.get_invite_link)
    create_invite_link = _Operation(lambda: api.rooms.create_invite_link)
    update_invite_link = _Operation(lambda: api.rooms.update_invite_link)
    delete_invite_link = _Operation(lambda: api.rooms.delete_invite_link)
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
        """The settings of the connection, read and checked once."""
        from airflow_provider_chatwork.connection import load_settings

        return load_settings(self.chatwork_conn_id, self, max_wait=self.max_wait)

    @cached_property
    def client(self) -> Client:
        """The client of :meth:`run`. It keeps its connections open."""
        from airflow_provider_chatwork.client import Client
        from airflow_provider_chatwork.transports import RequestsTransport

        return Client(self.settings, RequestsTransport(self.settings.proxy))

    @cached_property
    def quick_client(self) -> Client:
        """A client for reads that are not worth a long wait: two tries within ten seconds."""
        from airflow_provider_chatwork.api.retry import RetryPolicy
        from airflow_provider_chatwork.client import Client
        from airflow_provider_chatwork.transports import RequestsTransport

        policy = RetryPolicy(max_wait=min(self.settings.max_wait, _QUICK_MAX_WAIT), tries=2)
        return Client(self.settings, RequestsTransport(self.settings.proxy), policy=policy)

    def reload_connection(self) -> bool:
        """Read the connection again, and return whether its token has changed.

        For waits of days: re-issuing a token ends the old one, and somebody enters the new one in the connection.
        :meth:`run` uses the new settings from then on, :meth:`arun` does not.
        """
        token = self.settings.token
        for name in ("settings", "client", "quick_client"):
            self.__dict__.pop(name, None)
        has_changed = self.settings.token != token
        if has_changed:
            self.log.info("Connection %s has a new API token", self.chatwork_conn_id)
        return has_changed

    def get_conn(self) -> Client:
        """Return the client, as hooks do."""
        return self.client

    def run(self, call: Call[T]) -> T:
        """Run an operation and return its result.

        :raises ChatworkError: see ``api/errors.py``.
        """
        return self.client.run(call)

    def run_flow(self, flow: CallFlow[T]) -> T:
        """Run the calls that ``flow`` yields one after the other, and return its value."""
        return self.client.run_flow(flow)

    async def arun(self, call: Call[T]) -> T:
        """Run an operation in an event loop, without blocking it, and return its result.

        :raises ChatworkError: see ``api/errors.py``.
        """
        return await (await self._async_client()).run(call)

    async def arun_flow(self, flow: CallFlow[T]) -> T:
        """Run the calls of ``flow`` in an event loop, and return its value."""
        return await (await self._async_client()).run_flow(flow)

    async def aclose(self) -> None:
        """Close the connections of :meth:`arun`."""
        if self._async is not None:
            _, _, transport = self._async
            self._async = None
            await transport.close()

    async def _async_client(self) -> AsyncClient:
        from airflow_provider_chatwork.client import AsyncClient
        from airflow_provider_chatwork.connection import read_settings
        from airflow_provider_chatwork.transports import HttpxTransport

        loop = asyncio.get_running_loop()
        if self._async is None or self._async[0] is not loop:
            settings = await read_settings(self.chatwork_conn_id, self, max_wait=self.max_wait)
            # Another task may have created a client meanwhile; a second one would never be closed.
            if self._async is None or self._async[0] is not loop:
                transport = HttpxTransport(settings.proxy)
                self._async = (loop, AsyncClient(settings, transport), transport)
        return self._async[1]

    def room_id_or_default(self, room_id: int | str | None) -> int | str:
        """Return ``room_id`` if it is given, else the ``default_room_id`` of the connection.

        :raises ChatworkParameterError: if there is neither.
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
        """Download a file of a room and return the path it was written to.

        :param destination: a file, or a folder (one that exists, or a name ending in ``/``), in which the file gets its
            name in Chatwork. A path of this machine or the URL of an object storage. An existing file is replaced only
            by a complete file.
        :raises ChatworkNetworkError: if three tries did not read the whole file.
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
        """Read the account of the token. Changes nothing in Chatwork, and never raises."""
        try:
            me = self.quick_client.run(api.account.get_me())
        except Exception as error:
            return False, str(error) or type(error).__name__
        limit = self.quick_client.rate_limit
        left = f"; {limit.remaining} of {limit.limit} requests left in this window" if limit else ""
        return True, f"Connected as {me.get('name', '?')} (account {me['account_id']}){left}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The fields of the connection form in Airflow 2.11 to 3.1. Later versions use the provider info."""
        from airflow_provider_chatwork.connection_form import connection_form_widgets

        return connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The behaviour of the standard fields of the form in Airflow 2.11 to 3.1."""
        from airflow_provider_chatwork.connection_form import ui_field_behaviour

        return ui_field_behaviour()
