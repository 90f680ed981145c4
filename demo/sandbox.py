"""The demo's Chatwork: the sandbox in a process of its own."""

from __future__ import annotations

import re
import secrets
import sys
from pathlib import Path
from typing import Any

import httpx

from demo.processes import Process

ROOT = Path(__file__).resolve().parent.parent


class SandboxServer:
    """The sandbox behind a free port.

    :param folder: where its log goes.
    :param processes: gets its process.
    """

    def __init__(self, folder: Path, processes: list[Process]) -> None:
        # One that is found nowhere by chance.
        self.token = f"demo-{secrets.token_hex(12)}"
        self.address = ""
        command = [sys.executable, "-m", "airflow_provider_chatwork.sandbox", "--port", "0", "--token", self.token]
        self._process = Process("sandbox", command, folder)
        processes.append(self._process)
        self._http = httpx.Client(trust_env=False, timeout=5)

    def ready(self) -> bool:
        """Whether it is up; then ``address`` says where."""
        found = re.search(r"^ +page +(http\S+?)/?$", self._process.log.read_text("utf-8"), re.MULTILINE)
        if found:
            self.address = found[1]
        return bool(found)

    @property
    def process(self) -> Process:
        """Its process."""
        return self._process

    def read(self, name: str) -> Any:
        """Return the JSON of ``GET /sandbox/{name}``: ``state``, ``requests``, ``write_counts``."""
        return self._http.get(f"{self.address}/sandbox/{name}").raise_for_status().json()

    def complete_task(self, room_id: int, task_id: int) -> None:
        """Complete a task as a person."""
        arguments = {"room_id": room_id, "task_id": task_id}
        self._http.post(f"{self.address}/sandbox/complete_task", json=arguments).raise_for_status()

    def room(self, room_id: int) -> dict[str, Any]:
        """Return a room with its messages, tasks and files."""
        rooms: list[dict[str, Any]] = self.read("state")["rooms"]
        return next(room for room in rooms if room["room_id"] == room_id)

    def names(self) -> dict[int, str]:
        """Return the names of the people by their account ids."""
        return {account["account_id"]: account["name"] for account in self.read("state")["accounts"]}
