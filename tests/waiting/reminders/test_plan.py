from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.messages import delete_message
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, PRIVATE_ROOM, SALES_ROOM, SATO, SUZUKI, YAMADA
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan, SentReminders, TaskSnapshot, task_snapshot
from airflow_provider_chatwork.waiting.tasks.tracking import new_assigned_tasks, update_all
from tests.waiting.scenario import ANY_TIME, DAY, HOUR, TOKYO, WEB, Scenario, at, shown, task

DAILY = Reminder(every=DAY, at_most=5, **ANY_TIME)
BEFORE = Reminder(before_due=HOUR, **ANY_TIME)
LEAD = Escalation(grace=HOUR, mentions=[SUZUKI], **ANY_TIME)


@pytest.fixture
def scenario() -> Scenario:
    """Deliveries always use the asynchronous client, so there is one scenario and not one for each client."""
    return Scenario()


def known(*tasks, created_at: float, **other) -> TaskSnapshot:
    facts = {
        "room_id": 1,
        "message_id": "200",
        "created_at": created_at,
        "tasks": tasks,
        "account_id": BOT,
        "web_url": WEB,
    }
    return TaskSnapshot(**{**facts, **other})


def outcomes(done) -> list[tuple[str, int, str]]:
    return [(each["kind"], each["number"], each["outcome"]) for each in done]


class TestReminderPlan:
    @pytest.mark.parametrize(
        ("reminders", "expected"),
        [
            (None, ()),
            ("", ()),
            (DAILY, (DAILY,)),
            ([DAILY, BEFORE], (DAILY, BEFORE)),
            ({"after": "PT1H"}, (Reminder(after=HOUR),)),
            ([{"after": 3600}, DAILY], (Reminder(after=HOUR), DAILY)),
        ],
    )
    def test_accepts_one_reminder_or_several_in_any_form(self, reminders, expected):
        assert ReminderPlan(reminders=reminders).reminders == expected

    @pytest.mark.parametrize(
        ("fields", "parameter", "remedy"),
        [
            ({"reminders": 5}, "reminders", "Reminder"),
            ({"reminders": "daily"}, "reminders", "Reminder"),
            ({"reminders": [5]}, "reminders", "Reminder"),
            ({"reminders": [{"afer": 5}]}, r"reminders\.afer", "after"),
            ({"escalation": 5}, "escalation", "Escalation"),
            ({"lang": "de"}, "lang", "ja, en"),
            ({"zone": "Mars/Olympus"}, "zone", "Asia/Tokyo"),
            ({"zone": None}, "zone", "Asia/Tokyo"),
        ],
    )
    def test_refuses_wrong_fields(self, fields, parameter, remedy):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}=.*{remedy}"):
            ReminderPlan(**fields)

    @pytest.mark.parametrize(
        "plan",
        [ReminderPlan(), ReminderPlan(reminders=[DAILY, BEFORE], escalation=LEAD, zone="Europe/Paris", lang="en")],
    )
    def test_survives_json(self, plan):
        assert vars(ReminderPlan.from_plain(json.loads(json.dumps(plan.to_plain())))) == vars(plan)

    def test_is_false_without_reminder_and_escalation(self):
        assert not ReminderPlan(escalation="")
        assert ReminderPlan(reminders=DAILY)
        assert ReminderPlan(escalation=LEAD)


class TestDueDate:
    def test_is_the_earliest_of_the_open_tasks(self):
        facts = known(task(due=900, status="done"), None, task(due=2000), task(due=1000), created_at=0)
        assert ReminderPlan().due_date(facts) == 1000
        assert ReminderPlan().due_date(known(task(), created_at=0)) is None


class TestNextAt:
    CREATED = at("2026-02-02 10:00")

    def test_is_the_next_of_all_messages(self):
        plan = ReminderPlan(reminders=[DAILY, BEFORE], escalation=LEAD)
        facts = known(task(due=self.CREATED + 1.5 * DAY), created_at=self.CREATED)
        found, now = [], self.CREATED
        while (due := plan.next_at(facts, now)) is not None:
            found.append((due - self.CREATED) / HOUR)
            now = due
        assert found == [24, 35, 37, 48, 72, 96, 120]

    def test_moves_with_a_due_date(self):
        plan = ReminderPlan(reminders=BEFORE)
        for away in (2 * DAY, 5 * DAY, 2 * HOUR):
            facts = known(task(due=self.CREATED + away), created_at=self.CREATED)
            assert plan.next_at(facts, self.CREATED) == self.CREATED + away - HOUR

    @pytest.mark.parametrize("tasks", [(), (None,), (task(status="done"),)])
    def test_is_none_where_no_task_is_open(self, tasks):
        assert ReminderPlan(reminders=DAILY, escalation=LEAD).next_at(known(*tasks, created_at=self.CREATED), 0) is None

    def test_is_none_for_an_empty_plan(self):
        assert ReminderPlan().next_at(known(task(), created_at=self.CREATED), 0) is None

    def test_is_the_next_opening_for_a_message_that_is_late(self):
        plan = ReminderPlan(reminders=Reminder(after=6 * HOUR))
        facts = known(task(), created_at=self.CREATED)
        assert plan.next_at(facts, at("2026-02-02 18:00")) is None
        opens = plan.next_at(facts, at("2026-02-02 23:00"))
        assert opens is not None
        assert shown(opens) == "2026-02-03 09:00"
        assert plan.next_at(facts, opens) is None

    def test_ignores_a_late_reminder_that_is_followed_by_another(self):
        plan = ReminderPlan(reminders=[Reminder(after=6 * HOUR), Reminder(after=12 * HOUR, **ANY_TIME)])
        assert plan.next_at(known(task(), created_at=self.CREATED), at("2026-02-02 23:00")) is None


class TestReminding:
    def test_sends_one_message_for_all_assignees(self, scenario):
        done = scenario.send_due(ReminderPlan(reminders=DAILY), DAY)
        assert outcomes(done) == [("reminder", 1, "sent")]
        (body,) = scenario.posted()
        assert f"[To:{YAMADA}] 山田 太郎さん\n[To:{SATO}] 佐藤 花子さん\n" in body
        assert body.endswith(f"リマインド 1 回目: {WEB}/#!rid{DATA_ROOM}-{scenario.message_id}")

    def test_reports_the_delivery(self, scenario):
        (done,) = scenario.send_due(ReminderPlan(reminders=DAILY), DAY)
        assert done == {
            "kind": "reminder",
            "number": 1,
            "due_at": scenario.start + DAY,
            "room_id": DATA_ROOM,
            "message_id": scenario.sandbox.messages(DATA_ROOM)[-1]["message_id"],
            "outcome": "sent",
            "error": None,
        }
        assert json.loads(json.dumps(done)) == done

    def test_uses_the_language(self, scenario):
        scenario.send_due(ReminderPlan(reminders=DAILY, lang="en"), DAY)
        assert scenario.labels() == ["Reminder 1"]

    def test_has_no_messages_before_they_are_due(self, scenario):
        assert ReminderPlan(reminders=DAILY).due_messages(scenario.snapshot(), scenario.start + DAY - 1) == []

    def test_mentions_only_the_assignees_of_open_tasks(self, scenario):
        scenario.sandbox.complete_task(DATA_ROOM, scenario.task_ids[0])
        scenario.send_due(ReminderPlan(reminders=DAILY), DAY)
        assert f"[To:{YAMADA}]" not in scenario.posted()[0]
        assert f"[To:{SATO}]" in scenario.posted()[0]

    def test_has_no_messages_where_all_tasks_are_done_or_deleted(self, scenario):
        scenario.sandbox.complete_task(DATA_ROOM, scenario.task_ids[0])
        facts = scenario.snapshot(tasks=[scenario.snapshot().tasks[0], None])
        plan = ReminderPlan(reminders=DAILY, escalation=LEAD)
        assert plan.due_messages(facts, scenario.start + DAY) == []

    def test_keeps_its_dedup_key_when_a_task_is_deleted(self, scenario):
        scenario.send_due(ReminderPlan(reminders=DAILY), DAY)
        left = scenario.snapshot(tasks=[None, {**scenario.snapshot().tasks[1], "message_id": "999"}])
        done = scenario.deliver(ReminderPlan(reminders=DAILY).due_messages(left, scenario.start + DAY))
        assert outcomes(done) == [("reminder", 1, "found")]

    def test_finds_the_message_of_the_tasks_itself(self, scenario):
        scenario.scene.clock.now += DAY
        for _ in range(2):
            snapshot = scenario.snapshot(message_id=None)
            scenario.deliver(ReminderPlan(reminders=DAILY).due_messages(snapshot, scenario.start + DAY))
        assert len(scenario.posted()) == 1
        assert scenario.posted()[0].endswith(f"-{scenario.message_id}")

    def test_sends_every_reminder_at_its_time(self, scenario):
        scenario.create_tasks(due=2.5 * DAY)
        assert scenario.send_until(ReminderPlan(reminders=[DAILY, BEFORE]), 30 * DAY) == [
            DAY,
            2 * DAY,
            # Chatwork keeps whole seconds.
            pytest.approx(2.5 * DAY - HOUR, abs=1),
            3 * DAY,
            4 * DAY,
            5 * DAY,
        ]
        labels = [line.split(" (")[0] for line in scenario.labels()]
        assert labels == [f"リマインド {number} 回目" for number in range(1, 7)]

    def test_sends_only_the_latest_after_a_long_break(self, scenario):
        done = scenario.send_due(ReminderPlan(reminders=DAILY), 4.5 * DAY)
        assert outcomes(done) == [("reminder", 4, "sent")]
        assert scenario.labels() == ["リマインド 4 回目"]

    def test_sends_nothing_late_in_closed_hours(self, scenario):
        scenario.start = at("2026-02-02 10:00")
        plan = ReminderPlan(reminders=Reminder(after=6 * HOUR))
        assert plan.due_messages(scenario.snapshot(), at("2026-02-02 23:00")) == []
        late = scenario.send_due(plan, 23 * HOUR, after=at("2026-02-02 23:00"))
        assert outcomes(late) == [("reminder", 1, "sent")]

    def test_leaves_out_messages_that_were_sent(self, scenario):
        facts, now = scenario.snapshot(), scenario.start + DAY
        plan = ReminderPlan(reminders=DAILY)
        assert plan.due_messages(facts, now + 1, after=now) == []
        assert len(plan.due_messages(facts, now + 1, after=now - 1)) == 1

    def test_reminds_again_for_a_due_date_that_was_moved(self, scenario):
        scenario.create_tasks(due=2 * DAY)
        plan = ReminderPlan(reminders=BEFORE)
        assert outcomes(scenario.send_due(plan, 2 * DAY - 1)) == [("reminder", 1, "sent")]
        scenario.move_due(4 * DAY)
        assert outcomes(scenario.send_due(plan, 3 * DAY)) == []
        assert outcomes(scenario.send_due(plan, 4 * DAY - 1)) == [("reminder", 1, "sent")]
        assert len(set(scenario.labels())) == 2

    def test_reminds_at_once_for_a_due_date_that_was_moved_close(self, scenario):
        scenario.create_tasks(due=20 * DAY)
        plan = ReminderPlan(reminders=[Reminder(before_due=2 * DAY, **ANY_TIME)])
        assert outcomes(scenario.send_due(plan, 10 * DAY)) == []
        scenario.move_due(11 * DAY)
        assert outcomes(scenario.send_due(plan, 10 * DAY)) == [("reminder", 1, "sent")]
        assert outcomes(scenario.send_due(plan, 10 * DAY)) == [("reminder", 1, "found")]

    def test_does_not_remind_twice_where_the_calendar_has_changed(self, scenario):
        # As when the library that knows holidays was installed in between: what was the second is now the first.
        scenario.send_due(ReminderPlan(reminders=Reminder(every=DAY, **ANY_TIME)), 2 * DAY)
        other = ReminderPlan(reminders=Reminder(every=2 * DAY, **ANY_TIME))
        assert outcomes(scenario.send_due(other, 2 * DAY)) == [("reminder", 1, "found")]

    def test_does_not_remind_where_the_room_does_not_reach_back(self, scenario):
        scenario.scene.clock.now = scenario.start + DAY
        scenario.post_chatter(100)
        assert outcomes(scenario.send_due(ReminderPlan(reminders=DAILY), DAY + HOUR)) == [("reminder", 1, "not_sent")]
        assert scenario.posted() == []


class TestEscalating:
    PLAN = ReminderPlan(escalation=LEAD)

    def test_mentions_somebody_else_once(self, scenario):
        scenario.create_tasks(due=DAY)
        assert scenario.send_until(self.PLAN, 30 * DAY) == [pytest.approx(DAY + HOUR, abs=1)]
        (body,) = scenario.posted()
        assert body.startswith(f"[To:{SUZUKI}]\n期限 (")
        assert f"[To:{YAMADA}]" not in body
        assert "担当: 山田 太郎さん、佐藤 花子さん" in body

    def test_is_not_repeated_after_a_restart(self, scenario):
        scenario.create_tasks(due=DAY)
        for after, outcome in ((1, "sent"), (2, "found"), (30, "found")):
            done = scenario.send_due(self.PLAN, DAY + after * HOUR)
            assert outcomes(done) == [("escalation", 1, outcome)]

    def test_posts_to_another_room_and_searches_there(self, scenario):
        scenario.create_tasks(due=DAY)
        plan = ReminderPlan(escalation=Escalation(grace=HOUR, room_id=SALES_ROOM, **ANY_TIME))
        # Where it was said before does not count.
        scenario.send_due(self.PLAN, DAY + HOUR)
        for outcome in ("sent", "found"):
            (done,) = scenario.send_due(plan, DAY + HOUR)
            assert (done["outcome"], done["room_id"]) == (outcome, SALES_ROOM)
        assert len(scenario.posted()) == 1
        assert scenario.posted(SALES_ROOM)[0].endswith(f"/#!rid{DATA_ROOM}-{scenario.message_id}")

    def test_names_only_the_assignees_of_overdue_tasks(self, scenario):
        scenario.create_tasks(due=DAY)
        scenario.sandbox.store.rooms[DATA_ROOM].tasks[scenario.task_ids[0]].limit_time += 9 * int(DAY)
        scenario.send_due(self.PLAN, DAY + HOUR)
        assert "担当: 佐藤 花子さん\n" in scenario.posted()[0]

    def test_is_sent_again_for_another_due_date(self, scenario):
        scenario.create_tasks(due=DAY)
        scenario.send_due(self.PLAN, DAY + HOUR)
        scenario.move_due(3 * DAY)
        assert scenario.send_due(self.PLAN, 2 * DAY) == []
        assert outcomes(scenario.send_due(self.PLAN, 3 * DAY + HOUR)) == [("escalation", 1, "sent")]

    def test_is_sent_with_the_latest_reminder_after_a_long_break(self, scenario):
        scenario.create_tasks(due=DAY)
        plan = ReminderPlan(reminders=DAILY, escalation=LEAD)
        done = scenario.send_due(plan, 4 * DAY)
        assert outcomes(done) == [("reminder", 4, "sent"), ("escalation", 1, "sent")]
        assert outcomes(scenario.send_due(plan, 4 * DAY)) == [("reminder", 4, "found"), ("escalation", 1, "found")]

    def test_is_not_sent_without_a_due_date(self, scenario):
        assert scenario.send_due(self.PLAN, 300 * DAY) == []


class TestErrors:
    PLAN = ReminderPlan(reminders=DAILY)

    @pytest.mark.parametrize("operation", ["list_messages", "post_message"])
    def test_that_are_transient_are_raised(self, scenario, operation):
        scenario.scene.add_faults(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(errors.ChatworkServerError):
            scenario.send_due(self.PLAN, DAY)
        scenario.sandbox.clear_faults()
        assert outcomes(scenario.send_due(self.PLAN, DAY + 1)) == [("reminder", 1, "sent")]
        assert len(scenario.posted()) == 1

    ESCALATED = ReminderPlan(reminders=DAILY, escalation=Escalation(grace=0, room_id=PRIVATE_ROOM, **ANY_TIME))

    def test_of_another_room_send_an_escalation_to_the_room_of_the_task(self, scenario):
        scenario.create_tasks(due=HOUR)
        reminder, escalation = scenario.send_due(self.ESCALATED, DAY)
        assert (reminder["outcome"], reminder["error"]) == ("sent", None)
        assert (escalation["outcome"], escalation["room_id"]) == ("sent", DATA_ROOM)
        assert "403" in escalation["error"]
        assert len(scenario.posted()) == 2
        _, escalation = scenario.send_due(self.ESCALATED, DAY + 1)
        assert escalation["outcome"] == "found"
        assert len(scenario.posted()) == 2

    def test_that_are_permanent_are_reported(self, scenario):
        scenario.create_tasks(due=HOUR)
        scenario.scene.add_faults(Fault("status", operation="post_message", status=403, times=None))
        reminder, escalation = scenario.send_due(self.ESCALATED, DAY)
        assert reminder["outcome"] == escalation["outcome"] == "rejected"
        assert "403" in reminder["error"]

    @pytest.mark.parametrize("kind", ["lost_reply", "timeout", "cut", "malformed"])
    def test_after_a_post_do_not_cause_a_second_one(self, scenario, kind):
        scenario.scene.add_faults(Fault(kind, operation="post_message"))
        for _ in range(2):
            scenario.send_due(self.PLAN, DAY)
        assert len(scenario.posted()) == 1

    def test_with_an_unknown_outcome_are_reported(self, scenario):
        scenario.scene.add_faults(Fault("timeout", operation="post_message", executed=False, times=None))
        (done,) = scenario.send_due(self.PLAN, DAY)
        assert (done["outcome"], done["message_id"]) == ("unknown", None)


class TestRestart:
    """A process may be killed after any call. The next one knows nothing but what it was started with."""

    @pytest.mark.parametrize("requests", range(10))
    def test_sends_each_message_once_whenever_the_process_dies(self, scenario, requests):
        scenario.create_tasks(due=DAY)
        plan = ReminderPlan(reminders=DAILY, escalation=LEAD)
        scenario.scene.clock.now = scenario.start + 2 * DAY
        messages = plan.due_messages(scenario.snapshot(), scenario.start + 2 * DAY)
        scenario.deliver(messages, kill_after=requests)
        scenario.send_due(plan, 2 * DAY)
        assert [line.split(" (")[0] for line in scenario.labels()] == ["リマインド 2 回目", "期限超過のお知らせ"]

    @given(st.lists(st.floats(0, 7 * DAY), max_size=12), st.floats(HOUR, 5 * DAY), st.data())
    def test_sends_each_message_once_at_any_time(self, starts, due, data):
        scenario = Scenario(due=due)
        reminders = [Reminder(every=DAY, at_most=3, **ANY_TIME), BEFORE]
        plan = ReminderPlan(reminders=reminders, escalation=LEAD)
        sent: list[tuple[str, float]] = []
        for start in sorted(starts):
            if data.draw(st.booleans()):
                scenario.move_due(start + data.draw(st.floats(1, DAY)))
            done = scenario.send_due(plan, start)
            sent += [(each["kind"], each["due_at"]) for each in done if each["outcome"] == "sent"]
            assert sum(each["outcome"] == "sent" and each["kind"] == "reminder" for each in done) <= 1
            assert all(each["outcome"] in ("sent", "found") for each in done)
        assert len(scenario.posted()) == len(set(sent)) == len(sent)

    def test_sends_a_message_again_that_people_have_deleted(self, scenario):
        plan = ReminderPlan(reminders=DAILY)
        (done,) = scenario.send_due(plan, DAY)
        scenario.scene.run(delete_message(DATA_ROOM, done["message_id"]))
        assert outcomes(scenario.send_due(plan, DAY)) == [("reminder", 1, "sent")]


def test_the_zone_decides_when_people_are_reminded():
    created = at("2026-02-02 10:00", "Europe/Paris")
    plan = ReminderPlan(reminders=Reminder(after=12 * HOUR), zone="Europe/Paris")
    due = plan.next_at(known(task(), created_at=created), created)
    assert due is not None
    assert shown(due, "Europe/Paris") == "2026-02-03 09:00"
    assert shown(due, TOKYO) == "2026-02-03 17:00"


class TestTaskSnapshot:
    def test_has_the_tasks_that_exist(self):
        tasks = {number: {**task(number), "task_id": number} for number in (7, 8)}
        assigned = new_assigned_tasks(DATA_ROOM, [None, 7, 8], [5, 6, 9], needed=1, timeout=1.0, now=1.0)
        assigned["message_id"] = "200"
        update_all(assigned["tasks"], tasks, {7}, 10.0)
        snapshot = task_snapshot(assigned, tasks, BOT, WEB)
        assert snapshot.tasks == [None, None, tasks[8]]
        assert (snapshot.room_id, snapshot.message_id, snapshot.created_at) == (DATA_ROOM, "200", 1.0)
        assert (snapshot.account_id, snapshot.web_url) == (BOT, WEB)


class TestSentReminders:
    PLAN = ReminderPlan(reminders=DAILY, escalation=LEAD)

    def test_begin_when_the_tasks_were_created(self, scenario):
        assert SentReminders(self.PLAN, scenario.start).next_at(scenario.snapshot()) == scenario.start + DAY

    def test_leave_out_what_this_process_has_sent(self, scenario):
        sent, now = SentReminders(self.PLAN, scenario.start), scenario.start + DAY
        assert len(sent.due_messages(scenario.snapshot(), now)) == 1
        sent.mark_all_sent(now)
        assert sent.due_messages(scenario.snapshot(), now + 1) == []
        assert sent.next_at(scenario.snapshot()) == scenario.start + 2 * DAY

    def test_leave_out_a_message_that_is_sent_while_another_is_not(self, scenario):
        scenario.create_tasks(due=HOUR)
        sent, now = SentReminders(self.PLAN, scenario.start), scenario.start + DAY
        sent.next_at(scenario.snapshot())
        reminder, escalation = sent.due_messages(scenario.snapshot(), now)
        sent.mark_sent(reminder)
        assert sent.due_messages(scenario.snapshot(), now) == [escalation]

    def test_begin_again_where_the_due_date_has_moved(self, scenario):
        sent, now = SentReminders(self.PLAN, scenario.start), scenario.start + 1.5 * DAY
        sent.next_at(scenario.snapshot())
        sent.mark_all_sent(now)
        scenario.move_due(HOUR)
        assert sent.next_at(scenario.snapshot()) == pytest.approx(scenario.start + 2 * HOUR, abs=1)
        assert len(sent.due_messages(scenario.snapshot(), now)) == 2
