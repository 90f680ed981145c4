"""What all sensors share in a worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import connect
from tests.sensors.waits import MODES, wait

ROOM = company.DATA_ROOM
NEW = "another-token"


class TestReissuedToken:
    @pytest.fixture
    def task_id(self, db: None, sandbox: ServedSandbox) -> int:
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        return task_id

    @pytest.fixture
    def reissue(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        return lambda: monkeypatch.setattr(sandbox, "_tokens", {NEW: company.BOT})

    @pytest.mark.parametrize("mode", MODES)
    def test_is_read_from_the_connection(
        self,
        mode: str,
        task_id: int,
        reissue: Callable[[], None],
        sandbox: ServedSandbox,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def replace() -> None:
            reissue()
            connect(monkeypatch, sandbox, token=NEW)

        steps = [replace, lambda: sandbox.complete_task(ROOM, task_id)]
        end = wait(mode, monkeypatch, sandbox, steps, room_id=ROOM, task_ids=task_id)
        assert (end.how, end.cause) == ("done", None)

    @pytest.mark.parametrize("mode", MODES)
    def test_ends_the_wait_if_the_connection_has_the_old_one(
        self,
        mode: str,
        task_id: int,
        reissue: Callable[[], None],
        sandbox: ServedSandbox,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        end = wait(mode, monkeypatch, sandbox, [reissue], room_id=ROOM, task_ids=task_id)
        assert (end.how, end.cause) == ("failed for good", "ChatworkAuthError")
