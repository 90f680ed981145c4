from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.sandbox import company

ROOT = Path(__file__).resolve().parent.parent
MODULE = "airflow_provider_chatwork.pytest_plugin"

USER_TESTS = """
import os
from airflow_provider_chatwork.sandbox.company import DATA_ROOM

seen = []

def test_first(chatwork_sandbox):
    seen.append(chatwork_sandbox.address)
    chatwork_sandbox.post_message(DATA_ROOM, chatwork_sandbox.account_id, "first")
    assert "127.0.0.1" in os.environ["AIRFLOW_CONN_CHATWORK_DEFAULT"]

def test_second(chatwork_sandbox):
    assert "first" not in [message["body"] for message in chatwork_sandbox.messages(DATA_ROOM)]

def test_third():
    assert "AIRFLOW_CONN_CHATWORK_DEFAULT" not in os.environ
"""


def run_pytest(folder: Path, *options: str, installed: bool) -> subprocess.CompletedProcess[str]:
    """Run pytest in the project of a user, with or without the provider installed."""
    (folder / "test_mine.py").write_text(USER_TESTS)
    path = [ROOT]
    try:
        metadata.distribution("airflow-provider-chatwork")
        is_installed = True
    except metadata.PackageNotFoundError:
        is_installed = False
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN")}
    if installed and not is_installed:
        info = folder / "site" / "airflow_provider_chatwork-0.0.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-provider-chatwork\nVersion: 0.0.0\n")
        (info / "entry_points.txt").write_text(f"[pytest11]\nchatwork_sandbox = {MODULE}\n")
        path.append(info.parent)
    if not installed:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *options],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )


class TestPlugin:
    def test_is_loaded_if_the_provider_is_installed(self, tmp_path):
        done = run_pytest(tmp_path, installed=True)
        assert "3 passed" in done.stdout, done.stdout + done.stderr

    def test_can_be_loaded_explicitly_without_autoload(self, tmp_path):
        done = run_pytest(tmp_path, "-p", MODULE, installed=False)
        assert "3 passed" in done.stdout, done.stdout + done.stderr

    def test_is_an_entry_point(self):
        declared = (ROOT / "pyproject.toml").read_text("utf-8")
        assert f'[project.entry-points.pytest11]\nchatwork_sandbox = "{MODULE}"' in declared

    def test_imports_nothing_before_it_is_used(self):
        # pytest loads it wherever the provider is installed, and tests may configure Airflow first.
        script = f"import sys, {MODULE}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
        )
        loaded = set(done.stdout.split())
        assert MODULE in loaded
        assert not {"airflow", "starlette", "uvicorn", "httpx", "requests"} & loaded
        assert not {name for name in loaded if name.startswith("airflow_provider_chatwork.sandbox")}


class TestChatworkSandbox:
    def test_is_the_host_of_the_default_connection(self, chatwork_sandbox):
        posted = ChatworkHook().post_message(company.DATA_ROOM, "テスト")
        assert chatwork_sandbox.messages(company.DATA_ROOM)[-1] == {
            **chatwork_sandbox.messages(company.DATA_ROOM)[-1],
            "message_id": posted["message_id"],
            "body": "テスト",
        }
        assert ChatworkHook().settings.base_url == chatwork_sandbox.address.api

    def test_listens_only_on_loopback(self, chatwork_sandbox):
        assert chatwork_sandbox.address.host == "127.0.0.1"

    def test_replaces_an_existing_default_connection(
        self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ):
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", "chatwork://:the-real-token@")
        sandbox = request.getfixturevalue("chatwork_sandbox")
        assert ChatworkHook().settings.token == sandbox.token
