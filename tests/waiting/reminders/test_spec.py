from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.business_hours import QuietHours
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.spec import DEFAULT_QUIET_HOURS

HOUR = timedelta(hours=1)


def refused(parameter: str, remedy: str = ""):
    return pytest.raises(ChatworkParameterError, match=rf"^{parameter}=.*{remedy}")


class TestReminder:
    def test_is_sent_in_business_hours_by_default(self):
        reminder = Reminder(after=HOUR)
        start, end = DEFAULT_QUIET_HOURS
        assert (reminder.business_days_only, reminder.quiet_hours) == (True, QuietHours(start=start, end=end))
        assert reminder.at_most == 10

    @pytest.mark.parametrize(
        ("fields", "parameter", "remedy"),
        [
            ({}, "after", "after, every or before_due"),
            ({"at_most": 3}, "after", "after, every or before_due"),
            ({"after": 0}, "after", "at least 1"),
            ({"every": timedelta(0)}, "every", "at least 1"),
            ({"before_due": -1}, "before_due", "at least 0"),
            ({"after": "soon"}, "after", "timedelta"),
            ({"after": HOUR, "before_due": HOUR}, "before_due", "two reminders"),
            ({"after": HOUR, "at_most": 0}, "at_most", "1 to 100"),
            ({"after": HOUR, "at_most": 101}, "at_most", "1 to 100"),
            ({"after": HOUR, "at_most": True}, "at_most", "1 to 100"),
            ({"after": HOUR, "business_days_only": "maybe"}, "business_days_only", "True or False"),
            ({"after": HOUR, "quiet_hours": ("19:00",)}, "quiet_hours", "two times"),
            ({"after": HOUR, "quiet_hours": "19:00-09:00"}, "quiet_hours", "two times"),
            ({"after": HOUR, "quiet_hours": ("19:00", "9")}, "quiet_hours", "HH:MM"),
            ({"after": HOUR, "quiet_hours": {"from": "19:00"}}, "quiet_hours", "two times"),
            ({"after": HOUR, "quiet_hours": QuietHours(days_off="mon,tue,wed,thu,fri")}, "quiet_hours", "some hours"),
            ({"after": HOUR, "text": 5}, "text", "give a text"),
            ({"after": HOUR, "text": "x" * 10_001}, "text", "10000"),
        ],
    )
    def test_refuses_wrong_fields(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            Reminder(**fields)

    def test_accepts_quiet_hours_that_leave_only_saturdays_open(self):
        quiet = QuietHours(days_off="mon,tue,wed,thu,fri,sun")
        assert Reminder(after=HOUR, quiet_hours=quiet, business_days_only=False).quiet_hours is quiet

    def test_accepts_quiet_hours_that_begin_at_midnight(self):
        assert Reminder(after=HOUR, quiet_hours=("00:00", "09:00")).quiet_hours == QuietHours(
            start="00:00", end="09:00"
        )

    def test_is_the_same_however_its_durations_are_written(self):
        assert Reminder(after=HOUR) == Reminder(after=3600) == Reminder(after="PT1H")
        assert len({Reminder(after=HOUR), Reminder(after="3600")}) == 1

    def test_ignores_fields_that_render_to_nothing(self):
        assert Reminder(after=HOUR, every="", before_due="None", text="") == Reminder(after=HOUR)

    @pytest.mark.parametrize(
        "reminder",
        [
            Reminder(after=HOUR),
            Reminder(every="P1D", at_most=3, quiet_hours=None, business_days_only=False, text="{due} まで"),
            Reminder(before_due=0.5, quiet_hours=QuietHours(start="12:00", end="13:00", days_off="sat")),
        ],
    )
    def test_survives_json(self, reminder):
        assert Reminder.from_plain(json.loads(json.dumps(reminder.to_plain()))) == reminder

    @pytest.mark.parametrize(
        ("plain", "parameter", "remedy"),
        [
            ({"afer": 5}, r"reminders\.afer", "after, every"),
            (5, "reminders", "Reminder"),
            ("after", "reminders", "Reminder"),
        ],
    )
    def test_refuses_a_wrong_mapping(self, plain, parameter, remedy):
        with refused(parameter, remedy):
            Reminder.from_plain(plain)


class TestEscalation:
    def test_accepts_mentions_as_text(self):
        assert Escalation(mentions="[12, 13]").mentions == (12, 13)
        assert Escalation(mentions=12).mentions == (12,)

    @pytest.mark.parametrize(
        ("fields", "parameter", "remedy"),
        [
            ({}, "mentions", "room_id or both"),
            ({"mentions": []}, "mentions", "room_id or both"),
            ({"mentions": ["yamada"]}, "mentions", "whole number"),
            ({"room_id": "here"}, "room_id", "whole number"),
            ({"mentions": [1], "grace": -1}, "grace", "at least 0"),
            ({"mentions": [1], "text": []}, "text", "give a text"),
            ({"mentions": [1], "quiet_hours": 5}, "quiet_hours", "two times"),
        ],
    )
    def test_refuses_wrong_fields(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            Escalation(**fields)

    @pytest.mark.parametrize(
        "escalation",
        [Escalation(mentions=[1, 2]), Escalation(grace=HOUR, room_id="5", text="遅れています", quiet_hours=None)],
    )
    def test_survives_json(self, escalation):
        assert Escalation.from_plain(json.loads(json.dumps(escalation.to_plain()))) == escalation

    def test_refuses_a_wrong_mapping(self):
        with refused(r"escalation\.mention", "mentions"):
            Escalation.from_plain({"mention": 5})


class TestImportInADagFile:
    def test_imports_little_for_a_reminder(self):
        program = (
            "import sys; from airflow_provider_chatwork.waiting.reminders import Reminder; Reminder(after=3600);"
            "heavy = ('airflow', 'pendulum', 'tenacity', 'jpholiday');"
            "print(*(name for name in sys.modules if name.startswith(heavy)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert sorted(done.stdout.split()) == [
            "airflow_provider_chatwork",
            "airflow_provider_chatwork.api",
            "airflow_provider_chatwork.api.errors",
            "airflow_provider_chatwork.api.validation",
            "airflow_provider_chatwork.utils",
            "airflow_provider_chatwork.utils.business_hours",
            "airflow_provider_chatwork.utils.time_arguments",
            "airflow_provider_chatwork.waiting",
            "airflow_provider_chatwork.waiting.reminders",
            "airflow_provider_chatwork.waiting.reminders.spec",
        ]


class TestTemplates:
    """Values are not rendered; mappings are, before they become values."""

    @pytest.mark.parametrize("text", ["{{ ds }} まで", "{% if x %}a{% endif %}"])
    def test_are_refused_where_airflow_does_not_render_them(self, text):
        with refused("text", "give a mapping"):
            Reminder(after=HOUR, text=text)
        with refused("text", "give a mapping"):
            Escalation(mentions=3, text=text)

    @pytest.mark.parametrize("mentions", ["{{ params.lead }}", ["3", "{{ params.lead }}"]])
    def test_are_refused_in_mentions(self, mentions):
        with refused("mentions", "give a mapping"):
            Escalation(mentions=mentions)

    def test_are_rendered_in_mappings(self):
        plain = Reminder.from_plain({"after": 60, "text": "{{ as it is }}"}).to_plain()
        assert plain["text"] == "{{ as it is }}"
        assert type(plain["text"]) is str
        assert Reminder.from_plain(json.loads(json.dumps(plain))).text == "{{ as it is }}"

    def test_are_not_other_braces(self):
        assert Reminder(after=HOUR, text="{due} { %").text == "{due} { %"
