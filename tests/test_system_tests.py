from __future__ import annotations

from pathlib import Path

from tests.system_tests.alerts.cases import Case, cases
from tests.system_tests.alerts.checks import retries
from tests.system_tests.alerts.expected_texts import PINNED, accept, difference, neutral, problem, read
from tests.system_tests.alerts.observations import Evidence, Room, Sent
from tests.system_tests.storm.named_tasks import named


class TestNamed:
    def test_tasks_of_their_own_and_ranges_of_a_mapped_one(self) -> None:
        assert named("・plain_3: E\nほか 5 件: plain_12, mapped [0-2, 7]") == {
            ("plain_3", -1),
            ("plain_12", -1),
            ("mapped", 0),
            ("mapped", 1),
            ("mapped", 2),
            ("mapped", 7),
        }

    def test_the_mapped_task_without_an_index_is_none_of_its_instances(self) -> None:
        assert named("mapped") == set()


class TestNeutral:
    def test_nothing_is_left_of_run_time_and_place(self) -> None:
        text = (
            "実行 ID: manual__2026-11-23T02:30:19.684522+00:00\n論理日付: 2026-11-23 11:31 (Asia/Tokyo)\n"
            "所要時間: 1 分 2 秒\n詳細: http://127.0.0.1:41957/dags/x/runs/manual__2026-11-23T02%3A30%3A19.68%2B00%3A00[/info]"
        )
        assert neutral(text) == (
            "実行 ID: {run}\n論理日付: {when} (Asia/Tokyo)\n所要時間: {took}\n詳細: {page of x}[/info]"
        )

    def test_links_of_every_airflow_read_the_same(self) -> None:
        new = "http://127.0.0.1:1/dags/x/runs/manual__2026/tasks/t/mapped/3?try_number=2"
        old = "http://127.0.0.1:1/dags/x/grid?dag_run_id=manual__2026&task_id=t&map_index=3&base_date=2026&tab=logs"
        assert neutral(new) == neutral(old) == "{log of x.t3}"

    def test_a_broken_tag_is_told_from_a_whole_one(self) -> None:
        assert neutral("[\u200btoall]") == "[{break}toall]"


class TestRead:
    def test_sections_by_name(self, tmp_path: Path) -> None:
        file = tmp_path / "texts.txt"
        file.write_text("=== one\na\n\nb\n\n=== two 2\nc\n", "utf-8")
        assert read(file) == {"one": "a\n\nb", "two 2": "c"}


class TestAccept:
    def test_rooms_that_an_older_airflow_does_not_have_stay(self, tmp_path: Path) -> None:
        file = tmp_path / "texts.txt"
        file.write_text("=== asks\nold\n\n=== waits\nkept\n", "utf-8")
        accept({name: Room(name, ["new"] if name == "asks" else [], []) for name in PINNED}, file)
        assert read(file) == {"asks": "new", "waits": "kept"}


class TestProblem:
    def test_an_expected_text_is_no_problem(self, tmp_path: Path) -> None:
        file = tmp_path / "texts.txt"
        file.write_text("=== asks\n{when}\n---\nb\n", "utf-8")
        assert problem(Room("asks", ["2026-11-23 11:31", "b"], []), file) is None

    def test_another_text_is_a_problem(self, tmp_path: Path) -> None:
        file = tmp_path / "texts.txt"
        file.write_text("=== asks\nnew\n", "utf-8")
        assert problem(Room("asks", ["old"], []), file) == "line 1 is 'old', expected 'new'"

    def test_a_text_that_is_not_recorded_is_a_problem(self, tmp_path: Path) -> None:
        file = tmp_path / "texts.txt"
        file.touch()
        assert "--accept" in str(problem(Room("asks", ["new"], []), file))

    def test_a_room_whose_text_depends_on_the_order_is_not_compared(self, tmp_path: Path) -> None:
        assert problem(Room("own_text", ["x"], []), tmp_path / "absent") is None


class TestDifference:
    def test_equal_texts_have_none(self) -> None:
        assert difference("a\nb", "a\nb") == ""

    def test_the_first_different_line_is_named(self) -> None:
        assert difference("a\nx\ny", "a\nb\nc") == "line 2 is 'x', expected 'b'"

    def test_missing_lines_are_counted(self) -> None:
        assert difference("a", "a\nb") == "1 lines fewer than expected"


def seen(sent: list[Sent], messages: list[str], state: str = "failed") -> Evidence:
    name = "retries_then_fails"
    return Evidence(
        version=(3, 3),
        rooms={name: Room(name, messages, sent)},
        run_states={name: ["failed"]},
        task_states={name: {"sync_stock": state}},
        tries={},
        logs=[],
    )


class TestCase:
    case = Case("task: on_retry, then on_failure", "retries_then_fails", "", retries)
    last = "[To:1001005]\n[title]タスクが失敗しました: sync_stock[/title]試行: 3 回中 3 回目"
    course = (
        Sent("post_message", 200, "再試行します 3 回中 1 回目"),
        Sent("edit_message", 200, "再試行します 3 回中 2 回目"),
        Sent("post_message", 200, last),
        Sent("delete_message", 200, ""),
    )

    def test_an_expected_course_has_no_problem(self) -> None:
        assert self.case.problems(seen([*self.course], [self.last])) == []

    def test_an_unexpected_message_is_a_problem(self) -> None:
        assert self.case.problems(seen([*self.course], ["x", self.last])) == ["2 messages, expected 1"]

    def test_a_retry_that_mentions_people_is_a_problem(self) -> None:
        with_mention = Sent("post_message", 200, "[To:1001005] 再試行します 3 回中 1 回目")
        assert self.case.problems(seen([with_mention, *self.course[1:]], [self.last])) == [
            "'[To:' there",
            "people were called 2 times, expected 1",
        ]

    def test_a_call_that_was_refused_calls_nobody(self) -> None:
        refused = Sent("post_message", 503, self.last)
        assert self.case.problems(seen([*self.course[:2], refused, *self.course[2:]], [self.last])) == []

    def test_a_task_that_ended_otherwise(self) -> None:
        assert self.case.problems(seen([*self.course], [self.last], "success")) == [
            "the tasks are success, expected failed"
        ]


class TestCases:
    def test_an_older_airflow_has_no_deadlines_but_slas(self) -> None:
        kinds = {case.dag_id for case in cases((2, 11))}
        assert "sla" in kinds
        assert not {"deadline_async", "asks", "waits"} & kinds

    def test_a_newer_one_has_them(self) -> None:
        kinds = {case.dag_id for case in cases((3, 3))}
        assert {"deadline_async", "deadline_sync", "asks", "waits"} <= kinds
        assert not {"sla", "killed_job_final"} & kinds
