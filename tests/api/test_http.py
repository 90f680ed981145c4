from __future__ import annotations

import asyncio
import contextlib
import json
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from airflow_provider_chatwork import __version__
from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, HttpRequest, Request, Response, Upload, strict_empty_list
from airflow_provider_chatwork.api.files import upload_file
from airflow_provider_chatwork.api.http import USER_AGENT, decode, encode
from airflow_provider_chatwork.connection import BASE_URL, Settings, check_url

SETTINGS = Settings("canary-token")
NOW = 1_767_225_600.0

#: Every text that can be encoded as UTF-8.
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
FILENAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0/\\") | st.sampled_from('"%日本語;='),
    min_size=1,
    max_size=40,
)


def sent(request: Request, settings: Settings = SETTINGS) -> HttpRequest:
    return encode(request, settings)


class TestSettings:
    @pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "トークン", "a\r\nx: y"])
    def test_refuse_an_invalid_token_without_showing_it(self, token):
        with pytest.raises(errors.ChatworkParameterError) as raised:
            Settings(token)
        assert raised.value.parameter == "password"
        assert raised.value.value == "***"

    @pytest.mark.parametrize("parameter", ["timeout", "max_wait"])
    @pytest.mark.parametrize("value", [-1, float("inf"), float("nan")])
    def test_refuse_invalid_numbers_of_seconds(self, parameter, value):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}="):
            Settings("t", **{parameter: value})

    def test_accept_a_max_wait_of_zero_but_no_timeout_of_zero(self):
        assert Settings("t", max_wait=0).max_wait == 0
        with pytest.raises(errors.ChatworkParameterError, match=r"^timeout="):
            Settings("t", timeout=0)

    def test_show_no_secret(self):
        shown = repr(Settings("canary-token", proxy="http://u:canary-token@p", webhook_token="canary-token"))
        assert "canary" not in shown


class TestCheckUrl:
    @pytest.mark.parametrize(
        "url",
        [BASE_URL, "https://chatwork.example:8443/v2", "http://127.0.0.1:8000/v2", "http://localhost", "http://[::1]"],
    )
    def test_accepts_https_and_plain_http_to_this_machine(self, url):
        assert check_url("host", url) == url

    @pytest.mark.parametrize("url", ["http://api.chatwork.com/v2", "http://127.0.0.1.example.com", "ftp://localhost"])
    def test_refuses_plain_http_to_other_machines(self, url):
        with pytest.raises(errors.ChatworkParameterError, match=r"^host=.*use https"):
            check_url("host", url)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "api.chatwork.com",
            "https://",
            "https://a?b=c",
            "https://a#b",
            "https://[::1",
            "https://a:99999",
            "https://a:x",
        ],
    )
    def test_refuses_a_value_that_is_not_a_url(self, url):
        with pytest.raises(errors.ChatworkParameterError, match=r"^host="):
            check_url("host", url)

    def test_does_not_show_a_secret_in_a_url(self):
        with pytest.raises(errors.ChatworkParameterError) as raised:
            check_url("host", "https://me:canary-token@api.chatwork.com/v2")
        assert "canary" not in f"{raised.value} {raised.value!r}"


class TestEncode:
    def test_puts_the_token_only_into_the_header(self):
        request = sent(Request("POST", "/rooms/1/messages", form={"body": "a"}))
        assert request.headers == {
            "accept": "application/json",
            "user-agent": f"airflow-provider-chatwork/{__version__}",
            "x-chatworktoken": "canary-token",
            "content-type": "application/x-www-form-urlencoded",
        }
        assert "canary" not in f"{request.url} {request.body!r} {request!r}"

    @pytest.mark.parametrize("base", ["https://x.example/v2", "https://x.example/v2/"])
    def test_appends_the_path_to_the_base(self, base):
        assert sent(Request("GET", "/me"), Settings("t", base)).url == "https://x.example/v2/me"

    def test_sends_no_body_and_no_type_where_there_is_no_form(self):
        request = sent(Request("GET", "/me"))
        assert request.body == b""
        assert "content-type" not in request.headers

    def test_sends_the_content_type_also_for_an_empty_form(self):
        request = sent(Request("PUT", "/incoming_requests/1", form={}))
        assert (request.body, request.headers["content-type"]) == (b"", "application/x-www-form-urlencoded")

    @given(st.dictionaries(TEXT.filter(bool), TEXT))
    def test_encodes_forms_that_decode_to_the_same_values(self, form):
        request = sent(Request("POST", "/x", form=form))
        read = parse_qs(
            request.body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(form), errors="strict"
        )
        assert read == {name: [value] for name, value in form.items()}

    @given(st.dictionaries(TEXT.filter(bool), TEXT, min_size=1))
    def test_encodes_queries_that_decode_to_the_same_values(self, query):
        url = sent(Request("GET", "/x", query=query)).url
        assert url.isascii()
        assert "+" not in url
        assert parse_qs(urlsplit(url).query, keep_blank_values=True) == {name: [value] for name, value in query.items()}
        assert urlsplit(url).path == "/v2/x"

    def test_gives_an_upload_at_least_60_seconds_and_20_more_for_each_mb(self):
        upload = Request("POST", "/x", upload=Upload("a", b""))
        assert sent(upload).timeout == pytest.approx(60, abs=0.01)
        assert sent(upload, Settings("t", timeout=90)).timeout == pytest.approx(90, abs=0.01)
        large = Request("POST", "/x", upload=Upload("a", b"x" * 5_000_000))
        assert sent(large).timeout == pytest.approx(160, abs=0.01)
        assert sent(Request("GET", "/me"), Settings("t", timeout=7)).timeout == 7


def parts_by_email(request: HttpRequest) -> list[tuple[str, str | None, str, bytes]]:
    """The parts of a multipart body, parsed by the mail parser of the standard library."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + request.body)
    assert message.is_multipart()
    assert not message.defects
    found = []
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        filename = part.get_param("filename", header="content-disposition")
        found.append((name, filename, part.get_content_type(), part.get_payload(decode=True)))
    return found


async def parts_by_starlette(request: HttpRequest) -> dict[str, Any]:
    """The parts of a multipart body, parsed by python-multipart."""

    async def stream():
        yield request.body

    form = await MultiPartParser(Headers({"content-type": request.headers["content-type"]}), stream()).parse()
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        assert name not in found
        found[name] = value if isinstance(value, str) else (value.filename, value.content_type, await value.read())
    await form.close()
    return found


def parsed(request: HttpRequest) -> dict[str, Any]:
    with asyncio.Runner() as runner:
        return runner.run(parts_by_starlette(request))


class TestMultipart:
    @given(FILENAMES, st.binary(max_size=200), TEXT.filter(bool))
    def test_is_decoded_by_another_parser(self, filename, content, message):
        request = sent(upload_file(1, Upload(filename, content, "text/csv"), message=message).request)
        shown = filename.replace('"', "%22")
        assert parsed(request) == {"message": message, "file": (shown, "text/csv", content)}

    @given(st.binary(max_size=100) | st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\n", b"\r\n\r\n"]), TEXT)
    def test_ends_with_one_line_end_after_the_closing_boundary(self, content, message):
        request = sent(Request("POST", "/x", form={"message": message}, upload=Upload("a.csv", content)))
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        assert request.body.endswith(b"\r\n--" + boundary + b"--\r\n")
        assert not request.body.endswith(b"\r\n\r\n")
        assert request.body.count(b"--" + boundary) == 3

    def test_sends_the_text_without_and_the_file_with_a_raw_utf_8_name(self):
        request = sent(upload_file(1, Upload("売上 2026.csv", b"1,2", "text/csv"), message="速報").request)
        head = b'Content-Disposition: form-data; name="file"; filename="'
        assert head + "売上 2026.csv".encode() + b'"\r\nContent-Type: text/csv\r\n\r\n1,2\r\n' in request.body
        assert b'name="message"\r\n\r\n' + "速報".encode() + b"\r\n" in request.body

    def test_is_decoded_by_a_mail_parser(self):
        request = sent(upload_file(1, Upload("a.bin", b"1\r\n--2--\r\n", "application/zip"), message="hello").request)
        assert parts_by_email(request) == [
            ("message", None, "text/plain", b"hello"),
            ("file", "a.bin", "application/zip", b"1\r\n--2--\r\n"),
        ]

    def test_has_no_text_part_without_a_form(self):
        assert parsed(sent(upload_file(1, Upload("a", b"")).request)) == {
            "file": ("a", "application/octet-stream", b"")
        }

    def test_is_the_same_for_the_same_upload(self):
        requests = {sent(upload_file(1, Upload("a", b"1"), message="m").request).body for _ in range(2)}
        assert len(requests) == 1

    def test_cannot_be_ended_by_the_content_of_the_file(self):
        def boundary(content: bytes) -> bytes:
            request = sent(upload_file(1, Upload("a.csv", content, "text/csv")).request)
            return request.headers["content-type"].partition("boundary=")[2].encode()

        forged = b"x\r\n--" + boundary(b"x") + b"--\r\n"
        request = sent(upload_file(1, Upload("a.csv", forged, "text/csv")).request)
        assert parsed(request) == {"file": ("a.csv", "text/csv", forged)}

    def test_cannot_be_ended_by_the_comment(self):
        # The author of the comment may know the file, but must not be able to add another file.
        upload = Upload("a.csv", b"1", "text/csv")

        def boundary(message: str) -> str:
            request = sent(upload_file(1, upload, message=message).request)
            return request.headers["content-type"].partition("boundary=")[2]

        forged = f'x\r\n--{boundary("x")}\r\nContent-Disposition: form-data; name="file"; filename="evil"\r\n\r\nevil'
        request = sent(upload_file(1, upload, message=forged).request)
        assert parsed(request) == {"message": forged, "file": ("a.csv", "text/csv", b"1")}


READ = Call("get_x", Request("GET", "/x"), lambda value: {"read": value})
WRITE = Call("post_x", Request("POST", "/x", form={}), lambda value: {"read": value})


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status, headers, body)


class TestDecode:
    @given(st.dictionaries(TEXT, st.integers() | TEXT | st.none() | st.booleans()), st.booleans())
    def test_decodes_escaped_and_raw_characters(self, value, ascii_only):
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert decode(READ, answer(200, body), NOW) == {"read": value}

    @pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
    @pytest.mark.parametrize("body", [b"", b" \r\n"])
    def test_treats_204_as_no_body(self, call, body):
        assert decode(call, answer(204, body), NOW) == {"read": None}

    def test_treats_an_empty_200_as_the_success_of_a_write(self):
        assert decode(WRITE, answer(200), NOW) == {"read": None}

    def test_treats_an_empty_200_as_an_empty_list(self):
        assert decode(READ, answer(200), NOW) == {"read": None}

    def test_raises_an_error_for_an_empty_200_of_a_strict_list(self):
        with pytest.raises(errors.ChatworkUnexpectedResponseError, match="no body"):
            decode(strict_empty_list(READ), answer(200), NOW)
        assert decode(strict_empty_list(READ), answer(204), NOW) == {"read": None}

    @pytest.mark.parametrize(
        "body", [b"{", b"<html>", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a": 1} x', "日本".encode("shift_jis")]
    )
    def test_names_the_json_that_cannot_be_decoded(self, body):
        with pytest.raises(errors.ChatworkUnexpectedResponseError) as raised:
            decode(READ, answer(200, body), NOW)
        assert (raised.value.operation, raised.value.status) == ("get_x", 200)
        assert len(str(raised.value)) < 300

    def test_names_the_field_that_cannot_be_parsed(self):
        def read(value: object) -> None:
            raise ValueError("x is missing " * 50)

        with pytest.raises(errors.ChatworkUnexpectedResponseError, match="x is missing"):
            decode(Call("get_x", READ.request, read), answer(200, b"{}"), NOW)

    @pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
    def test_follows_no_redirect(self, status):
        with pytest.raises(errors.ChatworkUnexpectedResponseError) as raised:
            decode(READ, answer(status, b"{}", location="https://example.com"), NOW)
        assert raised.value.status == status

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, errors.ChatworkInvalidRequestError),
            (401, errors.ChatworkAuthError),
            (403, errors.ChatworkForbiddenError),
            (404, errors.ChatworkNotFoundError),
            (405, errors.ChatworkInvalidRequestError),
            (413, errors.ChatworkInvalidRequestError),
            (418, errors.ChatworkInvalidRequestError),
            (429, errors.ChatworkRateLimitError),
            (500, errors.ChatworkServerError),
            (503, errors.ChatworkServerError),
            (599, errors.ChatworkServerError),
            (408, errors.ChatworkServerError),
        ],
    )
    def test_raises_the_class_of_the_status_with_chatworks_messages(self, status, error):
        with pytest.raises(errors.ChatworkApiError) as raised:
            decode(READ, answer(status, '{"errors": ["だめです", "本当に"]}'.encode()), NOW)
        assert type(raised.value) is error
        assert (raised.value.operation, raised.value.status) == ("get_x", status)
        assert raised.value.errors == ("だめです", "本当に")
        assert "だめです; 本当に" in str(raised.value)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", ()),
            (b"<html>", ()),
            (b"[]", ()),
            (b"null", ()),
            (b'{"errors": null}', ()),
            (b'{"errors": {"a": 1}}', ()),
            (b'{"errors": "one"}', ("one",)),
            (b'{"errors": [1, null]}', ("1", "None")),
            (b"\xff", ()),
        ],
    )
    def test_handles_a_refusal_with_any_body(self, body, said):
        with pytest.raises(errors.ChatworkInvalidRequestError) as raised:
            decode(READ, answer(400, body), NOW)
        assert raised.value.errors == said

    @given(st.integers(100, 999), st.binary(max_size=50), st.dictionaries(st.text(max_size=5), st.text(max_size=9)))
    def test_raises_only_errors_of_this_package(self, status, body, headers):
        ends = errors.ChatworkUnexpectedResponseError if status < 400 else errors.ChatworkApiError
        with contextlib.suppress(ends):
            decode(READ, Response(status, headers, body), NOW)
            assert 200 <= status < 300

    def test_states_how_long_a_429_lasts_and_which_limit_it_is(self):
        headers = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 42)}
        with pytest.raises(errors.ChatworkRateLimitError) as raised:
            decode(READ, answer(429, **headers), NOW)
        assert (raised.value.retry_after, raised.value.per_room) == (42, False)
        body = b'{"errors": ["Rate limit for message posting per room exceeded."]}'
        with pytest.raises(errors.ChatworkRateLimitError) as raised:
            decode(READ, answer(429, body, **headers), NOW)
        assert (raised.value.retry_after, raised.value.per_room) == (10, True)

    @pytest.mark.parametrize(("said", "hidden"), [("true", True), ("TRUE", True), ("false", False), (None, False)])
    def test_states_that_the_free_plan_hides_the_item(self, said, hidden):
        headers = {} if said is None else {"chatwork-message-limitation": said}
        with pytest.raises(errors.ChatworkNotFoundError) as raised:
            decode(READ, answer(404, **headers), NOW)
        assert raised.value.hidden_by_plan is hidden
        assert ("Free plan" in str(raised.value)) is hidden


class TestUserAgent:
    def test_names_the_provider_and_its_version(self):
        assert f"airflow-provider-chatwork/{__version__}" == USER_AGENT
