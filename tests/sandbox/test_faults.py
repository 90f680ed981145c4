from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.sandbox import Fault, Sandbox, company

MESSAGES = f"/rooms/{company.DATA_ROOM}/messages"


class TestKinds:
    @pytest.mark.parametrize(
        ("fault", "writes", "sent", "timed_out"),
        [
            (Fault("lost_reply"), 1, True, False),
            (Fault("cut"), 1, True, False),
            (Fault("refuse"), 0, False, False),
            (Fault("timeout"), 1, True, True),
            (Fault("timeout", executed=False), 0, True, True),
        ],
        ids=lambda value: value.kind if isinstance(value, Fault) else None,
    )
    def test_kinds_without_a_response_raise(
        self, api: Any, sandbox: Sandbox, fault: Fault, writes: int, sent: bool, timed_out: bool
    ) -> None:
        sandbox.add_fault(fault)
        with pytest.raises(ChatworkNetworkError) as caught:
            api.post(MESSAGES, body="x")
        assert (caught.value.sent, caught.value.timed_out) == (sent, timed_out)
        assert sandbox.write_count("post_message") == writes
        assert sandbox.requests[-1].fault == fault.kind

    @pytest.mark.parametrize(("executed", "writes"), [(None, 0), (True, 1)])
    def test_status_responds_with_this_status(
        self, api: Any, sandbox: Sandbox, executed: bool | None, writes: int
    ) -> None:
        sandbox.add_fault(Fault("status", status=503, body={"errors": ["busy"]}, executed=executed))
        reply = api.post(MESSAGES, body="x")
        assert (reply.status, reply.errors, sandbox.write_count("post_message")) == (503, ["busy"], writes)
        assert reply.headers["x-ratelimit-limit"] == "300"

    def test_status_can_have_no_limit_headers_and_no_body(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", status=429, headers={}))
        reply = api.get("/me")
        assert (reply.status, reply.response.body, set(reply.headers)) == (429, b"", {"date"})

    def test_delay_waits_and_returns_the_right_response(self, clock: Any) -> None:
        waited: list[float] = []
        sandbox = Sandbox(clock=clock, sleep=waited.append)
        sandbox.add_fault(Fault("delay", seconds=7))
        request = HttpRequest("GET", "http://localhost/v2/me", {"x-chatworktoken": sandbox.token})
        assert sandbox.handle(request).status == 200
        assert waited == [7]

    async def test_ahandle_raises_the_same_error(self, sandbox: Sandbox) -> None:
        request = HttpRequest("GET", "http://localhost/v2/me", {"x-chatworktoken": sandbox.token})
        sandbox.add_fault(Fault("delay", seconds=0.0001))
        assert (await sandbox.ahandle(request)).status == 200
        sandbox.add_fault(Fault("refuse"))
        with pytest.raises(ChatworkNetworkError):
            await sandbox.ahandle(request)

    def test_malformed_truncates_the_body(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("malformed"))
        reply = api.post(MESSAGES, body="x")
        assert (reply.status, sandbox.write_count("post_message")) == (200, 1)
        with pytest.raises(json.JSONDecodeError):
            _ = reply.json

    def test_malformed_can_have_wrong_types(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("malformed", shape="wrong_types"))
        assert api.post(MESSAGES, body="x").json == {"message_id": 19}

    @pytest.mark.parametrize(("shape", "body"), [("html", b"<html>"), ("empty", b"")])
    def test_malformed_can_be_html_or_empty(self, api: Any, sandbox: Sandbox, shape: Any, body: bytes) -> None:
        sandbox.add_fault(Fault("malformed", shape=shape))
        assert api.get("/me").response.body[:6] == body

    def test_malformed_can_have_any_body(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("malformed", body=[1]))
        assert api.get("/me").json == [1]


class TestMatching:
    def test_only_the_given_operation_fails_the_given_times(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", operation="post_message", times=2))
        statuses = [api.get("/me").status, *(api.post(MESSAGES, body="x").status for _ in range(3))]
        assert statuses == [200, 500, 500, 200]

    def test_the_first_requests_can_succeed(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", after=1))
        assert [api.get("/me").status for _ in range(3)] == [200, 500, 200]

    def test_the_whole_path_without_the_version_must_match(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", path=r"/rooms/\d+", method="get", times=None))
        assert api.get(f"/rooms/{company.DATA_ROOM}").status == 500
        assert api.get(MESSAGES).status == 200

    def test_the_oldest_fault_applies_first(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", status=502))
        sandbox.add_fault(Fault("status", status=503))
        assert [api.get("/me").status for _ in range(3)] == [502, 503, 200]

    def test_faults_can_be_cleared(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.add_fault(Fault("status", times=None))
        sandbox.clear_faults()
        assert api.get("/me").status == 200

    @pytest.mark.parametrize("invalid", [{"kind": "explode"}, {"operation": "post"}, {"shape": "round"}])
    def test_a_fault_that_can_never_match_is_rejected(self, invalid: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be one of"):
            Fault(**{"kind": "delay", **invalid})
