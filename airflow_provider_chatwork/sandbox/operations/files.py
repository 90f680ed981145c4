"""Files of a room."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, HttpError, required
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext, capped

#: Bytes. The documented limit is 5 MB; a larger file is a 413.
MAX_FILE_BYTES = 5 * 1024 * 1024


def list_files(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/files``."""
    room = context.room(room_id)
    uploader = context.query.number("account_id")
    return capped(
        [context.serializer.file(file) for file in room.files.values() if uploader in (None, file.account_id)]
    )


def upload_file(context: RequestContext, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/files``: multipart with the part ``file`` and an optional part ``message``."""
    upload = context.uploads.get("file")
    if upload is None:
        raise required("file")
    comment = context.form.text("message", BODY_LENGTH) or ""
    if len(upload.content) > MAX_FILE_BYTES:
        raise HttpError(413, f"File must not be larger than {MAX_FILE_BYTES} bytes")
    room = context.writable_room(room_id)
    return {"file_id": context.changes.add_file(room, context.account_id, upload, comment).file_id}


def get_file(context: RequestContext, room_id: int, file_id: int) -> Answer:
    """``GET /rooms/{room_id}/files/{file_id}``."""
    file = context.file(context.room(room_id), file_id)
    result = context.serializer.file(file)
    if context.query.flag("create_download_url", default=False):
        result["download_url"] = context.download_url(file)
    return result
