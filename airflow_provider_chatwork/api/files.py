"""Files of a room. https://developer.chatwork.com/reference/get-rooms-room_id-files"""

from __future__ import annotations

import unicodedata

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request, Upload, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.http import parse_list, parse_object
from airflow_provider_chatwork.api.messages import PAGE


def list_files(room_id: int | str, *, account_id: int | str | None = None) -> Call[list[models.File]]:
    """Files of a room, at most 100; there are no pages.

    :param account_id: only files of this uploader.
    """
    query = {} if account_id is None else {"account_id": str(validation.identifier("account_id", account_id))}
    return Call("list_files", Request("GET", _path(room_id), query=query), parse_list(models.File))


def upload_file(room_id: int | str, upload: Upload, *, message: str | None = None) -> Call[models.UploadedFile]:
    """Upload one file of at most 5 MiB. The API cannot delete it.

    :param upload: name, bytes and media type of the file.
    :param message: a comment on the file, 1 to 65535 characters.
    """
    room_id = validation.identifier("room_id", room_id)
    validation.text("filename", upload.filename, longest=validation.MAX_NAME)
    if any(character in upload.filename for character in "\r\n\0/\\"):
        raise ChatworkParameterError("filename", upload.filename, "give a plain file name, without path or line breaks")
    validation.media_type("content_type", upload.content_type)
    validation.file_size("file", len(upload.content))
    form = {} if message is None else {"message": validation.text("message", message)}

    def find_executed(since: float, account_id: int) -> Lookup[models.UploadedFile]:
        files = yield strict_empty_list(list_files(room_id, account_id=account_id))
        ours = [
            file
            for file in files
            if _shown_name(file["filename"]) == _shown_name(upload.filename)
            and file["filesize"] == len(upload.content)
            and (file.get("upload_time") or since) >= since
        ]
        if not ours and len(files) >= PAGE:
            raise ChatworkUnknownOutcomeError("upload_file", f"the room shows no more than {PAGE} files")
        return [{"file_id": file["file_id"]} for file in sorted(ours, key=lambda file: file["file_id"])]

    request = Request("POST", _path(room_id), form=form, upload=upload)
    return Call(
        "upload_file", request, parse_object(models.UploadedFile), repeatable=False, find_executed=find_executed
    )


def get_file(room_id: int | str, file_id: int | str, *, create_download_url: bool = False) -> Call[models.File]:
    """Read one file.

    :param create_download_url: whether the result has a ``download_url``, which is valid for 30 seconds. Download it
        without the API token.
    """
    path = f"{_path(room_id)}/{validation.identifier('file_id', file_id)}"
    query = {"create_download_url": validation.flag("create_download_url", create_download_url)}
    return Call("get_file", Request("GET", path, query=query), parse_object(models.File))


def _shown_name(filename: str) -> str:
    """A file name in the form in which Chatwork returns it: quotation marks, Unicode form, white space at the ends."""
    return unicodedata.normalize("NFC", filename.replace("%22", '"')).strip()


def _path(room_id: int | str) -> str:
    return f"/rooms/{validation.identifier('room_id', room_id)}/files"
