from __future__ import annotations

import traceback
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from tests.alerts.recordings import FOLDER, NotRecorded, Recording, raised_through, recordings

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
AIRFLOW = "/opt/python/lib/python3.11/site-packages/airflow/sdk/execution_time/task_runner.py"
DAGS = "/opt/airflow/dags/load.py"

TASKS = ("critical", "orders")
RUNS = ("orders",)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is expected of a kind of recording, whatever the Airflow and however often it is recorded again.

    :param task: ``task_id`` and map index.
    :param tries: which try of how many; ``None`` for what the task instance says of itself.
    :param took: ``ended`` for the time from start to end, ``running`` for that until now.
    :param error: the class of the error, and the function it was raised in.
    """

    kind: EventKind
    dag: str
    task: tuple[str, int] | None = None
    label: str | None = None
    tries: tuple[int, int] | None = None
    took: str | None = None
    error: tuple[str, str] | None = None
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ("data-team",)
    reason: str | None = None
    more: tuple[tuple[str, Any], ...] = ()


def _run(kind: EventKind, dag: str, reason: str, **more: Any) -> Row:
    return Row(kind=kind, dag=dag, reason=reason, tags=RUNS, **{"took": "ended", **more})


def _task(kind: EventKind, name: str, at: int, of: int, took: str | None = "ended", **more: Any) -> Row:
    return Row(kind=kind, dag="tasks", task=(name, -1), label=name, tries=(at, of), took=took, tags=TASKS, **more)


def _killed(kind: EventKind, name: str, tries: tuple[int, int] | None) -> Row:
    return Row(kind=kind, dag="killed", task=(name, -1), label=name, tries=tries, took="ended")


_LOAD = ("RuntimeError", "load")
# The second and the third call of a kind differ from the first where a row says so.
ROWS = {
    "dag.on_success": _run(EventKind.RUN_SUCCESS, "run_succeeds", "success"),
    # Nothing ended last in it, so there is no task instance to come with it, and with that no DAG run.
    "dag.empty.on_success": _run(EventKind.RUN_SUCCESS, "run_empty", "success", took=None, owners=()),
    "dag.on_failure": _run(EventKind.RUN_FAILURE, "run_fails", "task_failure"),
    "dag.timed_out.on_failure": _run(EventKind.RUN_FAILURE, "run_times_out", "timed_out"),
    "dag.never_started.on_failure": _run(EventKind.RUN_FAILURE, "run_never_starts", "timed_out"),
    "deadline.async": Row(kind=EventKind.DEADLINE, dag="deadline_async", took="running", owners=()),
    "deadline.sync": Row(kind=EventKind.DEADLINE, dag="deadline_sync", took="running", owners=()),
    "sla": Row(kind=EventKind.SLA_MISS, dag="sla"),
    "hitl.notifier": Row(
        kind=EventKind.QUESTION,
        dag="asks",
        task=("approve", -1),
        label="approve",
        tries=(1, 1),
        more=(("body", "差額は **1,200円** です。"), ("options", ("締める", "待つ"))),
    ),
    "hitl.on_success": Row(
        kind=EventKind.SUCCESS, dag="asks", task=("approve", -1), label="approve", tries=(1, 1), took="ended"
    ),
    **{
        f"killed.{what}.{tries_left}.on_{how}": _killed(kind, f"{what}_{tries_left}", tries)
        for what in ("job", "task", "worker")
        # If the next try has already started, the number may be that of either try.
        for tries_left, how, kind, tries in (
            ("final", "failure", EventKind.FAILURE, (1, 1)),
            ("retries_left", "retry", EventKind.RETRY, (1, 2)),
            ("retries_left", "failure", EventKind.FAILURE, None),
            ("retries_left", "success", EventKind.SUCCESS, (2, 2)),
        )
    },
    "task.on_execute": _task(EventKind.STARTED, "other", 1, 1, took=None),
    "task.on_execute.tries": _task(EventKind.STARTED, "fails", 1, 3, took=None),
    "task.on_execute.tries#2": _task(EventKind.STARTED, "fails", 2, 3, took=None),
    "task.on_execute.tries#3": _task(EventKind.STARTED, "fails", 3, 3, took=None),
    "task.on_success": _task(EventKind.SUCCESS, "other", 1, 1),
    "task.second_try.on_success": _task(EventKind.SUCCESS, "second_try", 2, 2),
    # That it has ended is noted afterwards.
    "task.on_skipped": _task(EventKind.SKIPPED, "skips", 1, 1, took="running"),
    "task.on_retry": _task(EventKind.RETRY, "fails", 1, 3, error=_LOAD),
    "task.on_retry#2": _task(EventKind.RETRY, "fails", 2, 3, error=_LOAD),
    "task.on_failure": _task(EventKind.FAILURE, "fails", 3, 3, error=_LOAD),
    "task.fail_exception.on_failure": _task(
        EventKind.FAILURE, "gives_up", 1, 3, error=("AirflowFailException", "gives_up")
    ),
    "task.execution_timeout.on_failure": _task(
        EventKind.FAILURE, "takes_too_long", 1, 1, error=("AirflowTaskTimeout", "takes_too_long")
    ),
    "task.deferred.on_failure": _task(EventKind.FAILURE, "waits", 1, 1, error=_LOAD),
    "task.mapped.on_failure": replace(
        _task(EventKind.FAILURE, "mapped", 1, 1, error=_LOAD), task=("mapped", 1), label="mapped [那覇]"
    ),
}
# A failure with tries left is reported as final only by a race of two processes of Airflow.
BY_CHANCE = {name for name in ROWS if name.endswith(".retries_left.on_failure")}
RECORDINGS = recordings()


def row_of(recording: Recording) -> Row:
    """The row of a recording, as far as its process could know."""
    row = ROWS.get(recording.name) or ROWS[recording.kind]
    if row.task is not None and recording.read("ti", "start_date") is None:
        # The DAG processor of Airflow 3 only knows that a task failed. The states show later whether that is final.
        return replace(row, kind=EventKind.FAILURE, took=None, error=None)
    return row


def expected_of(recording: Recording, row: Row, now: datetime) -> AlertEvent:
    ti, run = ("ti", "dag_run")
    more = dict(row.more)
    if row.kind is EventKind.SLA_MISS:
        slas = [sla["attributes"] for sla in recording.entry["arguments"]["slas"]]
        dates = {sla["execution_date"]["$datetime"] for sla in slas}
        return AlertEvent(
            kind=row.kind,
            dag_id=row.dag,
            owners=row.owners,
            sla_tasks=tuple(dict.fromkeys(sla["task_id"] for sla in slas)),
            logical_date=datetime.fromisoformat(dates.pop()) if len(dates) == 1 else None,
        )
    if row.kind is EventKind.QUESTION:
        more["subject"] = f"{recording.read('values', 'ds')} の受注を締めますか"
        page = recording.read(ti, "log_url").removesuffix("?try_number=1")
        more["answer_url"] = f"{page}/required_actions"
    if row.kind is EventKind.DEADLINE:
        more["deadline"] = str(recording.read("values", "deadline")["deadline_time"])
    error = where = None
    if row.error is not None:
        name, function = row.error
        error = f"{name}: {recording.read('exception', 'text')}"
        frames = recording.entry["context"]["exception"]["last_frames"]
        [line] = [frame["line"] for frame in frames if frame["function"] == function]
        where = f"tasks.py, line {line}, in {function}"
    at, of = row.tries or (None, None)
    if row.task is not None and row.tries is None:
        at, of = recording.read(ti, "try_number"), recording.read(ti, "max_tries") + 1
    timed = run if row.task is None else ti
    start, end = moment(recording.read(timed, "start_date")), recording.read(timed, "end_date")
    seconds = None
    if row.took is not None and start is not None:
        seconds = ((end if row.took == "ended" else now) - start).total_seconds()
    return AlertEvent(
        kind=row.kind,
        dag_id=row.dag,
        run_id=recording.read("values", "run_id") or recording.read(run, "dag_run_id"),
        task_id=row.task[0] if row.task else None,
        map_index=row.task[1] if row.task else -1,
        label=row.label,
        logical_date=recording.read("values", "logical_date") or moment(recording.read(run, "logical_date")),
        run_started=moment(recording.read(run, "start_date")),
        try_number=at,
        tries=of,
        seconds=seconds,
        error=error,
        has_exception=error is not None,
        where=where,
        owners=row.owners,
        tags=row.tags,
        log_url=recording.read(ti, "log_url") if row.task else None,
        reason=row.reason,
        **more,
    )


def moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def read(now: datetime = NOW, **context: Any) -> AlertEvent:
    return AlertEvent.from_context(context, now=now)


def task_instance(**more: Any) -> Any:
    return SimpleNamespace(**{"task_id": "load", "dag_id": "report", "state": "failed", "try_number": 1, **more})


class TestRecordings:
    def test_every_kind_has_a_row_and_every_row_a_recording(self):
        kinds = {recording.name if recording.name in ROWS else recording.kind for recording in RECORDINGS}
        assert kinds <= {*ROWS}
        assert {*ROWS} - kinds <= BY_CHANCE

    def test_every_file_is_read(self):
        assert {recording.version for recording in RECORDINGS} == {file.stem for file in FOLDER.glob("*.json")}
        assert {"2.11", "3.3"} <= {recording.version for recording in RECORDINGS}

    def test_what_was_not_recorded_cannot_be_asked_for(self):
        [recording] = [found for found in RECORDINGS if str(found) == "3.3 task.on_failure"]
        with pytest.raises(NotRecorded, match=r"'rendered_fields' of airflow\.sdk"):
            _ = recording.context["ti"].rendered_fields
        with pytest.raises(NotRecorded, match="the value of 'outlets'"):
            recording.context["outlets"]
        with pytest.raises(AttributeError, match="has no attribute 'duration'"):
            _ = recording.context["ti"].duration
        assert "no such key" not in recording.context


class TestFromContext:
    @pytest.mark.parametrize("recording", RECORDINGS, ids=str)
    def test_every_recorded_context_is_read(self, recording):
        event = AlertEvent.from_context(recording.context, now=NOW)
        assert replace(event, traceback=None) == expected_of(recording, row_of(recording), NOW)
        assert (event.traceback is not None) == event.has_exception

    @pytest.mark.parametrize("recording", [found for found in RECORDINGS if found.kind == "task.on_failure"], ids=str)
    def test_the_whole_traceback_is_kept(self, recording):
        trace = AlertEvent.from_context(recording.context, now=NOW).traceback or ""
        assert trace.startswith("Traceback (most recent call last):\n")
        assert 'tests/system_tests/dags/tasks.py", line' in trace
        assert trace.endswith("SELECT COUNT(*) FROM orders -- [toall]\n")

    def test_an_empty_context_is_read(self):
        assert read() == AlertEvent(kind=EventKind.RUN_FAILURE)

    def test_an_attribute_that_raises_is_missing(self):
        class Gone:
            def __getattr__(self, name):
                raise RuntimeError("the database is gone")

        assert read(ti=Gone(), dag_run=Gone(), task=Gone(), dag=Gone()) == AlertEvent(kind=EventKind.FAILURE)

    @pytest.mark.parametrize("key", ["ti", "task_instance"])
    def test_the_task_instance_has_two_names(self, key):
        assert read(**{key: task_instance()}).task_id == "load"

    def test_the_dag_is_found_through_the_task(self):
        dag = SimpleNamespace(dag_id="report", owner="a, b", tags={"z", "y"})
        event = read(ti=task_instance(dag_id=None, task=SimpleNamespace(dag=dag, retries=2)))
        assert (event.dag_id, event.owners, event.tags, event.tries) == ("report", ("a", "b"), ("y", "z"), 3)

    def test_each_owner_is_named_once(self):
        task = SimpleNamespace(owner="data-team, night-shift,, data-team")
        assert read(ti=task_instance(), task=task).owners == ("data-team", "night-shift")

    def test_a_running_task_with_an_exception_is_a_failure(self):
        assert read(ti=task_instance(state="running"), exception=ValueError("x")).kind is EventKind.FAILURE

    def test_a_task_with_subject_and_options_is_a_question_while_it_runs(self):
        asks = SimpleNamespace(subject="s", options=["a"], body=None)
        assert read(ti=task_instance(state="running"), task=asks).kind is EventKind.QUESTION
        assert read(ti=task_instance(state="running"), task=SimpleNamespace(subject="mail")).kind is EventKind.STARTED
        assert read(ti=task_instance(state="success"), task=asks).kind is EventKind.SUCCESS

    def test_a_reason_beside_an_exception_is_not_that_of_a_run(self):
        event = read(ti=task_instance(), reason="mine", exception=ValueError("x"))
        assert (event.kind, event.task_id) == (EventKind.FAILURE, "load")

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("success", EventKind.RUN_SUCCESS),
            ("task_failure", EventKind.RUN_FAILURE),
            ("all_tasks_deadlocked", EventKind.RUN_FAILURE),
        ],
    )
    def test_a_reason_without_an_exception_is_that_of_a_run(self, reason, kind):
        event = read(ti=task_instance(try_number=2, log_url="http://x"), reason=reason)
        assert (event.kind, event.reason) == (kind, reason)
        assert (event.task_id, event.label, event.try_number, event.log_url, event.key) == (None,) * 5

    @pytest.mark.parametrize(
        ("index", "named", "label"),
        [(-1, None, "load"), (0, None, "load [0]"), (7, "", "load [7]"), (0, "那覇", "load [那覇]")],
    )
    def test_a_mapped_task_has_a_label(self, index, named, label):
        event = read(ti=task_instance(map_index=index, rendered_map_index=named))
        assert (event.label, event.map_index, event.key) == (label, index, ("load", index))

    def test_the_tasks_of_missed_slas_are_read_from_text(self):
        event = read(task_list="load on 2026-11-23T01:54:15+00:00\nsend on x\n", slas=[])
        assert (event.kind, event.sla_tasks, event.logical_date) == (EventKind.SLA_MISS, ("load", "send"), None)


class TestSeconds:
    START = NOW - timedelta(seconds=90)

    def test_without_an_end_the_duration_lasts_until_now(self):
        assert read(ti=task_instance(start_date=self.START)).seconds == 90

    def test_the_duration_of_the_previous_try_is_ignored(self):
        assert read(ti=task_instance(start_date=self.START, end_date=None, duration=4.6)).seconds == 90

    def test_without_a_start_the_duration_attribute_is_used(self):
        assert read(ti=task_instance(duration=4.6)).seconds == 4.6

    def test_the_duration_is_never_negative(self):
        assert read(ti=task_instance(start_date=NOW + timedelta(hours=1))).seconds == 0

    def test_a_time_without_a_zone_is_ignored(self):
        assert read(ti=task_instance(start_date=datetime(2026, 1, 1))).seconds is None

    @pytest.mark.parametrize("state", ["running"])
    def test_a_task_that_has_just_started_has_no_duration(self, state):
        assert read(ti=task_instance(state=state, start_date=self.START)).seconds is None


class TestError:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("orders is locked", "ValueError: orders is locked"),
            ("  \n\n orders is locked \n\n", "ValueError: orders is locked"),
            ("", "ValueError"),
            (
                'no relation "x"\nLINE 1: SELECT * FROM x\n                      ^\n\n[SQL: SELECT * FROM x]',
                'ValueError: no relation "x"\nLINE 1: SELECT * FROM x\n…\n[SQL: SELECT * FROM x]',
            ),
            ("a\nb\nc", "ValueError: a\nb\nc"),
            (
                "Traceback (most recent call last):\n  File x\n    y()\nKeyError: 'orders'\n",
                "ValueError: KeyError: 'orders'",
            ),
        ],
    )
    def test_the_error_is_the_class_and_the_first_and_last_lines(self, text, message):
        assert read(ti=task_instance(), exception=ValueError(text)).error == message

    def test_the_error_is_masked_before_it_is_shortened(self):
        secret = "-----BEGIN KEY-----\nMIIE\nhkiG\nAASC\n-----END KEY-----"
        context = {"ti": task_instance(), "exception": ValueError(f"bad key: {secret}")}
        event = AlertEvent.from_context(context, now=NOW, mask=lambda text: text.replace(secret, "***"))
        assert event.error == "ValueError: bad key: ***"

    def test_the_error_is_the_class_if_str_fails(self):
        class SilentError(Exception):
            def __str__(self):
                raise TypeError("broken as well")

        event = read(ti=task_instance(), exception=SilentError())
        assert (event.error, event.has_exception) == ("SilentError", True)

    def test_a_falsy_exception_is_an_error(self):
        class EmptyError(Exception):
            def __len__(self):
                return 0

        assert read(ti=task_instance(state="running"), exception=EmptyError("x")).error == "EmptyError: x"

    def test_the_error_may_be_a_text_of_the_scheduler(self):
        event = read(ti=task_instance(), exception="The executor says that it failed\n")
        assert (event.error, event.has_exception, event.where, event.traceback) == (
            *("The executor says that it failed", False),
            *(None, None),
        )

    @pytest.mark.parametrize("nothing", [None, "", "{'DAG Id': 'report', 'Task Id': 'load'}"])
    def test_a_task_whose_process_is_gone_has_no_error(self, nothing):
        event = read(ti=task_instance(), exception=nothing)
        assert (event.kind, event.error, event.has_exception) == (EventKind.FAILURE, None, False)


class TestWhere:
    def where(self, *frames: tuple[str, int, str]) -> str | None:
        return read(ti=task_instance(), exception=raised_through(ValueError("x"), [*frames])).where

    def test_the_place_is_the_innermost_frame_of_own_code(self):
        assert self.where((AIRFLOW, 9, "run"), (DAGS, 12, "load"), (DAGS, 3, "fetch")) == "load.py, line 3, in fetch"

    @pytest.mark.parametrize(
        "library",
        [
            "/opt/venv/lib/python3.12/site-packages/sqlalchemy/engine/default.py",
            "/usr/lib/python3/dist-packages/requests/api.py",
            "/usr/local/lib/python3.11/json/decoder.py",
            "/usr/lib64/python3.11/json/decoder.py",
            "C:\\venv\\Lib\\site-packages\\requests\\api.py",
            "<frozen importlib._bootstrap>",
        ],
    )
    def test_the_place_is_not_in_a_library(self, library):
        assert self.where((AIRFLOW, 9, "run"), (DAGS, 12, "load"), (library, 5, "do")) == "load.py, line 12, in load"

    @pytest.mark.parametrize(
        "own", ["/opt/dags/lib/python/load.py", "/opt/lib/python_tools/load.py", "/srv/site-packages-of-ours/load.py"]
    )
    def test_similar_folder_names_are_own_code(self, own):
        assert self.where((DAGS, 12, "outer"), (own, 7, "load")) == "load.py, line 7, in load"

    def test_without_own_code_the_place_is_the_innermost_frame(self):
        assert self.where((AIRFLOW, 9, "run"), (AIRFLOW, 99, "_execute")) == "task_runner.py, line 99, in _execute"

    def test_an_exception_that_was_not_raised_has_no_place(self):
        assert read(ti=task_instance(), exception=ValueError("x")).where is None

    def test_the_helper_raises_through_the_given_frames(self):
        error = raised_through(ValueError("x"), [(AIRFLOW, 9, "run"), (DAGS, 12, "<lambda>")])
        frames = traceback.extract_tb(error.__traceback__)
        assert [(frame.filename, frame.lineno, frame.name) for frame in frames] == [
            (AIRFLOW, 9, "run"),
            (DAGS, 12, "<lambda>"),
        ]


class TestQuestion:
    def ask(self, **ti: Any) -> AlertEvent:
        task = SimpleNamespace(subject="s", body="b", options=["a", 2])
        return read(ti=task_instance(state="running", **ti), task=task)

    @pytest.mark.parametrize(
        ("log_url", "page"),
        [
            ("https://a.example/airflow/dags/d/runs/r/tasks/t?try_number=1", "/tasks/t"),
            ("https://a.example/airflow/dags/d/runs/r/tasks/t/mapped/3?try_number=1", "/tasks/t/mapped/3"),
            ("https://a.example/airflow/dags/d/runs/r/tasks/t", "/tasks/t"),
        ],
    )
    def test_the_answer_page_is_beside_the_log(self, log_url, page):
        url = self.ask(log_url=log_url).answer_url
        assert url == f"https://a.example/airflow/dags/d/runs/r{page}/required_actions"

    def test_without_a_log_there_is_no_answer_page(self):
        event = self.ask()
        assert (event.answer_url, event.options, event.body) == (None, ("a", "2"), "b")


class TestMasking:
    SECRET = "hunter2"

    def context(self, **more: Any) -> dict[str, Any]:
        """A context with a secret in every text."""
        text = f"x {self.SECRET} y"
        names = ("dag_id", "run_id", "owner", "rendered_map_index", "log_url", "subject", "body", "deadline_time")
        return {
            "ti": task_instance(**dict.fromkeys(names, text), map_index=1, task_id=text),
            "dag": SimpleNamespace(dag_id=text, owner=text, tags=[text]),
            "dag_run": SimpleNamespace(run_id=text),
            "task": SimpleNamespace(owner=text, subject=text, body=text, options=[text, text]),
            "reason": text,
            **more,
        }

    @pytest.mark.parametrize("kind", ["failure", "question", "run", "deadline", "sla", "slas"])
    def test_secrets_are_masked_in_every_text_but_names(self, kind):
        text = f"x {self.SECRET} y"
        error = raised_through(ValueError(text), [(f"/dags/{self.SECRET}.py", 3, "load")])
        context = {
            "failure": self.context(exception=error),
            "question": self.context(
                ti=task_instance(state="running", log_url=f"https://a/{self.SECRET}?x=1"), reason=None
            ),
            "run": self.context(),
            "deadline": self.context(deadline={"deadline_time": text}),
            "sla": self.context(task_list=f"{self.SECRET} on x"),
            "slas": self.context(task_list="", slas=[SimpleNamespace(task_id=text)]),
        }[kind]
        event = AlertEvent.from_context(context, lambda text: text.replace(self.SECRET, "***"), now=NOW)
        left = {field.name for field in fields(AlertEvent) if self.SECRET in str(getattr(event, field.name))}
        # Routing and storage need these names.
        assert left <= {"dag_id", "run_id", "task_id", "owners", "tags"}
        masked = {field.name for field in fields(AlertEvent) if "***" in str(getattr(event, field.name))}
        assert (
            masked
            == {
                "failure": {"label", "error", "where", "traceback", "log_url", "reason"},
                "question": {"log_url", "subject", "body", "options", "answer_url"},
                "run": {"reason"},
                "deadline": {"deadline", "reason"},
                "sla": {"sla_tasks", "reason"},
                "slas": {"sla_tasks", "reason"},
            }[kind]
        )

    def test_a_missing_text_is_not_masked(self):
        event = AlertEvent.from_context({"ti": task_instance(task_id=None)}, lambda text: "***")
        assert replace(event, try_number=None) == AlertEvent(kind=EventKind.FAILURE, dag_id="report")


class TestLogUrl:
    @pytest.mark.parametrize(
        ("log_url", "expected"),
        [
            ("https://airflow.exampledags/d/runs/r", "https://airflow.example/dags/d/runs/r"),
            ("https://airflow.example/dags/d", "https://airflow.example/dags/d"),
            ("https://other.exampledags/d", "https://other.exampledags/d"),
        ],
    )
    def test_the_missing_slash_of_airflow_3_0_is_added(self, log_url, expected):
        context = {"ti": task_instance(log_url=log_url)}
        assert AlertEvent.from_context(context, base_url="https://airflow.example").log_url == expected
        assert AlertEvent.from_context(context).log_url == log_url


class TestAlertEvent:
    def test_the_title_describes_the_event(self):
        task = AlertEvent(kind=EventKind.RETRY, dag_id="report", task_id="load", label="load [0]", run_id="r")
        assert task.title == "retry of report.load [0] in r"
        assert replace(task, kind=EventKind.RUN_FAILURE).title == "run_failure of report in r"
        assert AlertEvent(kind=EventKind.FAILURE).title == "failure of something"

    @pytest.mark.parametrize("kind", EventKind)
    def test_an_event_is_of_a_task_or_of_a_run(self, kind):
        of_run = kind in (EventKind.RUN_FAILURE, EventKind.RUN_SUCCESS, EventKind.DEADLINE, EventKind.SLA_MISS)
        event = AlertEvent(kind=kind, task_id="load", map_index=3)
        assert event.of_run is of_run
        assert event.key == (None if of_run else ("load", 3))


class TestEventKind:
    def test_each_kind_has_a_severity(self):
        severities = {kind: kind.severity for kind in EventKind}
        assert {kind for kind, severity in severities.items() if severity == "error"} == {
            EventKind.FAILURE,
            EventKind.RUN_FAILURE,
        }
        assert {kind for kind, severity in severities.items() if severity == "warning"} == {
            EventKind.RETRY,
            EventKind.DEADLINE,
            EventKind.SLA_MISS,
        }
        assert {*severities.values()} == {"error", "warning", "info"}
