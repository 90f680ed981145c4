from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.tasks import create_task, list_tasks, set_task_status
from tests.clients import drive

ME = 7
SINCE = 1000.0
NOW = 1_767_225_600


class TestListTasks:
    def test_sends_no_filter_that_was_not_given(self):
        assert list_tasks(1).request.query == {}

    @pytest.mark.parametrize("parameter", ["account_id", "assigned_by_account_id", "status"])
    def test_refuses_values_that_chatwork_does_not_know(self, parameter):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}="):
            list_tasks(1, **{parameter: "all"})


class TestCreateTask:
    def test_states_that_there_is_no_deadline(self):
        assert create_task(1, "確認", "3, 1").request.form == {"body": "確認", "to_ids": "3,1", "limit_type": "none"}

    def test_treats_a_deadline_as_a_time_by_default(self):
        form = create_task(1, "a", 3, limit=str(NOW)).request.form
        assert (form["limit"], form["limit_type"]) == (str(NOW), "time")
        assert create_task(1, "a", 3, limit=NOW, limit_type="date").request.form["limit_type"] == "date"

    @pytest.mark.parametrize(
        ("parameter", "arguments"),
        [
            ("body", {"body": ""}),
            ("to_ids", {"to_ids": []}),
            ("limit", {"limit": 0}),
            ("limit", {"limit": NOW * 1000}),
            ("limit", {"limit": "tomorrow"}),
            ("limit_type", {"limit_type": "date"}),
            ("limit_type", {"limit_type": "time"}),
            ("limit_type", {"limit_type": "none", "limit": NOW}),
            ("limit_type", {"limit_type": "day", "limit": NOW}),
        ],
    )
    def test_refuses_what_chatwork_would_refuse(self, parameter, arguments):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}="):
            create_task(1, **{"body": "a", "to_ids": 3, **arguments})

    def test_checks_the_deadline_right_before_sending(self):
        call = create_task(1, "a", 3, limit=NOW)
        call.check(NOW - 1)
        with pytest.raises(errors.ChatworkParameterError, match=r"^limit="):
            call.check(NOW)
        create_task(1, "a", 3).check(NOW)


def message(number: int, send_time: int = 1001, body: str = "確認") -> dict:
    told = f"[info][title][dtext:task_added][/title][task aid=3 st=open lt=0]{body}[/task][/info]"
    account = {"account_id": ME, "name": "", "avatar_image_url": ""}
    return {"message_id": str(number), "account": account, "send_time": send_time, "update_time": 0, "body": told}


def task(task_id: int, to: int, message_id: int, body: str = "確認") -> dict:
    return {"task_id": task_id, "account": {"account_id": to}, "message_id": str(message_id), "body": body}


class TestFindingACreatedTask:
    FULL = tuple(task(number, 5, 999) for number in range(100, 200))

    def search(self, page, *lists, to=(3, 4)):
        return drive(create_task(1, "確認", to).find_executed(SINCE, ME), page, *lists)

    def test_lists_the_messages_and_the_open_and_done_tasks_of_the_account(self):
        asked, _ = self.search([message(1)], [], [])
        assert [(call.operation, dict(call.request.query)) for call in asked] == [
            ("list_messages", {"force": "1"}),
            ("list_tasks", {"assigned_by_account_id": "7", "status": "open"}),
            ("list_tasks", {"assigned_by_account_id": "7", "status": "done"}),
        ]

    def test_returns_the_tasks_in_the_order_of_the_assignees(self):
        traces = self.search([message(1)], [task(11, 4, 1)], [task(12, 3, 1)])[1]
        assert traces == [{"task_ids": [12, 11]}]

    def test_finds_only_tasks_whose_message_is_new(self):
        page = [message(1, send_time=999), message(2)]
        assert self.search(page, [task(11, 3, 1), task(12, 3, 2)], [], to=(3,))[1] == [{"task_ids": [12]}]

    @pytest.mark.parametrize(
        "other", [task(11, 3, 1, body="別"), task(11, 5, 1), task(11, 3, 9)], ids=["text", "person", "m"]
    )
    def test_finds_no_other_task(self, other):
        assert self.search([message(1)], [other], [], to=(3,))[1] == []

    def test_finds_a_task_without_a_text(self):
        assert self.search([message(1)], [task(11, 3, 1, body=None)], [], to=(3,))[1] == [{"task_ids": [11]}]

    def test_returns_two_equal_tasks_separately(self):
        tasks = [task(13, 3, 2), task(14, 4, 2), task(11, 3, 1), task(12, 4, 1)]
        traces = self.search([message(1), message(2)], tasks, [])[1]
        assert traces == [{"task_ids": [11, 12]}, {"task_ids": [13, 14]}]

    def test_is_unknown_where_only_some_tasks_are_found(self):
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match=r"only some of its tasks were found: \[11\]"):
            self.search([message(1)], [task(11, 3, 1)], [])

    def test_is_unknown_where_the_messages_do_not_reach_back(self):
        page = [message(number, body="別の作業") for number in range(100)]
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="no more than 100"):
            self.search(page, [], [])

    @pytest.mark.parametrize(
        "page",
        [
            [],
            [message(1, send_time=999)],
            [message(1, body="別の作業"), {**message(2), "body": "おはよう"}],
            [message(0, send_time=999), *(message(number, body="別の作業") for number in range(1, 100))],
        ],
        ids=["nothing", "earlier", "other things", "a full page that reaches back"],
    )
    def test_finds_nothing_in_full_lists_without_an_announcement(self, page):
        asked, traces = self.search(page, self.FULL, self.FULL, self.FULL, self.FULL, to=(3,))
        assert (asked[0].operation, traces) == ("list_messages", [])

    @pytest.mark.parametrize(
        "one",
        [{"body": "[deleted]"}, {"body": "済み", "update_time": 1002}],
        ids=["deleted", "edited"],
    )
    def test_is_unknown_where_the_announcement_may_have_been_changed(self, one):
        page = [message(1, body="別の作業"), {**message(2), **one}]
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="no more than 100"):
            self.search(page, self.FULL, self.FULL, self.FULL, self.FULL, to=(3,))
        assert self.search(page, [], [], to=(3,))[1] == []

    def test_finds_a_task_in_the_lists_whatever_its_announcement(self):
        page = [{**message(1), "body": "[dtext:task_given] 確認しました"}]
        assert self.search(page, [task(11, 3, 1)], [], to=(3,))[1] == [{"task_ids": [11]}]

    @pytest.mark.parametrize(("opened", "done"), [(FULL, ()), ((), FULL), (FULL, FULL)], ids=["open", "done", "both"])
    def test_lists_the_tasks_of_each_assignee_where_a_list_is_full(self, opened, done):
        asked, traces = self.search([message(1)], opened, done, [task(11, 3, 1)], [], [], [task(12, 4, 1)])
        assert traces == [{"task_ids": [11, 12]}]
        assert [dict(call.request.query) for call in asked[3:]] == [
            {"account_id": person, "assigned_by_account_id": "7", "status": status}
            for person in ("3", "4")
            for status in ("open", "done")
        ]

    def test_does_not_list_assignees_whose_task_was_found(self):
        asked, traces = self.search([message(1)], [*self.FULL[1:], task(11, 3, 1)], [], to=(3,))
        assert (len(asked), traces) == (3, [{"task_ids": [11]}])

    def test_finds_nothing_where_the_lists_of_the_assignees_are_not_full(self):
        assert self.search([message(1)], self.FULL, self.FULL, [], [], to=(3,))[1] == []

    @pytest.mark.parametrize("full", ["open", "done"])
    def test_cannot_decide_from_a_list_of_100(self, full):
        lists = [self.FULL if status == full else [] for status in ("open", "done")]
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="no more than 100"):
            self.search([message(1)], *lists, *lists, to=(3,))


class TestSetTaskStatus:
    REFUSED = errors.ChatworkInvalidRequestError("x", 400)

    def test_refuses_an_invalid_status(self):
        with pytest.raises(errors.ChatworkParameterError, match=r"^status="):
            set_task_status(1, 2, "closed")

    @pytest.mark.parametrize(("now", "traces"), [("done", [{"task_id": 2}]), ("open", [])])
    def test_was_executed_where_the_task_has_the_status(self, now, traces):
        asked, found = drive(
            set_task_status(1, 2, "done").confirm_already_done(self.REFUSED), {"task_id": 2, "status": now}
        )
        assert [call.request.path for call in asked] == ["/rooms/1/tasks/2"]
        assert found == traces

    def test_raises_every_other_refusal(self):
        assert drive(set_task_status(1, 2, "done").confirm_already_done(errors.ChatworkNotFoundError("x", 404))) == (
            [],
            [],
        )
