from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Sandbox, company


class TestSeed:
    def test_adds_accounts_rooms_messages_and_requests(self, sandbox: Sandbox, api: Any) -> None:
        planted = sandbox.seed(
            {
                "accounts": [{"account_id": 7, "name": "渡辺 真"}, {"name": "外の人", "colleague": False}],
                "rooms": [
                    {
                        "room_id": 70,
                        "name": "出荷",
                        "roles": {"7": "admin", str(company.BOT): "member"},
                        "messages": [{"account_id": 7, "body": "おはようございます"}],
                    }
                ],
                "requests": [{"account_id": 7, "message": "hi"}],
            }
        )
        assert planted["rooms"] == [70]
        assert api.get("/rooms/70/messages").json[0]["body"] == "おはようございます"
        contacts = {contact["account_id"] for contact in api.get("/contacts").json}
        assert 7 in contacts
        assert planted["accounts"][1] not in contacts
        assert api.get("/incoming_requests").json[-1]["account_id"] == 7

    @pytest.mark.parametrize(
        "data",
        [
            {"people": []},
            {"accounts": [{}]},
            {"accounts": [{"name": "x", "account_id": company.BOT}]},
            {"rooms": [{"name": "x", "roles": {"4711": "admin"}}]},
            {"rooms": [{"name": "x", "roles": {}, "room_id": company.DATA_ROOM}]},
        ],
    )
    def test_rejects_invalid_data(self, sandbox: Sandbox, data: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"seed|in use|no such account"):
            sandbox.seed(data)
