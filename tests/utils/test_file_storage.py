from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkParameterError
from airflow_provider_chatwork.api.validation import MAX_FILE
from airflow_provider_chatwork.utils import file_storage
from tests.airflow_helpers import VERSION

# Airflow's object storage uses a deprecated function of its library.
pytestmark = pytest.mark.filterwarnings("ignore:in a future version of UPath:PendingDeprecationWarning")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "売上.csv"
    path.write_bytes("日付,売上\n".encode())
    return path


@pytest.fixture
def in_memory(tmp_path: Path):
    """An empty folder of an object storage in memory."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath
    from fsspec.implementations.memory import MemoryFileSystem

    if VERSION < (3, 0):
        from airflow.io.store import attach
    else:
        from airflow.sdk.io import attach

    attach("memory", fs=MemoryFileSystem())
    folder = ObjectStoragePath(f"memory://{tmp_path.name}/files")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class TestReadUpload:
    def test_accepts_a_path_in_every_form(self, report):
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        expected = Upload("売上.csv", "日付,売上\n".encode(), "text/csv")
        for source in (str(report), report, f"file://{report}", ObjectStoragePath(f"file://{report}")):
            assert file_storage.read_upload(source) == expected

    def test_reads_from_an_object_storage(self, in_memory):
        (in_memory / "a.txt").write_bytes(b"hello")
        assert file_storage.read_upload(str(in_memory / "a.txt")) == Upload("a.txt", b"hello", "text/plain")

    def test_gives_it_another_name_and_kind(self, report):
        upload = file_storage.read_upload(report, filename="report.tsv", content_type="text/x")
        assert (upload.filename, upload.content_type) == ("report.tsv", "text/x")
        assert file_storage.read_upload(report, filename="report.json").content_type == "application/json"

    def test_accepts_a_file_of_exactly_the_limit(self, tmp_path):
        path = tmp_path / "full.bin"
        path.write_bytes(bytes(MAX_FILE))
        assert len(file_storage.read_upload(path).content) == MAX_FILE

    def test_refuses_a_larger_one_by_name(self, tmp_path, monkeypatch):
        # The error shows the beginning of a long path.
        monkeypatch.chdir(tmp_path)
        path = Path("large.bin")
        with path.open("wb") as file:
            file.truncate(MAX_FILE + 1)
        with pytest.raises(ChatworkParameterError, match=r"large\.bin.*5 MiB"):
            file_storage.read_upload(path)

    def test_never_loads_more_than_a_byte_over_the_limit(self, tmp_path):
        # A sparse file of 1 TiB: reading all of it would exhaust the memory.
        path = tmp_path / "endless.bin"
        with path.open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ChatworkParameterError, match="5 MiB"):
            file_storage.read_upload(path)

    def test_raises_the_error_of_the_system_for_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            file_storage.read_upload(tmp_path / "missing.csv")


class TestUploadOfText:
    @pytest.mark.parametrize(
        ("encoding", "expected"),
        [
            ("utf-8", "①山田".encode()),
            ("cp932", b"\x87\x40\x8eR\x93c"),
            ("utf-8-sig", b"\xef\xbb\xbf" + "①山田".encode()),
        ],
    )
    def test_encodes_the_text(self, encoding, expected):
        upload = file_storage.upload_of_text("①山田", filename="名簿.csv", encoding=encoding)
        assert upload == Upload("名簿.csv", expected, "text/csv")

    def test_names_the_character_that_cannot_be_encoded_and_its_position(self):
        with pytest.raises(ChatworkParameterError) as caught:
            file_storage.upload_of_text("寿司 🍣", filename="a.csv", encoding="cp932")
        assert str(caught.value) == "content='🍣': cp932 has no such character (at 3); use utf-8 or replace it"
        # The cause would contain the whole text.
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_refuses_an_encoding_that_does_not_exist(self):
        with pytest.raises(ChatworkParameterError, match=r"encoding='shift-jis2004'.*cp932"):
            file_storage.upload_of_text("a", filename="a.csv", encoding="shift-jis2004")

    def test_refuses_a_value_that_is_not_a_text(self):
        content: Any = b"1,2"
        with pytest.raises(ChatworkParameterError, match="content=b'1,2': give a text, not bytes"):
            file_storage.upload_of_text(content, filename="a.csv")

    def test_counts_bytes_and_not_characters(self):
        with pytest.raises(ChatworkParameterError, match="5 MiB"):
            file_storage.upload_of_text("山" * (MAX_FILE // 3 + 1), filename="a.csv")


class TestGuessContentType:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a.csv", "text/csv"),
            ("a.PDF", "application/pdf"),
            ("a", "application/octet-stream"),
            ("a.unheardof", "application/octet-stream"),
            ("a.csv.gz", "application/octet-stream"),
        ],
    )
    def test_depends_on_the_suffix(self, name, expected):
        assert file_storage.guess_content_type(name) == expected


def parts_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestSave:
    @pytest.mark.parametrize("chunks", [[b"hello"], [b"he", b"", b"llo"]])
    def test_writes_a_file(self, tmp_path, chunks):
        path = tmp_path / "new" / "a.txt"
        assert file_storage.save(chunks, path, name="b.txt", size=5) == str(path)
        assert path.read_bytes() == b"hello"
        assert parts_of(path.parent) == ["a.txt"]

    def test_writes_into_an_existing_folder(self, tmp_path):
        assert file_storage.save([b"x"], tmp_path, name="売上.csv", size=1) == str(tmp_path / "売上.csv")

    def test_writes_into_a_folder_that_ends_in_a_slash(self, tmp_path):
        assert file_storage.save([b"x"], f"{tmp_path}/new/", name="a.csv", size=1) == str(tmp_path / "new" / "a.csv")

    def test_writes_an_empty_file(self, tmp_path):
        file_storage.save([], tmp_path, name="empty", size=0)
        assert (tmp_path / "empty").read_bytes() == b""

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("../../evil.txt", "evil.txt"),
            ("/etc/passwd", "passwd"),
            ("..\\evil.txt", "evil.txt"),
            ("C:\\temp\\evil.txt", "evil.txt"),
            ("..", "download"),
            (".", "download"),
            ("", "download"),
            ("a/", "download"),
            ("..\0", "download"),
            ("a\0b", "ab"),
        ],
    )
    def test_stays_in_the_folder_whatever_path_the_name_contains(self, tmp_path, name, written):
        folder = tmp_path / "deep" / "folder"
        folder.mkdir(parents=True)
        assert file_storage.save([b"x"], folder, name=name, size=1) == str(folder / written)
        assert parts_of(tmp_path) == ["deep"]
        assert parts_of(folder) == [written]

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("あ" * 200 + ".csv", "あ" * 83 + ".csv"),
            ("x" * 300, "x" * 255),
            ("x." + "あ" * 200, "あ" * 84),
        ],
        ids=["stem", "no suffix", "suffix"],
    )
    def test_shortens_a_name_that_the_file_system_would_refuse(self, tmp_path, name, written):
        assert Path(file_storage.save([b"x"], tmp_path, name=name, size=1)).name.endswith(written[-84:])
        assert (tmp_path / parts_of(tmp_path)[0]).read_bytes() == b"x"

    @pytest.mark.parametrize("chunks", [[b"hell"], [b"hello", b"!"], []])
    def test_writes_no_file_of_another_size(self, tmp_path, chunks):
        with pytest.raises(ChatworkNetworkError, match="than its 5 bytes"):
            file_storage.save(chunks, tmp_path, name="a.txt", size=5)
        assert parts_of(tmp_path) == []

    def test_stops_reading_a_download_that_does_not_end(self, tmp_path):
        def endless():
            for _ in range(10):
                yield b"x" * 3
            raise AssertionError("it reads on for ever")

        with pytest.raises(ChatworkNetworkError, match="more than its 5 bytes"):
            file_storage.save(endless(), tmp_path, name="a.txt", size=5)

    def test_replaces_a_file_only_by_a_complete_one(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(b"before")
        seen = []

        def chunks():
            yield b"he"
            seen.append(path.read_bytes())
            yield b"llo"

        file_storage.save(chunks(), path, name="a.txt", size=5)
        assert seen == [b"before"]
        assert path.read_bytes() == b"hello"

    def test_keeps_the_existing_file_where_the_download_fails(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(b"before")

        def chunks():
            yield b"he"
            raise ChatworkNetworkError("cut")

        with pytest.raises(ChatworkNetworkError, match="cut"):
            file_storage.save(chunks(), path, name="a.txt", size=5)
        assert path.read_bytes() == b"before"
        assert parts_of(tmp_path) == ["a.txt"]

    def test_sets_the_permissions_by_the_umask(self, tmp_path):
        mask = os.umask(0o027)
        try:
            file_storage.save([b"x"], tmp_path / "a.txt", name="", size=1)
        finally:
            assert os.umask(mask) == 0o027
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640

    def test_writes_into_an_object_storage(self, in_memory):
        written = file_storage.save([b"he", b"llo"], f"{in_memory}/a.txt", name="b.txt", size=5)
        assert written == f"{in_memory}/a.txt"
        assert (in_memory / "a.txt").read_bytes() == b"hello"

    def test_writes_into_a_folder_of_an_object_storage(self, in_memory):
        file_storage.save([b"x"], f"{in_memory}/", name="../b.txt", size=1)
        assert (in_memory / "b.txt").read_bytes() == b"x"

    def test_keeps_the_object_where_the_download_fails(self, in_memory):
        (in_memory / "a.txt").write_bytes(b"before")
        with pytest.raises(ChatworkNetworkError):
            file_storage.save([b"hell"], in_memory / "a.txt", name="", size=5)
        assert (in_memory / "a.txt").read_bytes() == b"before"
        with pytest.raises(ChatworkNetworkError):
            file_storage.save([b"hell"], in_memory / "b.txt", name="", size=5)
        assert [path.name for path in in_memory.iterdir()] == ["a.txt"]

    def test_accepts_any_path_object(self, tmp_path):
        class Somewhere(os.PathLike[str]):
            def __fspath__(self) -> str:
                return str(tmp_path / "a.txt")

            def __str__(self) -> str:
                return "not the path"

        file_storage.save([b"x"], Somewhere(), name="", size=1)
        assert parts_of(tmp_path) == ["a.txt"]


class TestReportedProblems:
    @pytest.mark.parametrize("content", [5, b"bytes", None, {"a": 1}])
    def test_a_content_that_is_no_text_is_named(self, content):
        with pytest.raises(ChatworkParameterError, match="content"):
            file_storage.upload_of_text(content, filename="a.txt")

    @pytest.mark.parametrize(
        ("name", "suffix"), [("あ" * 100 + ".csv", ".csv"), ("あ" * 200, ""), ("." + "あ" * 100, "")]
    )
    def test_a_name_longer_than_a_file_system_takes_is_cut(self, tmp_path, name, suffix):
        written = Path(file_storage.save([b"x"], tmp_path, name=name, size=1))
        assert written.read_bytes() == b"x"
        assert written.name.endswith(suffix)
        assert 200 < len(os.fsencode(written.name)) <= 255
