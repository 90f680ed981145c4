"""Read files for uploads, and write downloads: on this machine and in object storages."""

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

#: A path of this machine or the URL of an object storage (``s3://conn_id@bucket/key``), as text or path object.
Location: TypeAlias = "str | PathLike[str] | ObjectStoragePath"

# The longest file name of common file systems, in bytes.
_LONGEST_NAME = 255


def read_upload(source: Location, *, filename: str | None = None, content_type: str | None = None) -> Upload:
    """Read a file to upload. At most one byte more than Chatwork's limit of 5 MiB is read.

    :param source: the file.
    :param filename: the name in Chatwork; the name of the file if not given.
    :param content_type: its media type; guessed from the name if not given.
    :raises ChatworkParameterError: if the file is too large.
    :raises OSError: if the file cannot be read.
    """
    path = _path(source)
    with path.open("rb") as file:
        content: bytes = file.read(validation.MAX_FILE + 1)
    validation.file_size("file", len(content), str(source))
    name = filename or path.name
    return Upload(name, content, content_type or guess_content_type(name))


def upload_of_text(text: str, *, filename: str, encoding: str = "utf-8", content_type: str | None = None) -> Upload:
    """Encode a text as a file to upload.

    :param encoding: an encoding of Python, such as ``cp932``, or ``utf-8-sig`` for spreadsheets.
    :raises ChatworkParameterError: if the encoding is unknown or cannot encode the text.
    """
    if not isinstance(text, str):
        raise ChatworkParameterError(
            "content", text, f"give a text, not {type(text).__name__} (``file`` accepts any content)"
        )
    try:
        content = text.encode(encoding)
    except LookupError:
        raise ChatworkParameterError(
            "encoding", encoding, "give an encoding of Python, such as utf-8 or cp932"
        ) from None
    except UnicodeEncodeError as error:
        character = text[error.start]
        raise ChatworkParameterError(
            "content", character, f"{encoding} has no such character (at {error.start}); use utf-8 or replace it"
        ) from None
    validation.file_size("content", len(content))
    return Upload(filename, content, content_type or guess_content_type(filename))


def guess_content_type(filename: str) -> str:
    """The media type that belongs to the suffix of a file name."""
    kind, compression = mimetypes.guess_type(filename)
    # The kind is that of the compressed file: `report.csv.gz` is not a CSV.
    return "application/octet-stream" if kind is None or compression is not None else kind


def save(chunks: Iterable[bytes], destination: Location, *, name: str, size: int) -> str:
    """Write a download and return its path.

    :param destination: a file, or a folder (one that exists, or a name ending in ``/``).
    :param name: the name of the file in that folder. A path in it is removed.
    :param size: the expected number of bytes.
    :raises ChatworkNetworkError: if there are more or fewer bytes. No file is written then.
    """
    path = _path(destination)
    if str(destination).endswith("/") or path.is_dir():
        path = path / _plain_name(name)
    # On some versions an ObjectStoragePath is also a pathlib path, so the type does not decide.
    if _is_url(path):
        _save_to_storage(chunks, path, size)
    else:
        _save_locally(chunks, path, size)
    return str(path)


def _save_locally(chunks: Iterable[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written to a temporary file in the same folder and then renamed, so that no incomplete file has this name.
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


def _save_to_storage(chunks: Iterable[bytes], path: Any, size: int) -> None:
    # An object storage has no atomic rename, so the target is not touched before the whole file has arrived.
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
    if not _is_url(location):
        return Path(location)  # type: ignore[arg-type]
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return location if isinstance(location, ObjectStoragePath) else ObjectStoragePath(str(location))


def _is_url(location: Location) -> bool:
    return "://" in str(location)


def _plain_name(name: str) -> str:
    plain = name.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")
    if plain in ("", ".", ".."):
        return "download"
    # Chatwork limits characters, file systems limit bytes; a Japanese character has three bytes.
    stem, suffix = os.path.splitext(plain)
    room = max(_LONGEST_NAME - len(os.fsencode(suffix)), 0)
    return stem.encode()[:room].decode(errors="ignore") + suffix.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
