from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox import Sandbox, company


class TestRestore:
    def test_restores_everything_from_json(self, sandbox: Sandbox, api: Any) -> None:
        api.get(f"/rooms/{company.DATA_ROOM}/messages")
        api.post(f"/rooms/{company.DATA_ROOM}/link", code="a")
        sandbox.upload_file(company.SALES_ROOM, company.SATO, Upload("bytes", bytes(range(256))))
        saved = json.loads(json.dumps(sandbox.snapshot()))
        sandbox.reset()
        assert sandbox.snapshot() != saved
        sandbox.restore(saved)
        assert sandbox.snapshot() == saved
        assert api.get(f"/rooms/{company.DATA_ROOM}/messages").status == 204

    def test_continues_the_ids(self, sandbox: Sandbox) -> None:
        saved = sandbox.snapshot()
        first = sandbox.post_message(company.DATA_ROOM, company.YAMADA, "x")
        sandbox.restore(saved)
        assert sandbox.post_message(company.DATA_ROOM, company.YAMADA, "x") == first

    @pytest.mark.parametrize("data", [{}, {"version": 0}, {"version": 1}, {"version": 1, "last_ids": {}, "rooms": [1]}])
    def test_rejects_invalid_data_and_changes_nothing(self, sandbox: Sandbox, data: dict[str, Any]) -> None:
        before = sandbox.snapshot()
        with pytest.raises(ValueError, match="not a sandbox snapshot"):
            sandbox.restore(data)
        assert sandbox.snapshot() == before
