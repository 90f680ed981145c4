from __future__ import annotations

import json

from airflow_provider_chatwork.waiting.approvals.question import Question
from tests.waiting.approvals.fake_room import SATO, question


class TestQuestion:
    def test_plain_json_creates_it_again(self):
        plain = question(approvers=(SATO,)).to_plain()
        assert json.loads(json.dumps(plain)) == plain
        assert Question(**plain) == question(approvers=[SATO])
