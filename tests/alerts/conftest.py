from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox import Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import one_server, sandbox
from tests.alerts.memory import Teller

__all__ = ["one_server", "sandbox", "teller"]


@pytest.fixture
def teller(sandbox: ServedSandbox) -> Teller:
    sandbox.limits = Limits.off()
    return Teller(sandbox, company.DATA_ROOM)
