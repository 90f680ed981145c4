from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests

from airflow_provider_chatwork.api.call import HttpRequest, Upload
from airflow_provider_chatwork.sandbox import Sandbox, company

ROOM = f"/rooms/{company.SALES_ROOM}"
FILES = f"{ROOM}/files"


class TestUploadFile:
    def test_posts_a_message_with_the_file(self, api: Any, sandbox: Sandbox) -> None:
        file_id = api.upload(FILES, b"1,2", "日本語.csv", message="どうぞ").json["file_id"]
        file = api.get(f"{FILES}/{file_id}").json
        assert set(file) == {"file_id", "account", "message_id", "filename", "filesize", "upload_time"}
        assert (file["filename"], file["filesize"]) == ("日本語.csv", 3)
        assert api.get(f"{ROOM}/messages/{file['message_id']}").json["body"] == (
            f"[info][title][dtext:file_uploaded][/title][download:{file_id}]日本語.csv (3 Byte)[/download][/info]どうぞ"
        )

    def test_an_image_has_a_preview(self, api: Any, sandbox: Sandbox) -> None:
        file_id = api.upload(FILES, b"\x89PNG", "graph.png").json["file_id"]
        assert f"[preview id={file_id} ht=150]" in sandbox.messages(company.SALES_ROOM)[-1]["body"]

    @pytest.mark.parametrize(("size", "status"), [(5 * 1024 * 1024, 200), (5 * 1024 * 1024 + 1, 413)])
    def test_accepts_5_mib(self, api: Any, size: int, status: int) -> None:
        assert api.upload(FILES, bytes(size)).status == status

    def test_keeps_the_content(self, api: Any, sandbox: Sandbox) -> None:
        content = bytes(range(256)) + b"\r\n--\r\n\r\n--c"
        file_id = api.upload(FILES, content).json["file_id"]
        assert sandbox.file_content(company.SALES_ROOM, file_id) == content

    def test_a_percent_encoded_file_name_stays_unchanged(self, api: Any) -> None:
        file_id = api.upload(FILES, b"x", "%E6%97%A5.csv").json["file_id"]
        assert api.get(f"{FILES}/{file_id}").json["filename"] == "%E6%97%A5.csv"

    def test_a_multipart_body_with_an_epilogue_is_rejected(self, api: Any) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
        multipart = "multipart/form-data; boundary=b"
        assert api.send("POST", FILES, part, multipart).status == 200
        assert api.send("POST", FILES, part + b"\r\n", multipart).status == 400

    def test_a_message_part_with_a_file_name_is_ignored(self, api: Any, sandbox: Sandbox) -> None:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="message"; filename="message"\r\n\r\nlost\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
        )
        assert api.send("POST", FILES, body, "multipart/form-data; boundary=b").status == 200
        assert "lost" not in sandbox.messages(company.SALES_ROOM)[-1]["body"]

    def test_a_form_without_a_file_is_rejected(self, api: Any) -> None:
        assert api.post(FILES, file="x").errors == ["Parameter 'file' is required"]

    def test_read_only_members_are_rejected(self, api: Any) -> None:
        assert api.upload(f"/rooms/{company.NOTICE_ROOM}/files", b"x").status == 403

    def test_accepts_uploads_of_requests_and_httpx(self, sandbox: Sandbox) -> None:
        url = f"https://api.chatwork.com/v2{FILES}"
        parts: dict[str, Any] = {"data": {"message": "メモ"}, "files": {"file": ("表 1.csv", b"a,b", "text/csv")}}
        by_requests = requests.Request("POST", url, **parts).prepare()
        by_httpx = httpx.Request("POST", url, **parts)
        for headers, body in ((by_requests.headers, by_requests.body), (by_httpx.headers, by_httpx.read())):
            assert isinstance(body, bytes)
            request = HttpRequest("POST", url, {**headers, "x-chatworktoken": sandbox.token}, body)
            assert sandbox.handle(request).status == 200
            assert sandbox.files(company.SALES_ROOM)[-1]["filename"] == "表 1.csv"
            assert sandbox.messages(company.SALES_ROOM)[-1]["body"].endswith("メモ")


class TestListFiles:
    def test_filters_by_uploader(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.upload_file(company.SALES_ROOM, company.SATO, Upload("memo.txt", b"x"))
        assert [file["filename"] for file in api.get(FILES, account_id=company.SATO).json] == ["memo.txt"]

    def test_is_204_without_files(self, api: Any) -> None:
        assert api.get(f"/rooms/{company.DATA_ROOM}/files").status == 204


class TestDownloadUrl:
    def ask(self, api: Any) -> str:
        file_id = api.upload(FILES, b"content", "売上.html").json["file_id"]
        return str(api.get(f"{FILES}/{file_id}", create_download_url=1).json["download_url"])

    def test_is_only_returned_on_request(self, api: Any) -> None:
        file_id = api.get(FILES).json[0]["file_id"]
        assert "download_url" not in api.get(f"{FILES}/{file_id}", create_download_url=0).json

    def test_has_the_host_of_the_request_and_needs_no_token(self, api: Any, sandbox: Sandbox) -> None:
        url = self.ask(api)
        assert url.startswith("https://api.chatwork.com/")
        assert sandbox.handle(HttpRequest("GET", url, {})).body == b"content"

    def test_expires_after_30_seconds(self, api: Any, sandbox: Sandbox, clock: Any) -> None:
        url = self.ask(api)
        clock.now += 29.9
        assert sandbox.handle(HttpRequest("GET", url, {})).status == 200
        clock.now += 0.1
        assert sandbox.handle(HttpRequest("GET", url, {})).status == 403

    def test_is_a_new_url_each_time(self, api: Any) -> None:
        assert self.ask(api) != self.ask(api)

    def test_an_html_file_is_not_rendered(self, api: Any, sandbox: Sandbox) -> None:
        headers = sandbox.handle(HttpRequest("GET", self.ask(api), {})).headers
        assert headers["content-disposition"].startswith("attachment")
        assert "sandbox" in headers["content-security-policy"]
