from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.api.files import get_file, list_files, upload_file
from tests.clients import drive

ME = 7
SINCE = 1000.0
REPORT = Upload('売上 "速報".csv', b"12345", "text/csv")


class TestListFiles:
    def test_filters_by_account_only_where_one_is_given(self):
        assert list_files(1).request.query == {}
        assert list_files(1, account_id="7").request.query == {"account_id": "7"}


class TestGetFile:
    def test_requests_a_download_url_only_where_it_is_wanted(self):
        assert get_file(1, 2).request.query == {"create_download_url": "0"}
        assert get_file(1, 2, create_download_url=True).request.query == {"create_download_url": "1"}


class TestUploadFile:
    @pytest.mark.parametrize("filename", ["", "a/b", "a\\b", "a\nb", "a\rb", "a\0b", "あ" * 256, None, "\ud800"])
    def test_refuses_a_file_name_with_a_path_or_line_break(self, filename):
        with pytest.raises(errors.ChatworkParameterError, match=r"^filename="):
            upload_file(1, Upload(filename, b""))

    def test_refuses_a_media_type_that_would_add_a_header(self):
        with pytest.raises(errors.ChatworkParameterError, match=r"^content_type="):
            upload_file(1, Upload("a", b"", "text/csv\r\nX-Other: 1"))

    def test_refuses_more_than_5_mib(self):
        with pytest.raises(errors.ChatworkParameterError, match=r"^file=5242881"):
            upload_file(1, Upload("a", b"x" * (5 * 1024 * 1024 + 1)))

    def test_refuses_an_empty_comment_and_sends_none_where_none_is_given(self):
        with pytest.raises(errors.ChatworkParameterError, match=r"^message="):
            upload_file(1, REPORT, message="")
        assert upload_file(1, REPORT).request.form == {}

    def test_shows_no_content(self):
        assert "12345" not in repr(upload_file(1, REPORT))


class TestFindingAnUploadedFile:
    def search(self, *files: dict):
        return drive(upload_file(1, REPORT).find_executed(SINCE, ME), list(files))

    def file(self, file_id: int, **fields: object) -> dict:
        return {"file_id": file_id, "filename": REPORT.filename, "filesize": 5, "upload_time": 1001, **fields}

    def test_lists_the_uploads_of_the_account(self):
        ((call,), _) = self.search()
        assert (call.request.path, dict(call.request.query)) == ("/rooms/1/files", {"account_id": "7"})

    def test_finds_files_of_the_same_name_size_and_time_oldest_first(self):
        assert self.search(self.file(12), self.file(11))[1] == [{"file_id": 11}, {"file_id": 12}]

    @pytest.mark.parametrize("other", [{"filename": "a"}, {"filesize": 6}, {"upload_time": 999}], ids=repr)
    def test_finds_no_other_file(self, other):
        assert self.search(self.file(11, **other))[1] == []

    @pytest.mark.parametrize("same", [{"filename": "売上 %22速報%22.csv"}, {"upload_time": None}], ids=repr)
    def test_finds_a_file_with_an_escaped_name_or_without_a_time(self, same):
        assert self.search(self.file(11, **same))[1] == [{"file_id": 11}]

    @pytest.mark.parametrize(("sent", "shown"), [("か\u3099.txt", "が.txt"), ("が.txt", "か\u3099.txt"), (" a ", "a")])
    def test_finds_a_file_whose_name_is_in_another_unicode_form(self, sent, shown):
        find_executed = upload_file(1, Upload(sent, b"12345")).find_executed
        assert drive(find_executed(SINCE, ME), [self.file(11, filename=shown)])[1] == [{"file_id": 11}]

    def test_cannot_decide_from_a_list_of_100(self):
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="no more than 100"):
            self.search(*(self.file(number, filename="a") for number in range(100)))
        assert self.search(*(self.file(number, filename="a") for number in range(99)))[1] == []
