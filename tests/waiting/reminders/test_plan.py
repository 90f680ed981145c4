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
from airflow_provider_chatwork.waiting.reminders.plan import Facts, FollowUp
from tests.clients import drive
from tests.waiting.office import ANY_TIME, DAY, HOUR, TOKYO, WEB, Office, at, shown, task

DAILY = Reminder(every=DAY, at_most=5, **ANY_TIME)
BEFORE = Reminder(before_due=HOUR, **ANY_TIME)
LEAD = Escalation(grace=HOUR, mentions=[SUZUKI], **ANY_TIME)


def known(*tasks, created_at: float, **other) -> Facts:
    facts = {"room_id": 1, "message_id": "200", "created_at": created_at, "tasks": tasks, "me": BOT, "web_url": WEB}
    return Facts(**{**facts, **other})


def outcomes(done) -> list[tuple[str, int, str]]:
    return [(each["kind"], each["number"], each["outcome"]) for each in done]


class TestFollowUp:
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
    def test_takes_one_reminder_or_several_in_any_shape(self, reminders, expected):
        assert FollowUp(reminders=reminders).reminders == expected

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
    def test_refuses_what_cannot_be_meant(self, fields, parameter, remedy):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}=.*{remedy}"):
            FollowUp(**fields)

    @pytest.mark.parametrize(
        "follow_up",
        [FollowUp(), FollowUp(reminders=[DAILY, BEFORE], escalation=LEAD, zone="Europe/Paris", lang="en")],
    )
    def test_survives_json(self, follow_up):
        assert FollowUp.from_plain(json.loads(json.dumps(follow_up.to_plain()))) == follow_up

    def test_is_nothing_without_reminder_and_escalation(self):
        assert not FollowUp(escalation="")
        assert FollowUp(reminders=DAILY)
        assert FollowUp(escalation=LEAD)


class TestDueDate:
    def test_is_the_earliest_of_what_is_open(self):
        facts = known(task(due=900, status="done"), None, task(due=2000), task(due=1000), created_at=0)
        assert FollowUp().due_date(facts) == 1000
        assert FollowUp().due_date(known(task(), created_at=0)) is None


class TestNextDue:
    CREATED = at("2026-02-02 10:00")

    def test_is_the_next_of_everything(self):
        follow_up = FollowUp(reminders=[DAILY, BEFORE], escalation=LEAD)
        facts = known(task(due=self.CREATED + 1.5 * DAY), created_at=self.CREATED)
        found, now = [], self.CREATED
        while (due := follow_up.next_due(facts, now)) is not None:
            found.append((due - self.CREATED) / HOUR)
            now = due
        assert found == [24, 35, 37, 48, 72, 96, 120]

    def test_moves_with_a_due_date(self):
        follow_up = FollowUp(reminders=BEFORE)
        for away in (2 * DAY, 5 * DAY, 2 * HOUR):
            facts = known(task(due=self.CREATED + away), created_at=self.CREATED)
            assert follow_up.next_due(facts, self.CREATED) == self.CREATED + away - HOUR

    @pytest.mark.parametrize("tasks", [(), (None,), (task(status="done"),)])
    def test_is_never_where_nothing_is_open(self, tasks):
        assert FollowUp(reminders=DAILY, escalation=LEAD).next_due(known(*tasks, created_at=self.CREATED), 0) is None

    def test_is_never_where_nothing_was_wished_for(self):
        assert FollowUp().next_due(known(task(), created_at=self.CREATED), 0) is None

    def test_is_when_hours_open_for_what_could_not_be_sent_in_time(self):
        follow_up = FollowUp(reminders=Reminder(after=6 * HOUR))
        facts = known(task(), created_at=self.CREATED)
        assert follow_up.next_due(facts, at("2026-02-02 18:00")) is None
        opens = follow_up.next_due(facts, at("2026-02-02 23:00"))
        assert opens is not None
        assert shown(opens) == "2026-02-03 09:00"
        assert follow_up.next_due(facts, opens) is None

    def test_waits_for_nobody_who_was_reminded_of_something_later(self):
        follow_up = FollowUp(reminders=[Reminder(after=6 * HOUR), Reminder(after=12 * HOUR, **ANY_TIME)])
        assert follow_up.next_due(known(task(), created_at=self.CREATED), at("2026-02-02 23:00")) is None


class TestReminding:
    def test_sends_one_message_for_all_who_have_the_task(self, office):
        done = office.follow(FollowUp(reminders=DAILY), DAY)
        assert outcomes(done) == [("reminder", 1, "sent")]
        (body,) = office.said()
        assert f"[To:{YAMADA}] 山田 太郎さん\n[To:{SATO}] 佐藤 花子さん\n" in body
        assert body.endswith(f"リマインド 1 回目: {WEB}/#!rid{DATA_ROOM}-{office.message_id}")

    def test_tells_what_it_has_done(self, office):
        (done,) = office.follow(FollowUp(reminders=DAILY), DAY)
        assert done == {
            "kind": "reminder",
            "number": 1,
            "moment": office.start + DAY,
            "room_id": DATA_ROOM,
            "message_id": office.sandbox.messages(DATA_ROOM)[-1]["message_id"],
            "outcome": "sent",
            "error": None,
        }
        assert json.loads(json.dumps(done)) == done

    def test_speaks_the_language_it_is_given(self, office):
        office.follow(FollowUp(reminders=DAILY, lang="en"), DAY)
        assert office.last_lines() == ["Reminder 1"]

    def test_asks_for_nothing_before_anything_is_due(self, office):
        steps = FollowUp(reminders=DAILY).steps(office.facts(), office.start + DAY - 1)
        assert drive(steps) == ([], [])

    def test_calls_only_those_who_have_not_done_it(self, office):
        office.sandbox.complete_task(DATA_ROOM, office.task_ids[0])
        office.follow(FollowUp(reminders=DAILY), DAY)
        assert f"[To:{YAMADA}]" not in office.said()[0]
        assert f"[To:{SATO}]" in office.said()[0]

    def test_reminds_nobody_where_all_is_done_or_deleted(self, office):
        office.sandbox.complete_task(DATA_ROOM, office.task_ids[0])
        facts = office.facts(tasks=[office.facts().tasks[0], None])
        assert drive(FollowUp(reminders=DAILY, escalation=LEAD).steps(facts, office.start + DAY)) == ([], [])

    def test_knows_the_tasks_when_the_one_with_their_message_is_gone(self, office):
        office.follow(FollowUp(reminders=DAILY), DAY)
        left = office.facts(tasks=[None, {**office.facts().tasks[1], "message_id": "999"}])
        done = office.scene.run_flow(FollowUp(reminders=DAILY).steps(left, office.start + DAY))
        assert outcomes(done) == [("reminder", 1, "found")]

    def test_finds_the_message_of_the_tasks_itself(self, office):
        office.scene.clock.now += DAY
        for _ in range(2):
            office.scene.run_flow(FollowUp(reminders=DAILY).steps(office.facts(message_id=None), office.start + DAY))
        assert len(office.said()) == 1
        assert office.said()[0].endswith(f"-{office.message_id}")

    def test_sends_every_reminder_at_its_time(self, office):
        office.give(due=2.5 * DAY)
        assert office.live(FollowUp(reminders=[DAILY, BEFORE]), 30 * DAY) == [
            DAY,
            2 * DAY,
            # Chatwork keeps whole seconds.
            pytest.approx(2.5 * DAY - HOUR, abs=1),
            3 * DAY,
            4 * DAY,
            5 * DAY,
        ]
        labels = [line.split(" (")[0] for line in office.last_lines()]
        assert labels == [f"リマインド {number} 回目" for number in (1, 2, 1, 3, 4, 5)]

    def test_sends_only_the_latest_after_a_long_break(self, office):
        done = office.follow(FollowUp(reminders=DAILY), 4.5 * DAY)
        assert outcomes(done) == [("reminder", 4, "sent")]
        assert office.last_lines() == ["リマインド 4 回目"]

    def test_sends_nothing_in_hours_that_have_closed_since(self, office):
        office.start = at("2026-02-02 10:00")
        follow_up = FollowUp(reminders=Reminder(after=6 * HOUR))
        assert drive(follow_up.steps(office.facts(), at("2026-02-02 23:00"))) == ([], [])
        late = office.follow(follow_up, 23 * HOUR, after=at("2026-02-02 23:00"))
        assert outcomes(late) == [("reminder", 1, "sent")]

    def test_leaves_out_what_an_earlier_call_has_done(self, office):
        facts, now = office.facts(), office.start + DAY
        follow_up = FollowUp(reminders=DAILY)
        assert drive(follow_up.steps(facts, now + 1, after=now)) == ([], [])
        asked = next(follow_up.steps(facts, now + 1, after=now - 1))
        assert asked.operation == "list_messages"

    def test_reminds_again_for_a_due_date_that_was_moved(self, office):
        office.give(due=2 * DAY)
        follow_up = FollowUp(reminders=BEFORE)
        assert outcomes(office.follow(follow_up, 2 * DAY - 1)) == [("reminder", 1, "sent")]
        office.move_due(4 * DAY)
        assert outcomes(office.follow(follow_up, 3 * DAY)) == []
        assert outcomes(office.follow(follow_up, 4 * DAY - 1)) == [("reminder", 1, "sent")]
        assert len(set(office.last_lines())) == 2

    def test_reminds_at_once_for_a_due_date_that_was_moved_close(self, office):
        office.give(due=20 * DAY)
        follow_up = FollowUp(reminders=[Reminder(before_due=2 * DAY, **ANY_TIME)])
        assert outcomes(office.follow(follow_up, 10 * DAY)) == []
        office.move_due(11 * DAY)
        assert outcomes(office.follow(follow_up, 10 * DAY)) == [("reminder", 1, "sent")]
        assert outcomes(office.follow(follow_up, 10 * DAY)) == [("reminder", 1, "found")]

    def test_does_not_remind_twice_where_the_calendar_has_changed(self, office):
        # As when the library that knows holidays was installed in between: what was the second is now the first.
        office.follow(FollowUp(reminders=Reminder(every=DAY, **ANY_TIME)), 2 * DAY)
        other = FollowUp(reminders=Reminder(every=2 * DAY, **ANY_TIME))
        assert outcomes(office.follow(other, 2 * DAY)) == [("reminder", 1, "found")]

    def test_does_not_remind_where_it_cannot_be_told_whether_people_were(self, office):
        office.scene.clock.now = office.start + DAY
        office.chatter(100)
        assert outcomes(office.follow(FollowUp(reminders=DAILY), DAY + HOUR)) == [("reminder", 1, "untold")]
        assert office.said() == []

    def test_uses_what_is_known_of_the_room(self, office):
        office.follow(FollowUp(reminders=DAILY), DAY)
        page = office.sandbox.messages(DATA_ROOM)
        asked, done = drive(FollowUp(reminders=DAILY).steps(office.facts(), office.start + DAY, page))
        assert (asked, outcomes(done)) == ([], [("reminder", 1, "found")])


class TestEscalating:
    FOLLOW_UP = FollowUp(escalation=LEAD)

    def test_calls_somebody_else_once(self, office):
        office.give(due=DAY)
        assert office.live(self.FOLLOW_UP, 30 * DAY) == [pytest.approx(DAY + HOUR, abs=1)]
        (body,) = office.said()
        assert body.startswith(f"[To:{SUZUKI}]\n期限 (")
        assert f"[To:{YAMADA}]" not in body
        assert "担当: 山田 太郎さん、佐藤 花子さん" in body

    def test_is_not_repeated_by_a_process_that_starts_anew(self, office):
        office.give(due=DAY)
        for after, outcome in ((1, "sent"), (2, "found"), (30, "found")):
            done = office.follow(self.FOLLOW_UP, DAY + after * HOUR)
            assert outcomes(done) == [("escalation", 1, outcome)]

    def test_tells_another_room_and_looks_for_it_there(self, office):
        office.give(due=DAY)
        follow_up = FollowUp(escalation=Escalation(grace=HOUR, room_id=SALES_ROOM, **ANY_TIME))
        # Where it was said before does not count.
        office.follow(self.FOLLOW_UP, DAY + HOUR)
        seen = office.sandbox.messages(DATA_ROOM)
        for outcome in ("sent", "found"):
            (done,) = office.follow(follow_up, DAY + HOUR, seen=seen)
            assert (done["outcome"], done["room_id"]) == (outcome, SALES_ROOM)
        assert len(office.said()) == 1
        assert office.said(SALES_ROOM)[0].endswith(f"/#!rid{DATA_ROOM}-{office.message_id}")

    def test_names_only_those_whose_time_is_up(self, office):
        office.give(due=DAY)
        office.sandbox.store.rooms[DATA_ROOM].tasks[office.task_ids[0]].limit_time += 9 * int(DAY)
        office.follow(self.FOLLOW_UP, DAY + HOUR)
        assert "担当: 佐藤 花子さん\n" in office.said()[0]

    def test_comes_again_for_another_due_date(self, office):
        office.give(due=DAY)
        office.follow(self.FOLLOW_UP, DAY + HOUR)
        office.move_due(3 * DAY)
        assert office.follow(self.FOLLOW_UP, 2 * DAY) == []
        assert outcomes(office.follow(self.FOLLOW_UP, 3 * DAY + HOUR)) == [("escalation", 1, "sent")]

    def test_goes_with_the_latest_reminder_after_a_long_break(self, office):
        office.give(due=DAY)
        follow_up = FollowUp(reminders=DAILY, escalation=LEAD)
        done = office.follow(follow_up, 4 * DAY)
        assert outcomes(done) == [("reminder", 4, "sent"), ("escalation", 1, "sent")]
        assert outcomes(office.follow(follow_up, 4 * DAY)) == [("reminder", 4, "found"), ("escalation", 1, "found")]

    def test_never_comes_for_a_task_that_is_never_due(self, office):
        assert office.follow(self.FOLLOW_UP, 300 * DAY) == []


class TestTrouble:
    FOLLOW_UP = FollowUp(reminders=DAILY)

    @pytest.mark.parametrize("operation", ["list_messages", "post_message"])
    def test_that_passes_is_told_so_that_it_can_be_tried_again(self, office, operation):
        office.scene.add_faults(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(errors.ChatworkServerError):
            office.follow(self.FOLLOW_UP, DAY)
        office.sandbox.clear_faults()
        assert outcomes(office.follow(self.FOLLOW_UP, DAY + 1)) == [("reminder", 1, "sent")]
        assert len(office.said()) == 1

    ESCALATED = FollowUp(reminders=DAILY, escalation=Escalation(grace=0, room_id=PRIVATE_ROOM, **ANY_TIME))

    def test_with_another_room_takes_an_escalation_to_that_of_the_task(self, office):
        office.give(due=HOUR)
        reminder, escalation = office.follow(self.ESCALATED, DAY)
        assert (reminder["outcome"], reminder["error"]) == ("sent", None)
        assert (escalation["outcome"], escalation["room_id"]) == ("sent", DATA_ROOM)
        assert "403" in escalation["error"]
        assert len(office.said()) == 2
        _, escalation = office.follow(self.ESCALATED, DAY + 1)
        assert escalation["outcome"] == "found"
        assert len(office.said()) == 2

    def test_that_does_not_pass_does_not_end_the_wait(self, office):
        office.give(due=HOUR)
        office.scene.add_faults(Fault("status", operation="post_message", status=403, times=None))
        reminder, escalation = office.follow(self.ESCALATED, DAY)
        assert reminder["outcome"] == escalation["outcome"] == "refused"
        assert "403" in reminder["error"]

    @pytest.mark.parametrize("kind", ["lost_reply", "timeout", "cut", "malformed"])
    def test_after_a_reminder_was_posted_does_not_post_it_again(self, office, kind):
        office.scene.add_faults(Fault(kind, operation="post_message"))
        for _ in range(2):
            office.follow(self.FOLLOW_UP, DAY)
        assert len(office.said()) == 1

    def test_of_not_knowing_whether_it_was_posted_is_told(self, office):
        office.scene.add_faults(Fault("timeout", operation="post_message", executed=False, times=None))
        (done,) = office.follow(self.FOLLOW_UP, DAY)
        assert (done["outcome"], done["message_id"]) == ("unknown", None)


class TestStartingAnew:
    """A process may be killed after any call. The next one knows nothing but what it was started with."""

    @pytest.mark.parametrize("calls", range(8))
    def test_repeats_nothing_and_forgets_nothing(self, office, calls):
        office.give(due=DAY)
        follow_up = FollowUp(reminders=DAILY, escalation=LEAD)
        office.scene.clock.now = office.start + 2 * DAY
        steps = follow_up.steps(office.facts(), office.start + 2 * DAY)
        answer = None
        for _ in range(calls):
            try:
                call = steps.send(answer)
            except StopIteration:
                break
            answer = office.scene.run(call)
        steps.close()
        office.follow(follow_up, 2 * DAY)
        assert [line.split(" (")[0] for line in office.last_lines()] == ["リマインド 2 回目", "期限超過のお知らせ"]

    @given(st.lists(st.floats(0, 7 * DAY), max_size=12), st.floats(HOUR, 5 * DAY), st.data())
    def test_whenever_it_happens_sends_each_message_once(self, starts, due, data):
        office = Office(due=due)
        reminders = [Reminder(every=DAY, at_most=3, **ANY_TIME), BEFORE]
        follow_up = FollowUp(reminders=reminders, escalation=LEAD)
        sent = 0
        for start in sorted(starts):
            if data.draw(st.booleans()):
                office.move_due(start + data.draw(st.floats(1, DAY)))
            done = office.follow(follow_up, start)
            sent += sum(each["outcome"] == "sent" for each in done)
            assert sum(each["outcome"] == "sent" and each["kind"] == "reminder" for each in done) <= 1
            assert all(each["outcome"] in ("sent", "found") for each in done)
        assert len(office.last_lines()) == len(set(office.last_lines())) == sent

    def test_sends_once_more_what_people_have_deleted(self, office):
        follow_up = FollowUp(reminders=DAILY)
        (done,) = office.follow(follow_up, DAY)
        office.scene.run(delete_message(DATA_ROOM, done["message_id"]))
        assert outcomes(office.follow(follow_up, DAY)) == [("reminder", 1, "sent")]


def test_the_zone_decides_when_people_are_reminded():
    created = at("2026-02-02 10:00", "Europe/Paris")
    follow_up = FollowUp(reminders=Reminder(after=12 * HOUR), zone="Europe/Paris")
    due = follow_up.next_due(known(task(), created_at=created), created)
    assert due is not None
    assert shown(due, "Europe/Paris") == "2026-02-03 09:00"
    assert shown(due, TOKYO) == "2026-02-03 17:00"
