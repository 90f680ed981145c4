"""Importing the provider in a DAG file loads little, because DAG files are parsed again and again."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "airflow_provider_chatwork"
DAG_FACING = sorted(
    f"{PACKAGE.name}.{module.parent.name}.{module.stem}"
    for folder in ("operators", "sensors", "notifications", "hooks")
    for module in (PACKAGE / folder).glob("[!_]*.py")
)
PROGRAM = """
import json, sys
try:
    import airflow.sdk
except ImportError:
    import airflow.models
from airflow.providers.common.compat.sdk import (
    AirflowFailException, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, BranchMixIn, XCom, conf, redact
)
from airflow.providers.common.compat.notifier import BaseNotifier
before = set(sys.modules)
for name in sys.argv[1:]:
    __import__(name)
json.dump(sorted(set(sys.modules) - before), sys.stdout)
"""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The modules that the provider loads in addition to Airflow's."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *DAG_FACING]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return json.loads(done.stdout.splitlines()[-1])


class TestADagFile:
    def test_imports_the_public_modules(self, loaded):
        assert len(DAG_FACING) >= 6
        assert "airflow_provider_chatwork.hooks.chatwork" in loaded

    @pytest.mark.parametrize("name", ["requests", "aiohttp", "httpx", "tenacity", "airflow.triggers"])
    def test_does_not_load_what_only_a_running_task_needs(self, loaded, name):
        assert find_spec(name) is not None or name == "aiohttp"
        assert [module for module in loaded if module == name or module.startswith(f"{name}.")] == []

    def test_loads_few_modules_of_the_provider(self, loaded):
        assert len([module for module in loaded if module.startswith(PACKAGE.name)]) <= 25

    def test_loads_no_operation_before_it_is_used(self, loaded):
        assert "airflow_provider_chatwork.api.messages" not in loaded
        assert "airflow_provider_chatwork.client" not in loaded
