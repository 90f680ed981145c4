from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.operators.approval_scenarios import ROOM, THREE, Scenario, logged

__all__ = ["logged", "scenario"]


@pytest.fixture
def scenario(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A room with three approvers."""
    scenario = Scenario(sandbox, monkeypatch)
    for person in THREE:
        sandbox.add_member(ROOM, person)
    return scenario
