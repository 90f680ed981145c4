from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.connection import BASE_URL, Settings, check_url, read_settings, settings_from
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

TOKEN = "t0ken-of-the-tests"
SECRET = "do-not-show-me"


def fields(**given: Any) -> Any:
    return SimpleNamespace(**{"host": None, "schema": None, "port": None, "password": TOKEN, **given})


class TestSettingsFrom:
    def test_a_token_is_enough(self):
        assert settings_from(fields(), {}) == Settings(token=TOKEN)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, BASE_URL),
            ({"host": ""}, BASE_URL),
            ({"host": "api.chatwork.com"}, BASE_URL),
            ({"host": " https://api.chatwork.com/v2/ "}, BASE_URL),
            ({"host": "https://api.chatwork.com"}, BASE_URL),
            ({"host": "api.chatwork.com", "schema": "https"}, BASE_URL),
            ({"host": "https://proxy.example.com/chatwork/v2"}, "https://proxy.example.com/chatwork/v2"),
            ({"host": "proxy.example.com", "port": 8443}, "https://proxy.example.com:8443/v2"),
            ({"host": "proxy.example.com/chatwork", "port": 8443}, "https://proxy.example.com:8443/chatwork"),
            ({"host": "https://proxy.example.com:8443", "port": 1}, "https://proxy.example.com:8443/v2"),
            ({"host": "127.0.0.1", "port": 8765}, "http://127.0.0.1:8765/v2"),
            ({"host": "127.0.0.1:8765"}, "http://127.0.0.1:8765/v2"),
            ({"host": "localhost", "port": 8765}, "http://localhost:8765/v2"),
            ({"host": "127.0.0.1", "port": 8765, "schema": "https"}, "https://127.0.0.1:8765/v2"),
            ({"host": "https://localhost:8765"}, "https://localhost:8765/v2"),
            ({"host": "::1", "port": 8765}, "http://[::1]:8765/v2"),
            ({"host": "[::1]:8765"}, "http://[::1]:8765/v2"),
            ({"host": "http://[::1]", "port": 8765}, "http://[::1]:8765/v2"),
        ],
    )
    def test_converts_a_host(self, given, expected):
        assert settings_from(fields(**given), {}).base_url == expected

    @pytest.mark.parametrize(
        ("name", "given", "expected"),
        [
            ("timeout", 5, 5.0),
            ("timeout", 0.5, 0.5),
            ("timeout", "5", 5.0),
            ("timeout", " 0.5 ", 0.5),
            ("max_wait", 0, 0.0),
            ("max_wait", "30", 30.0),
            ("default_room_id", 400000101, 400000101),
            ("default_room_id", "400000101", 400000101),
            ("default_room_id", " 400000101 ", 400000101),
            ("proxy", "http://proxy.example.com:8080", "http://proxy.example.com:8080"),
            ("proxy", " proxy.example.com:8080 ", "http://proxy.example.com:8080"),
            ("proxy", f"http://user:{SECRET}@proxy.example.com", f"http://user:{SECRET}@proxy.example.com"),
            ("proxy", "socks5h://localhost", "socks5h://localhost"),
            ("timezone", "America/New_York", "America/New_York"),
            ("timezone", "UTC", "UTC"),
            ("webhook_token", " abc= ", "abc="),
            ("webhook_token", 12345678, "12345678"),
            ("web_url", "https://kcw.kddi.ne.jp/", "https://kcw.kddi.ne.jp"),
        ],
    )
    def test_converts_an_extra(self, name, given, expected):
        assert getattr(settings_from(fields(), {name: given}), name) == expected

    @pytest.mark.parametrize("name", ["timeout", "max_wait", "default_room_id", "proxy", "timezone", "web_url"])
    @pytest.mark.parametrize("empty", [None, ""])
    def test_treats_an_empty_extra_as_no_extra(self, name, empty):
        # The form of Airflow stores an empty field in one of these two ways.
        assert settings_from(fields(), {name: empty}) == Settings(token=TOKEN)

    def test_ignores_extras_it_does_not_know(self):
        assert settings_from(fields(), {"team": "data"}) == Settings(token=TOKEN)

    def test_strips_white_space_around_the_token(self):
        assert settings_from(fields(password=f" {TOKEN}\n"), {}).token == TOKEN

    def test_uses_the_web_page_of_the_sandbox(self):
        assert settings_from(fields(host="http://127.0.0.1:8765/v2"), {}).web_url == "http://127.0.0.1:8765"

    def test_uses_the_web_client_of_chatwork_for_a_proxied_api(self):
        assert settings_from(fields(host="https://proxy.example.com/v2"), {}).web_url == Settings(TOKEN).web_url

    @pytest.mark.parametrize(
        ("given", "extra", "parameter", "remedy"),
        [
            ({"password": None}, {}, "password", "API token"),
            ({"password": "  "}, {}, "password", "API token"),
            ({"password": f"{SECRET} and more"}, {}, "password", "API token"),
            ({"password": f"{SECRET}\x07"}, {}, "password", "API token"),
            ({"password": f"{SECRET}トークン"}, {}, "password", "API token"),
            ({"host": "http://api.chatwork.com/v2"}, {}, "host", "https"),
            ({"host": "api.chatwork.com", "schema": "http"}, {}, "host", "https"),
            ({"host": "api.chatwork.com", "schema": "v2"}, {}, "schema", "http or https"),
            ({"host": "ftp://api.chatwork.com"}, {}, "host", "https"),
            ({"host": "https://"}, {}, "host", "URL such as"),
            ({"host": "https://[bad"}, {}, "host", "URL such as"),
            ({"host": "api.chatwork.com:port"}, {}, "host", "URL such as"),
            ({"host": "api.chatwork.com", "port": 99999}, {}, "host", "URL such as"),
            (
                {"host": f"https://bot:{SECRET}@api.chatwork.com/v2"},
                {},
                "host",
                "without user, password and parameters",
            ),
            (
                {"host": f"https://api.chatwork.com/v2?token={SECRET}"},
                {},
                "host",
                "without user, password and parameters",
            ),
            ({"host": f"https://bot:{SECRET}@[bad"}, {}, "host", "without user, password and parameters"),
            ({}, {"timeout": "soon"}, "timeout", "seconds"),
            ({}, {"timeout": 0}, "timeout", "seconds"),
            ({}, {"timeout": -1}, "timeout", "seconds"),
            ({}, {"timeout": "nan"}, "timeout", "seconds"),
            ({}, {"timeout": True}, "timeout", "seconds"),
            ({}, {"timeout": [20]}, "timeout", "seconds"),
            ({}, {"max_wait": "inf"}, "max_wait", "seconds"),
            ({}, {"max_wait": "-1"}, "max_wait", "seconds"),
            ({}, {"default_room_id": "general"}, "default_room_id", "whole number"),
            ({}, {"default_room_id": 0}, "default_room_id", "whole number"),
            ({}, {"default_room_id": 1.5}, "default_room_id", "whole number"),
            ({}, {"timezone": "Tokyo"}, "timezone", "IANA"),
            ({}, {"timezone": "../UTC"}, "timezone", "IANA"),
            ({}, {"timezone": 9}, "timezone", "IANA"),
            ({}, {"proxy": f"ftp://user:{SECRET}@proxy.example.com"}, "proxy", "URL such as"),
            ({}, {"proxy": f"http://user:{SECRET}@[bad"}, "proxy", "URL such as"),
            ({}, {"proxy": f"http://user:{SECRET}@proxy.example.com:port"}, "proxy", "URL such as"),
            ({}, {"proxy": "http://"}, "proxy", "URL such as"),
            ({}, {"webhook_token": [SECRET]}, "webhook_token", "text"),
            ({}, {"webhook_token": True}, "webhook_token", "text"),
            ({}, {"web_url": "http://kcw.kddi.ne.jp"}, "web_url", "https"),
            ({}, {"web_url": "kcw.kddi.ne.jp"}, "web_url", "URL such as"),
            (
                {},
                {"web_url": f"https://user:{SECRET}@kcw.kddi.ne.jp"},
                "web_url",
                "without user, password and parameters",
            ),
            ({}, [SECRET], "extra", "JSON object"),
        ],
    )
    def test_names_the_field_and_the_remedy_and_shows_no_secret(self, given, extra, parameter, remedy):
        with pytest.raises(ChatworkParameterError) as caught:
            settings_from(fields(**given), extra)
        assert caught.value.parameter == parameter
        assert remedy in str(caught.value)
        error: BaseException | None = caught.value
        while error is not None:
            for shown in (str(error), repr(error), repr(error.args)):
                assert SECRET not in shown
                assert TOKEN not in shown
            error = error.__cause__


EXTRA = {"default_room_id": 5, "timeout": 3, "max_wait": 7, "timezone": "UTC", "webhook_token": "hook"}
AS_FROM_A_FORM = {**EXTRA, "proxy": None, "web_url": "", "timeout": "3", "default_room_id": "5"}
QUERY = "default_room_id=5&timeout=3&max_wait=7&timezone=UTC&webhook_token=hook"
EXPECTED = Settings(
    token=TOKEN,
    base_url="http://127.0.0.1:8765/v2",
    default_room_id=5,
    timeout=3.0,
    max_wait=7.0,
    timezone="UTC",
    webhook_token="hook",
    web_url="http://127.0.0.1:8765",
)


class TestTheConnectionOfAnEnvironment:
    @pytest.mark.parametrize(
        "written",
        [
            f"chatwork://:{TOKEN}@127.0.0.1:8765?{QUERY}",
            f"chatwork://:{TOKEN}@127.0.0.1:8765/http?{QUERY}",
            f"chatwork://:{TOKEN}@http%3A%2F%2F127.0.0.1%3A8765%2Fv2?{QUERY}",
            f"chatwork://:{TOKEN}@http%3A%2F%2F127.0.0.1:8765?{QUERY}",
            json.dumps({"conn_type": "chatwork", "host": "127.0.0.1", "port": 8765, "password": TOKEN, "extra": EXTRA}),
            json.dumps(
                {
                    "conn_type": "chatwork",
                    "host": "http://127.0.0.1:8765/v2",
                    "password": TOKEN,
                    "extra": AS_FROM_A_FORM,
                }
            ),
            json.dumps(
                {
                    "conn_type": "chatwork",
                    "host": "127.0.0.1:8765",
                    "schema": "http",
                    "password": TOKEN,
                    "extra": json.dumps(AS_FROM_A_FORM),
                }
            ),
        ],
        ids=["uri", "uri-scheme", "uri-quoted", "uri-quoted-port", "json", "json-form", "json-text-extra"],
    )
    def test_is_converted_in_the_same_way_by_worker_and_triggerer(self, written, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_TEST", written)
        hook = ChatworkHook("chatwork_test")
        assert hook.settings == EXPECTED
        assert asyncio.run(read_settings("chatwork_test", hook)) == EXPECTED

    def test_of_a_sandbox_reaches_it(self, chatwork_sandbox, monkeypatch):
        address = chatwork_sandbox.address
        for written in (address.connection_uri("a/b+c"), address.connection_json("a/b+c")):
            monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_TEST", written)
            settings = ChatworkHook("chatwork_test").settings
            assert (settings.token, settings.base_url) == ("a/b+c", address.api)


class TestCheckUrl:
    @pytest.mark.parametrize(
        "url",
        [
            *("https://api.chatwork.com/v2", "http://localhost:8080/v2", "http://[::1]:80/v2", "https://例え.jp/v2"),
            *("https://a_b.example/v2/", "https://EXAMPLE.com:8443/x-y_z~.a/%20"),
        ],
    )
    def test_returns_a_url_that_http_libraries_use_as_it_is(self, url):
        assert check_url("host", url) == url

    @pytest.mark.parametrize("character", [*"\"<>\\^`{|}' \t\n", "\x00", "\x7f", "\u3000"])
    @pytest.mark.parametrize("parameter", ["host", "web_url"])
    def test_refuses_a_character_that_is_not_part_of_a_url(self, parameter, character):
        for url in (f"https://x.example/{character}", f"https://x{character}y.example/"):
            with pytest.raises(ChatworkParameterError, match=rf"^{parameter}="):
                check_url(parameter, url)

    @pytest.mark.parametrize(
        "host", ["a..b", ".a", "a" * 64, "xn--", "", "[", "x:0", "x:99999", "x:y", "\ud800"], ids=ascii
    )
    def test_refuses_a_host_that_cannot_be_looked_up(self, host):
        with pytest.raises(ChatworkParameterError, match=r"^host="):
            check_url("host", f"https://{host}/v2")

    @pytest.mark.parametrize("proxy", ["http://a..b:1", "http://x y:1", 'http://x":1', "http://", "http://x:0"])
    def test_refuses_such_a_proxy_without_showing_it(self, proxy):
        with pytest.raises(ChatworkParameterError, match=r"^proxy='\*\*\*'"):
            settings_from(SimpleNamespace(host=None, schema=None, port=None, password="t"), {"proxy": proxy})
