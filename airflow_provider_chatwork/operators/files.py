"""Operators that upload and download files."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.operators._base import ChatworkOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.call import Upload
    from airflow_provider_chatwork.utils.file_storage import Location


class ChatworkUploadFileOperator(ChatworkOperator):
    """Upload a file of at most 5 MiB to a room. Returns the file id.

    :param file: the file: a path of the worker, or the URL of an object storage that Airflow can open
        (``s3://conn_id@bucket/key``).
    :param content: the text of the file, instead of ``file``; it needs a ``filename``. It is a template: Jinja removes
        a line break at its end and converts CRLF to LF, but not in inserted values.
    :param encoding: the encoding of ``content``, ``cp932`` for example.
    :param filename: the name in Chatwork; that of ``file`` if not given.
    :param message: a comment on the file, 1 to 65535 characters.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later a retry does not upload the file again if its fields render to the same values.

    https://developer.chatwork.com/reference/post-rooms-room_id-files
    """

    template_fields: Sequence[str] = (
        *("file", "content", "encoding", "filename", "message"),
        *ChatworkOperator.template_fields,
    )

    def __init__(
        self,
        *,
        file: Location | None = None,
        content: str | None = None,
        encoding: str = "utf-8",
        filename: str | None = None,
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.content = content
        self.encoding = encoding
        self.filename = filename
        self.message = message

    def act(self, context: Context) -> int:
        """Upload, and return the file id."""
        room_id = self.hook.room_id_or_default(self.room_id)
        call = api.files.upload_file(room_id, self._upload(), message=self.message or None)
        file_id = self.run_call(context, call)["file_id"]
        self.show_place(context, room_id, self.message_of(api.files.get_file(room_id, file_id)))
        return file_id

    def _upload(self) -> Upload:
        from airflow_provider_chatwork.utils.file_storage import read_upload, upload_of_text

        if (self.file is None) == (self.content is None):
            raise ChatworkParameterError("file", self.file, "give either file or content")
        if self.content is None:
            return read_upload(self.file, filename=self.filename)  # type: ignore[arg-type]
        if not self.filename:
            raise ChatworkParameterError("filename", self.filename, "content needs a filename")
        return upload_of_text(self.content, filename=self.filename, encoding=self.encoding)


class ChatworkDownloadFileOperator(ChatworkOperator):
    """Download a file of a room. Returns the path it was written to, as text.

    :param file_id: the file id that ``ChatworkUploadFileOperator`` returned.
    :param destination: a file, or a folder (one that exists, or a name ending in ``/``), in which the file gets its
        name in Chatwork: a path of the worker, or the URL of an object storage that Airflow can open.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    https://developer.chatwork.com/reference/get-rooms-room_id-files-file_id
    """

    template_fields: Sequence[str] = ("file_id", "destination", *ChatworkOperator.template_fields)

    def __init__(self, *, file_id: int | str, destination: str | PathLike[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file_id = file_id
        self.destination = destination

    def act(self, context: Context) -> str:
        """Download, and return the path of the file."""
        room_id = self.hook.room_id_or_default(self.room_id)
        written = self.hook.download_file(room_id, self.file_id, self.destination)
        self.show_place(context, room_id, self.message_of(api.files.get_file(room_id, self.file_id)))
        return written
