from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.client import Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.reference import find_by_reference, with_reference

ROOM = company.DATA_ROOM
BODY = "確認\n参照: x"
PEOPLE = [company.SATO, company.YAMADA]


class TestWithReference:
    @pytest.mark.parametrize(
        ("body", "lang", "first_try", "text"),
        [
            ("確認", "ja", 1, "確認\n参照: x"),
            ("check", "en", 1, "check\nReference: x"),
            ("確認\n", "ja", 3, "確認\n参照: x (3)"),
        ],
    )
    def test_ends_the_text(self, body: str, lang: str, first_try: int, text: str) -> None:
        assert with_reference(body, " x ", lang, first_try) == text

    def test_escapes_notation(self) -> None:
        assert "[toall]" not in with_reference("確認", "[toall]", "ja")

    @pytest.mark.parametrize("reference", ["", " ", "a\nb", "a\rb", "x" * 1001, 5, None])
    def test_is_one_short_line(self, reference: object) -> None:
        with pytest.raises(ChatworkParameterError, match="reference"):
            with_reference("確認", reference, "ja")

    def test_has_room_for_the_names_of_a_dag_a_task_and_a_run(self) -> None:
        names = "/".join(["x" * 250] * 3 + ["99999"])
        assert with_reference("確認", names, "ja").endswith(names)

    @pytest.mark.parametrize("body", ["", "x" * 65530, 5])
    def test_needs_a_text_that_leaves_room_for_it(self, body: object) -> None:
        with pytest.raises(ChatworkParameterError, match="body"):
            with_reference(body, "xxxxx", "ja")


class TestFindByReference:
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return Sandbox(limits=Limits.off())

    def find(self, sandbox: Sandbox, to_ids: Sequence[int] = PEOPLE, **kwargs: Any) -> Any:
        client = Client(Settings(token=sandbox.token), sandbox.handle)
        return client.run_flow(find_by_reference(ROOM, BODY, to_ids, company.BOT, **kwargs))

    def fill(self, sandbox: Sandbox, status: str, person: int, count: int = 100) -> None:
        for index in range(count):
            [task_id] = sandbox.create_task(ROOM, company.BOT, [person], str(index))
            sandbox.store.rooms[ROOM].tasks[task_id].status = status

    @pytest.mark.parametrize("done", [[], [0], [0, 1]])
    def test_finds_open_and_done_ones_in_the_order_of_the_people(self, done: list[int], sandbox: Sandbox) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        for index in done:
            sandbox.complete_task(ROOM, tasks[index])
        assert self.find(sandbox) == tasks
        assert self.find(sandbox, PEOPLE[::-1]) == tasks[::-1]

    @pytest.mark.parametrize("body", ["確認", "確認\n参照: xy", "別\n参照: x", "参照: x"])
    def test_finds_no_other_text(self, body: str, sandbox: Sandbox) -> None:
        sandbox.create_task(ROOM, company.BOT, PEOPLE, body)
        assert self.find(sandbox) is None

    def test_finds_nothing_of_others(self, sandbox: Sandbox) -> None:
        sandbox.create_task(ROOM, company.YAMADA, PEOPLE, BODY)
        assert self.find(sandbox) is None

    def test_finds_the_newest_of_several_tasks(self, sandbox: Sandbox) -> None:
        sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        newest = sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        assert self.find(sandbox) == newest

    def test_leaves_a_gap_where_one_was_deleted(self, sandbox: Sandbox) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        sandbox.delete_task(ROOM, tasks[0])
        assert self.find(sandbox) == [None, tasks[1]]

    def test_uses_a_reassigned_task_in_place_of_a_missing_one(self, sandbox: Sandbox) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        sandbox.store.rooms[ROOM].tasks[tasks[1]].account_id = company.TAKAHASHI
        assert self.find(sandbox) == tasks

    def test_sends_two_requests_where_the_lists_are_complete(self, sandbox: Sandbox) -> None:
        self.find(sandbox)
        assert [request.query for request in sandbox.requests] == [
            {"assigned_by_account_id": str(company.BOT), "status": status} for status in ("open", "done")
        ]

    @pytest.mark.parametrize("done", [[], [0], [0, 1]])
    def test_finds_them_behind_a_hundred_tasks_of_somebody_else(self, done: list[int], sandbox: Sandbox) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        for index in done:
            sandbox.complete_task(ROOM, tasks[index])
        for status in ("open", "done"):
            self.fill(sandbox, status, company.TAKAHASHI)
        assert self.find(sandbox) == tasks

    def test_finds_none_behind_a_hundred_tasks_of_somebody_else(self, sandbox: Sandbox) -> None:
        self.fill(sandbox, "done", company.TAKAHASHI)
        assert self.find(sandbox) is None

    @pytest.mark.parametrize("status", ["open", "done"])
    def test_may_be_hidden_behind_a_hundred_tasks_of_the_same_person(self, status: str, sandbox: Sandbox) -> None:
        sandbox.create_task(ROOM, company.BOT, PEOPLE, BODY)
        self.fill(sandbox, status, company.SATO)
        if status == "done":
            assert self.find(sandbox) is not None
            return
        with pytest.raises(ChatworkUnknownOutcomeError, match=str(company.SATO)):
            self.find(sandbox)

    @pytest.mark.parametrize("status", ["open", "done"])
    def test_names_the_assignee_whose_lists_are_full(self, status: str, sandbox: Sandbox) -> None:
        self.fill(sandbox, status, company.SATO)
        with pytest.raises(ChatworkUnknownOutcomeError, match=str(company.SATO)) as caught:
            self.find(sandbox)
        assert str(company.YAMADA) not in str(caught.value)

    @pytest.mark.parametrize("status", ["open", "done"])
    def test_finds_none_where_no_later_message_announces_a_task(self, status: str, sandbox: Sandbox) -> None:
        since = self.fill_and_wait(sandbox, status)
        sandbox.post_message(ROOM, company.YAMADA, "おはよう")
        sandbox.create_task(ROOM, company.BOT, [company.SATO], "別の作業\n参照: y")
        assert self.find(sandbox, since=since) is None

    @pytest.mark.parametrize("text", ["確認\n参照: x", "[info][title][dtext:task_added][/title]...[/info]"])
    def test_raises_where_a_later_message_may_announce_the_task(self, text: str, sandbox: Sandbox) -> None:
        since = self.fill_and_wait(sandbox, "done")
        sandbox.post_message(ROOM, company.YAMADA, text)
        with pytest.raises(ChatworkUnknownOutcomeError, match=str(company.SATO)):
            self.find(sandbox, since=since)

    def test_raises_where_not_all_later_messages_are_returned(self, sandbox: Sandbox) -> None:
        since = self.fill_and_wait(sandbox, "done")
        for index in range(100):
            sandbox.post_message(ROOM, company.YAMADA, f"雑談 {index}")
        with pytest.raises(ChatworkUnknownOutcomeError, match=str(company.SATO)):
            self.find(sandbox, since=since)

    def fill_and_wait(self, sandbox: Sandbox, status: str) -> float:
        """Hide whatever there is behind older tasks, and return a time after them."""
        now = sandbox.clock()
        self.fill(sandbox, status, company.SATO)
        sandbox.clock = lambda: now + 1000
        return now + 500
