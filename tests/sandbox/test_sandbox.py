from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.sandbox.routes import OPERATIONS

ROOM = f"/rooms/{company.DATA_ROOM}"


class TestToken:
    def test_a_wrong_token_is_401_with_chatworks_text(self, sandbox: Sandbox, api: Any) -> None:
        api.token = "other"
        reply = api.get("/me")
        assert (reply.status, reply.errors) == (401, ["Invalid API token"])

    def test_the_token_is_checked_before_the_path(self, api: Any) -> None:
        api.token = "other"
        assert api.get("/nothing").status == 401

    def test_the_header_may_be_written_in_any_case(self, sandbox: Sandbox) -> None:
        request = HttpRequest("GET", "http://localhost/v2/me", {"X-ChatWorkToken": sandbox.token})
        assert sandbox.handle(request).status == 200

    def test_a_bearer_token_works_like_the_header(self, sandbox: Sandbox) -> None:
        request = HttpRequest("GET", "http://localhost/v2/me", {"authorization": f"Bearer {sandbox.token}"})
        assert sandbox.handle(request).status == 200

    def test_a_wrong_bearer_token_adds_a_www_authenticate_header(self, sandbox: Sandbox) -> None:
        response = sandbox.handle(HttpRequest("GET", "http://localhost/v2/me", {"authorization": "Bearer no"}))
        assert response.status == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_a_further_token_acts_for_its_account(self, sandbox: Sandbox, api: Any) -> None:
        sandbox.add_token("second", company.YAMADA)
        api.token = "second"
        assert api.get("/me").json["account_id"] == company.YAMADA


class TestEndpoints:
    def test_there_are_32_operations(self) -> None:
        assert len(set(OPERATIONS)) == 32

    @pytest.mark.parametrize(
        ("method", "answer", "operation", "status"),
        [("PUT", "accept", "accept_incoming_request", 200), ("DELETE", "reject", "reject_incoming_request", 204)],
    )
    def test_a_request_can_be_answered_under_its_longer_path(
        self, api: Any, sandbox: Sandbox, method: str, answer: str, operation: str, status: int
    ) -> None:
        (request,) = api.get("/incoming_requests").json
        assert api.send(method, f"/incoming_requests/{request['request_id']}/{answer}").status == status
        assert sandbox.write_count(operation) == 1
        assert api.get("/incoming_requests").status == 204

    @pytest.mark.parametrize(
        "path", ["/nothing", "/rooms//messages", "/rooms/abc", "/me/", "/rooms/1/messages/x", "/rooms/１"]
    )
    def test_an_unknown_path_is_404(self, api: Any, path: str) -> None:
        reply = api.get(path)
        assert (reply.status, reply.errors) == (404, ["Invalid Endpoint or HTTP method"])

    def test_a_path_outside_the_version_is_404(self, sandbox: Sandbox) -> None:
        request = HttpRequest("GET", "https://api.chatwork.com/v1/me", {"x-chatworktoken": sandbox.token})
        assert sandbox.handle(request).status == 404

    def test_a_wrong_method_is_405_and_lists_the_allowed_ones(self, api: Any) -> None:
        reply = api.post("/me")
        assert (reply.status, reply.errors) == (405, ["Invalid Endpoint or HTTP method"])
        assert reply.headers["allow"] == "GET"

    def test_the_method_cannot_be_overridden_in_the_query(self, api: Any, sandbox: Sandbox) -> None:
        message_id = sandbox.post_message(company.DATA_ROOM, company.BOT, "stays")
        assert api.send("GET", f"{ROOM}/messages/{message_id}?method=DELETE").json["body"] == "stays"

    @pytest.mark.parametrize("room_id", [company.PRIVATE_ROOM, 999])
    def test_rooms_of_others_and_unknown_rooms_get_the_same_error(self, api: Any, room_id: int) -> None:
        assert api.get(f"/rooms/{room_id}").status == 403


class TestResponses:
    def test_are_json_with_the_date_of_the_sandboxs_clock(self, api: Any) -> None:
        headers = api.get("/me").headers
        assert headers["content-type"] == "application/json; charset=utf-8"
        assert headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"

    def test_204_has_no_body_and_no_content_type(self, api: Any) -> None:
        api.get(f"{ROOM}/messages")
        reply = api.get(f"{ROOM}/messages")
        assert (reply.status, reply.response.body) == (204, b"")
        assert "content-type" not in reply.headers

    @pytest.mark.parametrize("path", ["/me", "/nothing", f"{ROOM}/messages/1"])
    def test_have_the_rate_limit_headers(self, api: Any, path: str) -> None:
        assert api.get(path).headers["x-ratelimit-limit"] == "300"


class TestForms:
    def test_parameters_in_the_query_are_ignored(self, api: Any) -> None:
        reply = api.send("POST", f"{ROOM}/messages?body=hi")
        assert (reply.status, reply.errors) == (400, ["Parameter 'body' is required"])

    def test_json_is_ignored(self, api: Any) -> None:
        reply = api.send("POST", f"{ROOM}/messages", b'{"body": "hi"}', "application/json")
        assert (reply.status, reply.errors) == (400, ["Parameter 'body' is required"])

    def test_the_media_type_may_be_upper_case_with_a_charset(self, api: Any) -> None:
        content_type = "Application/X-WWW-Form-URLEncoded; charset=UTF-8"
        assert api.send("POST", f"{ROOM}/messages", b"body=hi", content_type).status == 200

    def test_japanese_line_breaks_and_symbols_stay_unchanged(self, api: Any, sandbox: Sandbox) -> None:
        api.post(f"{ROOM}/messages", body="一行目\n100% & + = ;")
        assert sandbox.messages(company.DATA_ROOM)[-1]["body"] == "一行目\n100% & + = ;"

    def test_a_form_that_is_not_utf_8_is_rejected(self, api: Any) -> None:
        assert api.send("POST", f"{ROOM}/messages", b"body=%93%FA").status == 400


class TestArbitraryRequests:
    @settings(deadline=None, max_examples=200)
    @given(
        method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
        path=st.sampled_from(
            ["/me", "/rooms", ROOM, f"{ROOM}/messages", f"{ROOM}/tasks", f"{ROOM}/files", f"{ROOM}/link"]
        ),
        query=st.text(max_size=20),
        content_type=st.sampled_from(
            ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "", ";;"]
        ),
        body=st.one_of(
            st.binary(max_size=60),
            st.lists(st.sampled_from([b"--b", b"\r\n", b"--", b"name=", b'"file"', b"; ", b"\xff"])).map(b"".join),
            st.dictionaries(
                st.sampled_from(["body", "name", "to_ids", "limit", "members_admin_ids", "link_code", "action_type"]),
                st.text(max_size=8),
            ).map(lambda fields: urlencode(fields, errors="replace").encode()),
        ),
    )
    def test_get_a_valid_api_response(self, method: str, path: str, query: str, content_type: str, body: bytes) -> None:
        sandbox = Sandbox()
        url = f"http://localhost/v2{path}?{quote(query, errors='replace')}"
        headers = {"x-chatworktoken": sandbox.token, "content-type": content_type}
        response = sandbox.handle(HttpRequest(method, url, headers, body))
        assert response.status in (200, 204, 400, 403, 404, 405)
        if response.status >= 400:
            assert all(isinstance(text, str) for text in json.loads(response.body)["errors"])


class TestRequests:
    def test_records_requests_with_their_status(self, api: Any, sandbox: Sandbox) -> None:
        api.post(f"{ROOM}/messages", body="hi")
        record = sandbox.requests[-1]
        assert (record.method, record.path, record.operation) == ("POST", f"{ROOM}/messages", "post_message")
        assert (record.status, record.account_id, record.form) == (200, company.BOT, {"body": "hi"})

    def test_contains_no_token(self, clock: Any) -> None:
        sandbox = Sandbox("canary-4711", clock=clock)
        sandbox.handle(HttpRequest("GET", "http://localhost/v2/me", {"x-chatworktoken": "canary-4711"}))
        assert "canary-4711" not in repr(sandbox.requests)
        assert "canary-4711" not in json.dumps(sandbox.snapshot())


class TestWriteCount:
    def test_counts_only_requests_that_changed_something(self, api: Any, sandbox: Sandbox) -> None:
        api.post(f"{ROOM}/messages", body="one")
        api.post(f"{ROOM}/messages")
        api.get("/me")
        assert (sandbox.write_count("post_message"), sandbox.write_count("get_me")) == (1, 0)

    def test_does_not_count_a_status_that_was_set_already(self, api: Any, sandbox: Sandbox) -> None:
        task_id = sandbox.tasks(company.DATA_ROOM)[0]["task_id"]
        for _ in range(2):
            assert api.put(f"{ROOM}/tasks/{task_id}/status", body="done").status == 200
        assert sandbox.write_count("set_task_status") == 1

    def test_does_not_count_actions_of_people(self, sandbox: Sandbox) -> None:
        sandbox.post_message(company.DATA_ROOM, company.YAMADA, "hi")
        assert sandbox.write_count("post_message") == 0


class TestReset:
    def test_restores_the_initial_content_and_clears_everything_else(self, api: Any, sandbox: Sandbox) -> None:
        before = sandbox.messages(company.DATA_ROOM)
        api.post(f"{ROOM}/messages", body="hi")
        sandbox.add_fault(Fault("delay"))
        sandbox.reset()
        assert sandbox.messages(company.DATA_ROOM) == before
        assert (sandbox.requests, sandbox.open_faults, sandbox.write_count("post_message")) == ([], [], 0)


class TestWatch:
    def test_calls_the_watcher_after_every_change_until_it_ends(self, sandbox: Sandbox, api: Any) -> None:
        revisions: list[int] = []
        unwatch = sandbox.watch(revisions.append)
        sandbox.post_message(company.DATA_ROOM, company.YAMADA, "one")
        api.get("/me")
        api.post(f"{ROOM}/messages", body="two")
        unwatch()
        sandbox.post_message(company.DATA_ROOM, company.YAMADA, "three")
        assert len(revisions) == 2
        assert revisions[0] < revisions[1]


class TestCompleteTasksAfter:
    def test_completes_due_tasks_of_people_and_not_of_the_bot(self, clock: Any, api: Any) -> None:
        sandbox = Sandbox(clock=clock, complete_tasks_after=60)
        mine, theirs = sandbox.create_task(company.DATA_ROOM, company.YAMADA, [company.BOT, company.SATO], "look")
        sandbox.advance()
        assert {task["task_id"]: task["status"] for task in sandbox.tasks(company.DATA_ROOM)}[theirs] == "open"
        clock.now += 60
        sandbox.advance()
        states = {task["task_id"]: task["status"] for task in sandbox.tasks(company.DATA_ROOM)}
        assert (states[theirs], states[mine]) == ("done", "open")


class TestThreads:
    def test_lose_no_message(self, clock: Any) -> None:
        sandbox = Sandbox(clock=clock, limits=Limits.off())
        before = len(sandbox.messages(company.DATA_ROOM))

        def post_messages() -> None:
            for _ in range(50):
                sandbox.post_message(company.DATA_ROOM, company.YAMADA, "hi")

        threads = [threading.Thread(target=post_messages) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({message["message_id"] for message in sandbox.messages(company.DATA_ROOM)}) == before + 200


class TestImports:
    def test_a_sandbox_in_process_needs_no_airflow_server_or_http_library(self) -> None:
        code = "import sys, airflow_provider_chatwork.sandbox; print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert not re.findall(r"\b(?:airflow|starlette|uvicorn|requests|httpx)\b(?!_)", loaded)
