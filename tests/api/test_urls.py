from __future__ import annotations

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.urls import KDDI_WEB, message_url, room_url


class TestRoomUrl:
    def test_points_to_the_room(self):
        assert room_url(123) == "https://www.chatwork.com/#!rid123"

    def test_accepts_the_number_as_text(self):
        assert room_url("123") == "https://www.chatwork.com/#!rid123"

    @pytest.mark.parametrize("base", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/"])
    def test_accepts_another_base_with_or_without_a_slash(self, base):
        assert room_url(123, base) == "http://127.0.0.1:8000/#!rid123"

    @pytest.mark.parametrize("room_id", ["", "x", 0, -1, None, True, "1-2"])
    def test_refuses_an_invalid_room_id(self, room_id):
        with pytest.raises(ChatworkParameterError, match=r"^room_id="):
            room_url(room_id)

    @pytest.mark.parametrize("base", ["", "www.chatwork.com", "javascript:x", "https://a/#x", "https://a b", None])
    def test_refuses_a_base_that_is_not_a_url(self, base):
        with pytest.raises(ChatworkParameterError, match=r"^base=.*https://www\.chatwork\.com"):
            room_url(1, base)


class TestMessageUrl:
    def test_points_to_the_message(self):
        assert message_url(123, "1234567890123456789") == "https://www.chatwork.com/#!rid123-1234567890123456789"

    def test_accepts_the_message_id_as_a_number(self):
        assert message_url("123", 456, base=KDDI_WEB) == "https://kcw.kddi.ne.jp/#!rid123-456"

    def test_points_to_the_room_without_a_message(self):
        assert message_url(123) == "https://www.chatwork.com/#!rid123"
        assert message_url(123, None, KDDI_WEB) == "https://kcw.kddi.ne.jp/#!rid123"

    @pytest.mark.parametrize("message_id", ["", "x", -1, "1/2"])
    def test_refuses_an_invalid_message_id(self, message_id):
        with pytest.raises(ChatworkParameterError, match=r"^message_id="):
            message_url(1, message_id)
