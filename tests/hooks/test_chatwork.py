from __future__ import annotations

import asyncio
import inspect
import json

import pytest

from airflow_provider_chatwork.api import messages
from airflow_provider_chatwork.api.call import Call, Upload
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkNetworkError, ChatworkParameterError
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_helpers import connect

OPERATIONS = [name for name, value in vars(ChatworkHook).items() if type(value).__name__ == "_Operation"]


class TestOperations:
    def test_are_all_32(self):
        assert len(OPERATIONS) == 32

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_have_the_name_and_the_signature_of_the_function_in_api(self, name):
        build = getattr(ChatworkHook, name)
        method = getattr(ChatworkHook(), name)
        assert build.__name__ == name == method.__name__
        assert inspect.signature(method).parameters == inspect.signature(build).parameters
        assert method.__doc__ == build.__doc__

    def test_return_a_call_on_the_class_and_run_it_on_a_hook(self, chatwork_sandbox):
        call = ChatworkHook.post_message(company.DATA_ROOM, "hello")
        assert isinstance(call, Call)
        assert not chatwork_sandbox.requests
        hook = ChatworkHook()
        posted = hook.post_message(company.DATA_ROOM, "hello")
        assert hook.get_message(company.DATA_ROOM, posted["message_id"])["body"] == "hello"

    def test_find_wrong_arguments_before_anything_is_sent(self, chatwork_sandbox):
        with pytest.raises(ChatworkParameterError, match="body"):
            ChatworkHook().post_message(company.DATA_ROOM, "")
        assert not chatwork_sandbox.requests


class TestRun:
    def test_sends_a_call_synchronously_and_asynchronously(self, chatwork_sandbox):
        hook = ChatworkHook()
        hook.run(messages.post_message(company.DATA_ROOM, "sync"))

        async def send() -> None:
            await hook.arun(messages.post_message(company.DATA_ROOM, "async"))
            await hook.aclose()

        asyncio.run(send())
        assert [message["body"] for message in chatwork_sandbox.messages(company.DATA_ROOM)[-2:]] == ["sync", "async"]

    def test_works_in_several_event_loops_in_turn(self, chatwork_sandbox):
        hook = ChatworkHook()

        async def ask() -> int:
            try:
                return (await hook.arun(ChatworkHook.get_me()))["account_id"]
            finally:
                await hook.aclose()

        assert [asyncio.run(ask()), asyncio.run(ask())] == [company.BOT, company.BOT]

    async def test_opens_one_client_for_calls_that_begin_at_the_same_time(self, chatwork_sandbox):
        hook = ChatworkHook()
        clients = await asyncio.gather(*(hook._async_client() for _ in range(5)))
        assert len({id(client) for client in clients}) == 1
        await hook.aclose()

    async def test_closes_its_connections_once_and_can_be_used_again(self, chatwork_sandbox):
        hook = ChatworkHook()
        await hook.aclose()
        await hook.arun(ChatworkHook.get_me())
        await hook.aclose()
        await hook.aclose()
        await hook.arun(ChatworkHook.get_me())
        await hook.aclose()

    def test_runs_a_flow(self, chatwork_sandbox):
        def steps():
            me = yield ChatworkHook.get_me()
            rooms = yield ChatworkHook.list_rooms()
            return me["account_id"], len(rooms)

        hook = ChatworkHook()
        expected = (company.BOT, len(hook.list_rooms()))
        assert hook.run_flow(steps()) == expected

        async def follow() -> object:
            try:
                return await hook.arun_flow(steps())
            finally:
                await hook.aclose()

        assert asyncio.run(follow()) == expected

    def test_has_the_max_wait_of_the_connection_or_its_own(self, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox, max_wait=7)
        assert ChatworkHook().client.policy.max_wait == 7
        assert ChatworkHook(max_wait=0).client.policy.max_wait == 0

    def test_raises_what_chatwork_refuses(self, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox, token="wrong")
        with pytest.raises(ChatworkAuthError):
            ChatworkHook().get_me()


class TestReloadConnection:
    def test_uses_the_new_token_of_the_connection(self, chatwork_sandbox, monkeypatch):
        chatwork_sandbox.add_token("another", company.YAMADA)
        hook = ChatworkHook()
        assert hook.get_me()["account_id"] == hook.quick_client.run(ChatworkHook.get_me())["account_id"] == company.BOT
        connect(monkeypatch, chatwork_sandbox, token="another")
        assert hook.get_me()["account_id"] == company.BOT
        assert hook.reload_connection()
        assert hook.get_me()["account_id"] == company.YAMADA
        assert hook.quick_client.run(ChatworkHook.get_me())["account_id"] == company.YAMADA
        assert hook.settings.token == "another"

    def test_returns_false_for_the_same_token(self, chatwork_sandbox, monkeypatch):
        hook = ChatworkHook()
        connect(monkeypatch, chatwork_sandbox, max_wait=7)
        assert hook.reload_connection() is False
        assert hook.get_me()["account_id"] == company.BOT


class TestGetConn:
    def test_returns_the_client(self, chatwork_sandbox):
        hook = ChatworkHook()
        assert hook.get_conn() is hook.client
        assert hook.get_conn().run(ChatworkHook.get_me())["account_id"] == company.BOT


class TestRoomIdOrDefault:
    @pytest.mark.parametrize("given", [5, "5"])
    def test_returns_the_given_room(self, given, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox, default_room_id=7)
        assert ChatworkHook().room_id_or_default(given) == given

    # A template of a missing value renders to one of the last two.
    @pytest.mark.parametrize("given", [None, "", "None"])
    def test_falls_back_to_the_connection(self, given, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox, default_room_id="7")
        assert ChatworkHook().room_id_or_default(given) == 7

    def test_names_the_field_to_set_where_there_is_none(self, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox)
        with pytest.raises(ChatworkParameterError, match="default_room_id in the connection chatwork_default"):
            ChatworkHook().room_id_or_default(None)


class TestDownloadFile:
    def test_writes_a_file_that_was_uploaded(self, chatwork_sandbox, tmp_path):
        hook = ChatworkHook()
        file_id = hook.upload_file(company.DATA_ROOM, Upload("売上.csv", b"1,2\n"))["file_id"]
        assert hook.download_file(company.DATA_ROOM, file_id, tmp_path) == str(tmp_path / "売上.csv")
        assert (tmp_path / "売上.csv").read_bytes() == b"1,2\n"

    def test_gets_a_new_url_where_a_download_fails(self, chatwork_sandbox, tmp_path):
        file_id = chatwork_sandbox.upload_file(company.DATA_ROOM, company.SATO, Upload("a.bin", b"x" * 1000))
        chatwork_sandbox.add_fault(Fault("cut", path="/sandbox/download/.*", times=2))
        hook = ChatworkHook()
        hook.download_file(company.DATA_ROOM, file_id, tmp_path / "a.bin")
        assert (tmp_path / "a.bin").read_bytes() == b"x" * 1000
        assert sum(request.operation == "get_file" for request in chatwork_sandbox.requests) == 3

    def test_gives_up_after_three_tries_and_writes_nothing(self, chatwork_sandbox, tmp_path):
        file_id = chatwork_sandbox.upload_file(company.DATA_ROOM, company.SATO, Upload("a.bin", b"x" * 1000))
        chatwork_sandbox.add_fault(Fault("cut", path="/sandbox/download/.*", times=None))
        with pytest.raises(ChatworkNetworkError):
            ChatworkHook().download_file(company.DATA_ROOM, file_id, tmp_path)
        assert not list(tmp_path.iterdir())


class TestTestConnection:
    def test_names_the_account_and_its_rate_limit_and_posts_nothing(self, chatwork_sandbox):
        before = chatwork_sandbox.snapshot()
        well, message = ChatworkHook().test_connection()
        assert well, message
        assert message == "Connected as データ連携ボット (account 1001001); 299 of 300 requests left in this window"
        assert [request.operation for request in chatwork_sandbox.requests] == ["get_me"]
        assert chatwork_sandbox.snapshot() == before

    def test_says_that_a_token_is_wrong_without_showing_it(self, chatwork_sandbox, monkeypatch):
        connect(monkeypatch, chatwork_sandbox, token="wrong-t0ken")
        well, message = ChatworkHook().test_connection()
        assert not well
        assert "401" in message
        assert "API token" in message
        assert "wrong-t0ken" not in message

    @pytest.mark.parametrize(
        ("connection", "said"),
        [
            ({"host": "http://127.0.0.1:1/v2", "password": "t0ken-x"}, "could not be reached"),
            ({"host": "http://api.chatwork.com", "password": "t0ken-x"}, "use https"),
            ({"password": ""}, "API token"),
            ({"password": "t0ken-x", "extra": {"timezone": "Mars"}}, "IANA"),
        ],
        ids=["unreachable", "plain http", "no token", "bad extra"],
    )
    def test_reports_the_error_and_never_raises(self, connection, said, monkeypatch):
        # With max_wait=0 it does not wait before the next try.
        extra = {"max_wait": 0, **connection.get("extra", {})}
        written = json.dumps({"conn_type": "chatwork", **connection, "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_BROKEN", written)
        well, message = ChatworkHook("chatwork_broken").test_connection()
        assert not well
        assert said in message
        assert "t0ken-x" not in message

    def test_says_that_there_is_no_such_connection(self, db):
        well, message = ChatworkHook("chatwork_missing").test_connection()
        assert not well
        assert "chatwork_missing" in message
