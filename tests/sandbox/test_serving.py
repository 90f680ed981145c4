from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.sandbox.serving import Address, serve

MESSAGES = f"/rooms/{company.DATA_ROOM}/messages"


@pytest.fixture
def address(sandbox: Sandbox) -> Iterator[Address]:
    with serve(sandbox) as address:
        yield address


@pytest.fixture
def client(sandbox: Sandbox, address: Address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address.api, headers={"x-chatworktoken": sandbox.token}) as client:
        yield client


@pytest.fixture
def control(address: Address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{address}/sandbox") as client:
        yield client


class TestApi:
    def test_has_the_same_responses_as_in_process(self, client: httpx.Client, api: Any) -> None:
        answer = client.get(MESSAGES, params={"force": 1})
        assert [message["body"] for message in answer.json()] == [
            message["body"] for message in api.get(MESSAGES, force=1).json
        ]
        assert answer.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"

    def test_204_has_no_body(self, client: httpx.Client) -> None:
        client.get(MESSAGES)
        answer = client.get(MESSAGES)
        assert (answer.status_code, answer.content) == (204, b"")

    def test_a_file_can_be_uploaded_and_downloaded_without_a_token(
        self, client: httpx.Client, address: Address
    ) -> None:
        content = bytes(range(256)) * 40
        files = f"/rooms/{company.DATA_ROOM}/files"
        answer = client.post(files, data={"message": "どうぞ"}, files={"file": ("日本語.bin", content)})
        file = client.get(f"{files}/{answer.json()['file_id']}", params={"create_download_url": 1}).json()
        assert file["filename"] == "日本語.bin"
        assert file["download_url"].startswith(f"{address}/")
        assert httpx.get(file["download_url"]).content == content

    def test_an_invalid_host_header_is_not_copied_into_urls(self, client: httpx.Client, address: Address) -> None:
        assert client.get("/me", headers={"host": "[<script>"}).json()["avatar_image_url"].startswith(f"{address}/")

    def test_a_too_large_request_is_413(self, client: httpx.Client) -> None:
        files = f"/rooms/{company.DATA_ROOM}/files"
        assert client.post(files, files={"file": ("a", bytes(11 * 1024 * 1024))}).status_code == 413


class TestFaults:
    @pytest.mark.parametrize(("kind", "writes"), [("lost_reply", 1), ("refuse", 0)])
    def test_the_connection_ends_without_a_response(
        self, client: httpx.Client, sandbox: Sandbox, kind: Any, writes: int
    ) -> None:
        sandbox.add_fault(Fault(kind))
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            client.post(MESSAGES, data={"body": "x"})
        assert sandbox.write_count("post_message") == writes
        assert client.get("/me").status_code == 200

    def test_a_truncated_response_is_an_error(self, client: httpx.Client, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("cut"))
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            client.post(MESSAGES, data={"body": "x"})
        assert sandbox.write_count("post_message") == 1

    def test_a_late_response_leads_to_a_timeout(self, client: httpx.Client, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("timeout", seconds=600))
        with pytest.raises(httpx.ReadTimeout):
            client.post(MESSAGES, data={"body": "x"}, timeout=0.05)
        assert sandbox.write_count("post_message") == 1

    def test_a_delayed_response_arrives(self, client: httpx.Client, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("delay", seconds=0.01))
        assert client.get("/me").status_code == 200


class TestCommands:
    def test_work_over_http(self, control: httpx.Client, client: httpx.Client) -> None:
        given = {"room_id": company.DATA_ROOM, "account_id": company.YAMADA, "body": "はい"}
        message_id = control.post("/post_message", json=given).json()["message_id"]
        assert client.get(f"{MESSAGES}/{message_id}").json()["body"] == "はい"
        assert control.get("/requests").json()[-1]["operation"] == "get_message"

    @pytest.mark.parametrize(("content", "status"), [("{", 400), ("[]", 400)])
    def test_wrong_commands_are_errors(self, control: httpx.Client, content: str, status: int) -> None:
        answer = control.post("/post_message", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status
        assert answer.json()["errors"]

    def test_forms_are_rejected(self, control: httpx.Client) -> None:
        assert control.post("/reset", data={"a": "b"}).status_code == 403

    def test_another_host_name_is_rejected(self, control: httpx.Client) -> None:
        assert control.get("/state", headers={"host": "evil.example"}).status_code == 403

    def test_every_change_sends_an_event(self, control: httpx.Client, sandbox: Sandbox) -> None:
        with control.stream("GET", "/events") as stream:
            lines = stream.iter_lines()
            first = next(line for line in lines if line.startswith("data"))
            sandbox.post_message(company.DATA_ROOM, company.YAMADA, "hi")
            assert next(line for line in lines if line.startswith("data")) != first


class TestPage:
    def test_is_served_with_a_strict_policy(self, address: Address) -> None:
        for name in ("", "app.js", "notation.js", "texts.js", "style.css", "icon.svg"):
            answer = httpx.get(f"{address}/{name}")
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["content-security-policy"]

    def test_gets_the_data_of_one_room(self, control: httpx.Client) -> None:
        view = control.get("/view", params={"room_id": company.SALES_ROOM}).json()
        assert view["room"]["files"][0]["filename"] == "売上_前日.csv"
        assert all(isinstance(message["message_id"], str) for message in view["room"]["messages"])
        assert control.get("/view").json()["room"] is None

    def test_gets_images_and_files(self, control: httpx.Client, sandbox: Sandbox) -> None:
        assert control.get(f"/avatars/{company.BOT}.svg").headers["content-type"] == "image/svg+xml"
        assert control.get("/avatars/1.svg").status_code == 404
        assert control.get("/icons/magcup.svg").status_code == 200
        assert control.get("/icons/other.svg").status_code == 404
        file_id = sandbox.files(company.SALES_ROOM)[0]["file_id"]
        assert control.get(f"/files/{file_id}").headers["content-disposition"].startswith("attachment")
        assert control.get("/files/1").status_code == 404

    def test_uses_no_html_from_messages_and_no_other_servers(self) -> None:
        page = Path(__file__).parents[2] / "airflow_provider_chatwork" / "sandbox" / "page"
        scripts = "".join(path.read_text(encoding="utf-8") for path in page.glob("*.js"))
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"):
            assert way not in scripts
        html = (page / "index.html").read_text(encoding="utf-8")
        assert "http" not in html
        assert "style=" not in html
        assert "onclick" not in html


class TestServe:
    def test_ends_its_thread_and_frees_its_port_with_open_event_streams(
        self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serve(sandbox) as address:
            stream = httpx.stream("GET", f"{address}/sandbox/events")
            opened = stream.__enter__()
            sandbox.add_fault(Fault("timeout", seconds=600))
            headers = {"x-chatworktoken": sandbox.token}
            late = threading.Thread(target=lambda: httpx.get(f"{address.api}/me", headers=headers, timeout=60))
            late.start()
            while not sandbox.requests:
                pass
        assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
        late.join(timeout=10)
        assert not late.is_alive()
        assert not [thread for thread in threading.enumerate() if thread.name == f"chatwork-sandbox-{address.port}"]
        with socket.socket() as sock:
            assert sock.connect_ex((address.host, address.port)) != 0
        opened.close()
        stream.__exit__(None, None, None)

    def test_a_port_in_use_is_an_error(self, sandbox: Sandbox, address: Address) -> None:
        with pytest.raises(OSError, match=r"in use"), serve(sandbox, address.port):
            pass

    def test_saves_its_state_in_a_file(self, tmp_path: Path, clock: Any) -> None:
        file = tmp_path / "state.json"
        with serve(Sandbox(clock=clock), state_file=file) as address:
            given = {"room_id": company.DATA_ROOM, "account_id": company.YAMADA, "body": "残る"}
            httpx.post(f"{address}/sandbox/post_message", json=given)
        assert json.loads(file.read_text(encoding="utf-8"))["version"] == 1
        again = Sandbox(clock=clock, limits=Limits.off())
        with serve(again, state_file=file):
            assert again.messages(company.DATA_ROOM)[-1]["body"] == "残る"


class TestAddress:
    def test_returns_the_connection_as_uri_and_json(self) -> None:
        address = Address("127.0.0.1", 8765)
        uri = "chatwork://:a%2Fb@http%3A%2F%2F127.0.0.1%3A8765%2Fv2/?default_room_id=5"
        assert address.connection_uri("a/b", 5) == uri
        assert json.loads(address.connection_json("t")) == {
            "conn_type": "chatwork",
            "host": "http://127.0.0.1:8765/v2",
            "password": "t",
            "extra": {"default_room_id": company.DATA_ROOM},
        }

    def test_all_interfaces_become_the_loopback_address(self) -> None:
        assert Address("0.0.0.0", 1).origin == "http://127.0.0.1:1"
        assert Address("::1", 1, "https").origin == "https://[::1]:1"
