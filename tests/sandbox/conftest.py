from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.sandbox import Sandbox

NOON = 1_800_000_000.0
FORM = "application/x-www-form-urlencoded"


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Reply:
    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.response.headers)

    @property
    def json(self) -> Any:
        return json.loads(self.response.body)

    @property
    def errors(self) -> list[str]:
        return list(self.json["errors"])


class Api:
    """A minimal HTTP client of a sandbox."""

    def __init__(self, sandbox: Sandbox, token: str) -> None:
        self.sandbox = sandbox
        self.token = token

    def send(
        self, method: str, path: str, body: bytes = b"", content_type: str = FORM, headers: dict[str, str] | None = None
    ) -> Reply:
        all_headers = {"x-chatworktoken": self.token, "content-type": content_type, **(headers or {})}
        return Reply(self.sandbox.handle(HttpRequest(method, f"https://api.chatwork.com/v2{path}", all_headers, body)))

    def get(self, path: str, **query: object) -> Reply:
        return self.send("GET", path + (f"?{urlencode(query)}" if query else ""))

    def post(self, path: str, **form: object) -> Reply:
        return self.send("POST", path, urlencode(form).encode())

    def put(self, path: str, **form: object) -> Reply:
        return self.send("PUT", path, urlencode(form).encode())

    def delete(self, path: str, **form: object) -> Reply:
        return self.send("DELETE", path, urlencode(form).encode())

    def upload(self, path: str, content: bytes, filename: str = "a.csv", message: str | None = None) -> Reply:
        head = f'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{message}\r\n' if message else ""
        head += f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--b--\r\n"
        return self.send("POST", path, body, "multipart/form-data; boundary=b")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox, sandbox.token)
