"""Files on this machine and in object storages: read for an upload, written by a download."""

from __future__ import annotations

import mimetypes
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkParameterError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

#: A path of this machine, or the URL of an object storage (``s3://conn_id@bucket/key``), or either as a path object.
Location: TypeAlias = "str | PathLike[str] | ObjectStoragePath"


# What file systems take, in bytes.
_LONGEST_NAME = 255


def read_upload(source: Location, *, filename: str | None = None, content_type: str | None = None) -> Upload:
    """Read a file to upload. No more than Chatwork takes, 5 MiB and a byte, is ever loaded.

    :param source: where the file is.
    :param filename: the name people will see; the file's own if not given.
    :param content_type: its media type; guessed from the name if not given.
    :raises ChatworkParameterError: for a file that is too large.
    :raises OSError: for a file that cannot be read.
    """
    path = _path(source)
    with path.open("rb") as file:
        content: bytes = file.read(validation.MAX_FILE + 1)
    validation.file_size("file", len(content), str(source))
    name = filename or path.name
    return Upload(name, content, content_type or guess_content_type(name))


def upload_of_text(text: str, *, filename: str, encoding: str = "utf-8", content_type: str | None = None) -> Upload:
    """Make a file of a text.

    :param encoding: any of Python's, such as ``cp932`` or ``utf-8-sig`` for spreadsheets.
    :raises ChatworkParameterError: for an unknown encoding, and for a text that it cannot hold.
    """
    if not isinstance(text, str):
        raise ChatworkParameterError("content", text, f"give a text, not {type(text).__name__}; a file can be anything")
    try:
        content = text.encode(encoding)
    except LookupError:
        raise ChatworkParameterError("encoding", encoding, "give a name Python knows, such as utf-8 or cp932") from None
    except UnicodeEncodeError as error:
        character = text[error.start]
        raise ChatworkParameterError(
            "content", character, f"{encoding} has no such character (at {error.start}); use utf-8 or replace it"
        ) from None
    validation.file_size("content", len(content))
    return Upload(filename, content, content_type or guess_content_type(filename))


def guess_content_type(filename: str) -> str:
    """The media type a file name stands for."""
    kind, packed_by = mimetypes.guess_type(filename)
    # The kind is that of what is inside: `report.csv.gz` is no CSV.
    return "application/octet-stream" if kind is None or packed_by is not None else kind


def save(chunks: Iterable[bytes], destination: Location, *, name: str, size: int) -> str:
    """Write a download, and say where.

    :param destination: a file, or a folder (one that exists, or a name ending in ``/``).
    :param name: the file's name in that folder. Its path, if somebody gave it one, is left out.
    :param size: how many bytes there have to be.
    :raises ChatworkNetworkError: where there are more or fewer; nothing is left behind then.
    """
    path = _path(destination)
    if str(destination).endswith("/") or path.is_dir():
        path = path / _plain_name(name)
    # An object storage's path is one of `pathlib`, too, on some versions.
    if _is_elsewhere(path):
        _save_there(chunks, path, size)
    else:
        _save_here(chunks, path, size)
    return str(path)


def _save_here(chunks: Iterable[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and then moved there, so that nobody ever finds half a file under the name.
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.", suffix=".part")
    try:
        with open(handle, "wb") as file:
            _copy(chunks, file, size)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _save_there(chunks: Iterable[bytes], path: Any, size: int) -> None:
    # Nothing can be moved into place there, so what is there is not touched before the whole file is here.
    with tempfile.TemporaryFile() as whole:
        _copy(chunks, whole, size)
        whole.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(whole, file)


def _copy(chunks: Iterable[bytes], file: Any, size: int) -> None:
    written = 0
    for chunk in chunks:
        written += len(chunk)
        if written > size:
            break
        file.write(chunk)
    if written != size:
        raise ChatworkNetworkError(f"the download has {'more' if written > size else 'fewer'} than its {size} bytes")


def _path(location: Location) -> Any:
    if not _is_elsewhere(location):
        return Path(location)  # type: ignore[arg-type]
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return location if isinstance(location, ObjectStoragePath) else ObjectStoragePath(str(location))


def _is_elsewhere(location: Location) -> bool:
    return "://" in str(location)


def _plain_name(name: str) -> str:
    plain = name.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")
    if plain in ("", ".", ".."):
        return "download"
    # Chatwork counts characters, file systems count bytes, and Japanese takes three of them each.
    stem, suffix = os.path.splitext(plain)
    room = max(_LONGEST_NAME - len(os.fsencode(suffix)), 0)
    return stem.encode()[:room].decode(errors="ignore") + suffix.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _umask() -> int:
    # The only way to read it is to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
