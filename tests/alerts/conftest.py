from __future__ import annotations

import pytest

from airflow_provider_chatwork.sandbox import Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.alerts.in_memory_airflow import AlertScenario


@pytest.fixture
def scenario(sandbox: ServedSandbox) -> AlertScenario:
    sandbox.limits = Limits.off()
    return AlertScenario(sandbox, company.DATA_ROOM)
