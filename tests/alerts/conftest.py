from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox import Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import sandbox, shared_sandbox
from tests.alerts.in_memory_airflow import AlertScenario

__all__ = ["sandbox", "scenario", "shared_sandbox"]


@pytest.fixture
def scenario(sandbox: ServedSandbox) -> AlertScenario:
    sandbox.limits = Limits.off()
    return AlertScenario(sandbox, company.DATA_ROOM)
