"""A unique token must appear only in the connection and in the HTTP requests."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import shutil
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_chatwork.api import http as wire
from airflow_provider_chatwork.api.call import Call, HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkError, to_plain
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.operators.files import ChatworkUploadFileOperator
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from tests.airflow_helpers import VERSION, connect, new_dag, run_dag
from tests.operations import CASES

ROOM = company.DATA_ROOM
TOKEN = "canary+7f3a91c2/token=="
WEBHOOK_TOKEN = "canary+b64d08e5/webhook=="
SECRETS = (TOKEN, WEBHOOK_TOKEN)

FAULTS = {
    "none": None,
    **{str(status): Fault("status", status=status, times=None) for status in (302, 400, 401, 403, 404, 429, 500, 503)},
    "lost reply": Fault("lost_reply", times=None),
    "refused": Fault("refuse", times=None),
    "late": Fault("timeout", seconds=0, times=None),
    "cut": Fault("cut", times=None),
    **{
        f"malformed: {shape}": Fault("malformed", shape=shape, times=None)
        for shape in ("truncated", "html", "wrong_types", "empty")
    },
    "mirrored": Fault("status", status=400, body={"errors": ["x-chatworktoken: no such header"]}, times=None),
}
# Headers of the connection, not of the request.
BROKEN = {
    "no such port": {"host": "http://127.0.0.1:1/v2"},
    "no TLS there": {"host": "https://127.0.0.1:{port}/v2"},
    "no proxy there": {"host": "https://api.chatwork.com/v2", "extra": {"proxy": "http://user:p4ss-word@127.0.0.1:1"}},
}


def forms(secret: str) -> Iterator[str]:
    """Every encoding of a secret."""
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield secret.encode().hex()


NEEDLES = [form for secret in SECRETS for form in forms(secret)]


def secrets_in(text: str | bytes) -> list[str]:
    """The secrets that a text contains."""
    haystack = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return [needle for needle in NEEDLES if needle.encode() in haystack]


def all_texts_of(error: BaseException) -> str:
    """Everything that a log or an error tracker can show of an error and its causes."""
    shown: list[str] = []
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or link in seen:
            continue
        seen.append(link)
        shown += [str(link), repr(link), repr(link.args), *traceback.format_exception(link)]
        if isinstance(link, ChatworkError):
            shown.append(json.dumps(to_plain(link), default=repr))
        waiting += [link.__cause__, link.__context__]
    return "\n".join(shown)


class Evidence:
    """Everything that was logged and raised."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.texts: list[str] = []

    def add(self, thing: object) -> None:
        self.texts.append(all_texts_of(thing) if isinstance(thing, BaseException) else f"{thing!s}\n{thing!r}")

    def assert_clean(self) -> None:
        assert self.texts, "nothing was looked at"
        for text in (*self.texts, self.caplog.text):
            assert not secrets_in(text), text


@pytest.fixture
def evidence(caplog: pytest.LogCaptureFixture) -> Evidence:
    caplog.set_level(logging.DEBUG)
    # Other loggers have their own level.
    for name in ("httpx", "httpcore", "urllib3", "asyncio", "airflow", "airflow_provider_chatwork"):
        caplog.set_level(logging.DEBUG, name)
    return Evidence(caplog)


@pytest.fixture
def sandbox(chatwork_sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> ServedSandbox:
    chatwork_sandbox.add_token(TOKEN, company.BOT)
    chatwork_sandbox.limits = Limits.off()
    connect(monkeypatch, chatwork_sandbox, token=TOKEN, webhook_token=WEBHOOK_TOKEN, timeout=0.5)
    return chatwork_sandbox


def run_all_operations(sandbox: ServedSandbox, evidence: Evidence, fault: Fault | None) -> int:
    """Run every operation through both transports, and return how many succeeded."""
    hook = ChatworkHook()
    well = 0

    def each() -> Iterator[Call[Any]]:
        for case in CASES:
            sandbox.reset()
            call = case.call(sandbox)
            if fault is not None:
                sandbox.add_fault(fault)
            yield call

    for call in each():
        try:
            evidence.add(hook.run(call))
            well += 1
        except ChatworkError as error:
            evidence.add(error)

    async def run_async() -> int:
        well = 0
        for call in each():
            try:
                evidence.add(await hook.arun(call))
                well += 1
            except ChatworkError as error:
                evidence.add(error)
        await hook.aclose()
        return well

    return well + asyncio.run(run_async())


async def with_one_hook(hook: ChatworkHook, call: Any) -> Any:
    try:
        return await hook.arun(call)
    finally:
        await hook.aclose()


class TestSearch:
    @pytest.mark.parametrize("secret", SECRETS)
    def test_finds_a_secret_in_every_form(self, secret):
        for form in forms(secret):
            assert secrets_in(f"before {form} after")
        assert not secrets_in("before canary after")

    def test_finds_a_secret_in_a_chained_error(self):
        def raise_chained() -> None:
            try:
                raise ValueError(f"header {TOKEN}")
            except ValueError:
                raise ChatworkError("something else") from None

        with pytest.raises(ChatworkError) as caught:
            raise_chained()
        assert secrets_in(all_texts_of(caught.value))

    def test_finds_a_secret_in_a_log(self, evidence):
        evidence.add("something")
        logging.getLogger("airflow_provider_chatwork.client").debug("sending %s", TOKEN)
        with pytest.raises(AssertionError, match="canary"):
            evidence.assert_clean()


class TestOperations:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_put_no_secret_into_logs_results_or_errors(self, fault, sandbox, evidence):
        well = run_all_operations(sandbox, evidence, FAULTS[fault])
        assert well > len(CASES) if fault == "none" else evidence.texts
        talking = {record.name.partition(".")[0] for record in evidence.caplog.records}
        assert {"urllib3", "httpcore"} <= talking, "the libraries that send have logged nothing"
        evidence.assert_clean()

    @pytest.mark.parametrize("name", BROKEN)
    def test_put_no_secret_into_errors_of_an_invalid_connection(self, name, sandbox, evidence, monkeypatch):
        broken = {**BROKEN[name]}
        broken["host"] = str(broken["host"]).format(port=sandbox.address.port)
        extra = {"max_wait": 0, "webhook_token": WEBHOOK_TOKEN, **broken.pop("extra", {})}  # type: ignore[dict-item]
        connection = {"conn_type": "chatwork", "password": TOKEN, **broken, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", json.dumps(connection))
        hook = ChatworkHook()
        for send in (hook.run, lambda call: asyncio.run(with_one_hook(hook, call))):
            with pytest.raises(ChatworkError) as caught:
                send(ChatworkHook.post_message(ROOM, "hi"))
            evidence.add(caught.value)
        evidence.add(hook.test_connection())
        evidence.assert_clean()
        assert not [text for text in evidence.texts if "p4ss-word" in text]

    def test_print_no_secret(self, sandbox, evidence):
        hook = ChatworkHook()
        call = ChatworkHook.post_message(ROOM, "hi")
        sent = wire.encode(call.request, hook.settings)
        assert isinstance(sent, HttpRequest)
        for thing in (hook, hook.settings, hook.client, hook.client.policy, call, call.request, sent):
            evidence.add(thing)
        assert hook.settings.token == TOKEN
        assert TOKEN in sent.headers.values()
        evidence.add(hook.test_connection())
        evidence.assert_clean()

    def test_serialize_no_secret_into_triggers(self, sandbox, evidence):
        trigger = ChatworkTaskDoneTrigger(
            chatwork_conn_id="chatwork_default",
            room_id=ROOM,
            task_ids=[1],
            complete_when="all",
            poke_interval=5,
            deadline=0,
        )

        async def first() -> Any:
            return [event.payload async for event in trigger.run()]

        evidence.add(asyncio.run(first()))
        sandbox.add_fault(Fault("status", status=401, times=None))
        evidence.add(asyncio.run(first()))
        evidence.add(trigger.serialize())
        evidence.add(trigger)
        evidence.assert_clean()


class LeakingOperator(BaseOperator):
    """Fails with the token in its error, as code of a user may."""

    def execute(self, context: Any) -> None:
        ChatworkHook().get_me()
        raise ValueError(f"401 for X-ChatWorkToken {ChatworkHook().settings.token}")


class TestDagRun:
    def test_leaves_no_secret_in_database_logs_and_messages(self, db, sandbox, evidence, monkeypatch, tmp_path, capfd):
        room = {"room_id": ROOM}
        (tmp_path / "dags").mkdir()
        with new_dag("canary", default_args={"on_failure_callback": ChatworkNotifier(**room)}) as dag:
            tell = ChatworkPostMessageOperator(task_id="tell", body="{{ task.chatwork_conn_id }}", **room)
            upload = ChatworkUploadFileOperator(task_id="upload", content="1", filename="a.csv", **room)
            create = ChatworkCreateTaskOperator(task_id="create", body="確認", to_ids=[company.SATO], **room)
            wait = ChatworkTaskDoneSensor(task_id="wait", task_ids=create.output, deferrable=True, **room)
            ChatworkPostMessageOperator(task_id="refused", body="hi", room_id=company.PRIVATE_ROOM)
            tell >> upload >> create >> wait
        sandbox.complete_tasks_after = 0
        # The first poke of the sensor fails, so that a trigger is stored.
        sandbox.add_fault(Fault("status", status=503, method="GET", path="/rooms/[0-9]+/tasks/[0-9]+", after=1))
        run = run_dag(dag, monkeypatch, tmp_path / "dags")
        states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
        assert states == {"tell": "success", "upload": "success", "create": "success", "wait": "success"} | {
            "refused": "failed"
        }
        for message in sandbox.messages(ROOM):
            evidence.add(message["body"])
        shown = capfd.readouterr()
        # At level DEBUG, Airflow 3.0 logs the secrets that it tells its supervisor to mask.
        printed = [line for line in (shown.out + shown.err).splitlines() if "msg=MaskSecret(" not in line]
        # Airflow 2.11 prints with the loggers that this test captures.
        assert len(printed) > 10 or VERSION < (3, 0)
        evidence.add("\n".join(printed))
        evidence.assert_clean()

        home = Path(os.environ["AIRFLOW_HOME"])
        files = [path for path in home.rglob("*") if path.is_file()]
        assert any("canary" in str(path) or b"canary" in path.read_bytes() for path in files), "the run left nothing"
        for path in files:
            assert not secrets_in(path.read_bytes()), path

        # The same search finds the token in the connection.
        [database] = home.glob("*.db")
        for path in home.glob("*.db*"):
            shutil.copy(path, tmp_path)
        with sqlite3.connect(tmp_path / database.name) as planted:
            planted.execute("CREATE TABLE planted (value TEXT)")
            planted.execute("INSERT INTO planted VALUES (?)", (f"before {TOKEN} after",))
        planted.close()
        assert any(secrets_in(path.read_bytes()) for path in tmp_path.glob("*.db*"))

    def test_masks_a_secret_of_the_error_in_the_alert(self, db, sandbox, evidence, monkeypatch, tmp_path):
        with new_dag("leak", default_args={"on_failure_callback": ChatworkNotifier(room_id=ROOM)}) as dag:
            LeakingOperator(task_id="leak")
        run_dag(dag, monkeypatch, tmp_path)
        told = sandbox.messages(ROOM)[-1]["body"]
        assert "タスク: leak" in told
        assert not secrets_in(told)
