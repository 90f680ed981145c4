from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox.request_guard import rejection_reason

JSON = "application/json"


def verdict(host: str, bound: str = "127.0.0.1", allowed: tuple[str, ...] = (), **headers: str) -> str | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return rejection_reason({"host": host, **named}, "GET", "/sandbox/state", bound, allowed)


class TestRefuse:
    @pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"])
    def test_this_machine_is_welcome(self, host: str) -> None:
        assert verdict(host) is None

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
    def test_other_names_are_not(self, host: str) -> None:
        assert verdict(host) is not None

    def test_a_name_can_be_allowed(
        self,
    ) -> None:
        assert verdict("sandbox:8765", allowed=("sandbox",)) is None

    def test_on_all_interfaces_numbers_are_welcome_and_names_are_not(self) -> None:
        assert verdict("192.168.1.5:8765", bound="0.0.0.0") is None
        assert verdict("evil.example", bound="0.0.0.0") is not None

    @pytest.mark.parametrize(("site", "welcome"), [("same-origin", True), ("none", True), ("cross-site", False)])
    def test_other_sites_are_told_by_their_browser(self, site: str, welcome: bool) -> None:
        assert (verdict("localhost", sec_fetch_site=site) is None) is welcome

    def test_the_page_itself_may_be_linked_from_anywhere(self) -> None:
        assert (
            rejection_reason({"host": "localhost", "sec-fetch-site": "cross-site"}, "GET", "/", "127.0.0.1", ()) is None
        )

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
    def test_orders_have_to_be_json(self, content_type: str) -> None:
        headers = {"host": "localhost", "content-type": content_type}
        assert rejection_reason(headers, "POST", "/sandbox/reset", "127.0.0.1", ()) is not None
        headers["content-type"] = "application/json; charset=utf-8"
        assert rejection_reason(headers, "POST", "/sandbox/reset", "127.0.0.1", ()) is None
