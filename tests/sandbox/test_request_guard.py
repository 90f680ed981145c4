from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox.request_guard import rejection_reason

JSON = "application/json"


def reason(host: str, bound: str = "127.0.0.1", allowed: tuple[str, ...] = (), **headers: str) -> str | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return rejection_reason({"host": host, **named}, "GET", "/sandbox/state", bound, allowed)


class TestRejectionReason:
    @pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"])
    def test_loopback_hosts_are_accepted(self, host: str) -> None:
        assert reason(host) is None

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
    def test_other_hosts_are_rejected(self, host: str) -> None:
        assert reason(host) is not None

    def test_further_hosts_can_be_allowed(
        self,
    ) -> None:
        assert reason("sandbox:8765", allowed=("sandbox",)) is None

    def test_on_all_interfaces_ip_addresses_are_accepted_and_names_rejected(self) -> None:
        assert reason("192.168.1.5:8765", bound="0.0.0.0") is None
        assert reason("evil.example", bound="0.0.0.0") is not None

    @pytest.mark.parametrize(("site", "accepted"), [("same-origin", True), ("none", True), ("cross-site", False)])
    def test_commands_from_other_sites_are_rejected(self, site: str, accepted: bool) -> None:
        assert (reason("localhost", sec_fetch_site=site) is None) is accepted

    def test_the_page_may_be_opened_from_other_sites(self) -> None:
        assert (
            rejection_reason({"host": "localhost", "sec-fetch-site": "cross-site"}, "GET", "/", "127.0.0.1", ()) is None
        )

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
    def test_commands_must_be_json(self, content_type: str) -> None:
        headers = {"host": "localhost", "content-type": content_type}
        assert rejection_reason(headers, "POST", "/sandbox/reset", "127.0.0.1", ()) is not None
        headers["content-type"] = "application/json; charset=utf-8"
        assert rejection_reason(headers, "POST", "/sandbox/reset", "127.0.0.1", ()) is None
