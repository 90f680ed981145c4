from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.api.validation import MAX_FILE
from airflow_provider_chatwork.operators.files import ChatworkDownloadFileOperator, ChatworkUploadFileOperator
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_helpers import context

# Airflow's object storage uses a deprecated function of its library.
pytestmark = pytest.mark.filterwarnings("ignore:in a future version of UPath:PendingDeprecationWarning")

ROOM = company.DATA_ROOM


def upload(sandbox: Any, **arguments: Any) -> tuple[str, bytes]:
    """Execute the operator and return the name and content of the file in Chatwork."""
    file_id = ChatworkUploadFileOperator(task_id="t", room_id=ROOM, **arguments).execute(context())
    [name] = [file["filename"] for file in sandbox.files(ROOM) if file["file_id"] == file_id]
    return name, sandbox.file_content(ROOM, file_id)


class TestChatworkUploadFileOperator:
    @pytest.mark.parametrize(
        "source", [str, Path, lambda path: f"file://{path}"], ids=["path", "pathlib", "object storage"]
    )
    def test_uploads_a_file(self, source, sandbox, tmp_path):
        (tmp_path / "売上.csv").write_bytes(b"1,2\r\n")
        assert upload(sandbox, file=source(tmp_path / "売上.csv")) == ("売上.csv", b"1,2\r\n")

    def test_gives_it_another_name_and_a_comment(self, sandbox, tmp_path):
        (tmp_path / "out.tmp").write_bytes(b"\x00\xff")
        done = upload(sandbox, file=tmp_path / "out.tmp", filename="図.png", message="今週の図です")
        assert done == ("図.png", b"\x00\xff")
        assert "今週の図です" in sandbox.messages(ROOM)[-1]["body"]

    @pytest.mark.parametrize(
        ("encoding", "content"),
        [({}, "①山田\n".encode()), ({"encoding": "cp932"}, b"\x87\x40\x8eR\x93c\n")],
        ids=["utf-8", "cp932"],
    )
    def test_uploads_a_text_as_a_file(self, encoding, content, sandbox):
        assert upload(sandbox, content="①山田\n", filename="名簿.csv", **encoding) == ("名簿.csv", content)

    def test_uploads_an_empty_text(self, sandbox):
        assert upload(sandbox, content="", filename="empty.txt") == ("empty.txt", b"")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({}, "either file or content"),
            ({"file": "a.txt", "content": "a"}, "either file or content"),
            ({"content": "a"}, "filename"),
            ({"content": "寿司 🍣", "filename": "a.csv", "encoding": "cp932"}, "🍣"),
            ({"content": "a", "filename": "a.csv", "encoding": "sjis-mac"}, "encoding='sjis-mac'"),
            ({"content": "a", "filename": "../a.csv"}, "plain file name"),
            ({"content": "山" * (MAX_FILE // 3 + 1), "filename": "a.csv"}, "5 MiB"),
        ],
        ids=["nothing", "both", "no name", "unencodable", "encoding", "path in name", "too large"],
    )
    def test_sends_nothing_that_chatwork_would_refuse(self, arguments, said, sandbox):
        with pytest.raises(AirflowFailException, match=said):
            ChatworkUploadFileOperator(task_id="t", room_id=ROOM, **arguments).execute(context())
        assert not sandbox.requests

    def test_does_not_read_or_send_a_file_that_is_too_large(self, sandbox, tmp_path, monkeypatch):
        # The error shows the beginning of a long path.
        monkeypatch.chdir(tmp_path)
        with open("endless.bin", "wb") as file:
            file.truncate(2**40)
        with pytest.raises(AirflowFailException, match=r"endless\.bin.*5 MiB"):
            upload(sandbox, file="endless.bin")
        assert not sandbox.requests

    def test_leaves_a_missing_file_to_the_retries_of_airflow(self, sandbox, tmp_path):
        with pytest.raises(FileNotFoundError):
            upload(sandbox, file=tmp_path / "not-yet.csv")
        assert not sandbox.requests


class TestChatworkDownloadFileOperator:
    @pytest.fixture
    def file_id(self, sandbox: Any) -> int:
        return sandbox.upload_file(ROOM, company.SATO, Upload("../指標 2026.csv", b"x" * 200_000))

    def download(self, file_id: int, destination: Any) -> str:
        task = ChatworkDownloadFileOperator(task_id="t", room_id=ROOM, file_id=file_id, destination=destination)
        return task.execute(context())

    def test_writes_to_a_file(self, file_id, tmp_path):
        assert self.download(file_id, tmp_path / "new" / "a.csv") == str(tmp_path / "new" / "a.csv")
        assert (tmp_path / "new" / "a.csv").read_bytes() == b"x" * 200_000

    def test_writes_into_a_folder_and_nowhere_else(self, file_id, tmp_path):
        (tmp_path / "in").mkdir()
        written = Path(self.download(str(file_id), f"{tmp_path}/in"))
        assert written.parent == tmp_path / "in"
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        assert written.name == "指標 2026.csv"

    def test_writes_to_an_object_storage(self, file_id, tmp_path):
        self.download(file_id, f"file://{tmp_path}/")
        assert (tmp_path / "指標 2026.csv").read_bytes() == b"x" * 200_000

    def test_replaces_an_existing_file(self, file_id, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"before")
        self.download(file_id, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").stat().st_size == 200_000

    def test_keeps_the_existing_file_where_the_download_fails(self, file_id, sandbox, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"before")
        sandbox.add_fault(Fault("cut", path="/sandbox/download/.*", times=None))
        with pytest.raises(ChatworkNetworkError):
            self.download(file_id, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_bytes() == b"before"
        assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]

    def test_sends_no_token_with_a_download(self, file_id, sandbox, tmp_path):
        self.download(file_id, tmp_path)
        [fetched] = [request for request in sandbox.requests if request.path.startswith("/sandbox/download/")]
        assert fetched.account_id is None

    def test_fails_without_retries_where_the_file_does_not_exist(self, sandbox, tmp_path):
        with pytest.raises(AirflowFailException, match="404"):
            self.download(999, tmp_path)
        assert not list(tmp_path.iterdir())
