from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_provider_chatwork.api import notation, urls

ROOT = Path(__file__).resolve().parent.parent

TEMPLATES = {
    "to": ("{{ macros.chatwork.to(var.value.oncall, '山田さん') }}", "[To:123] 山田さん"),
    "safe": ("{{ macros.chatwork.safe(error) }}", "[\u200btoall] COUNT(\u200b*)"),
    "info": (
        "{{ macros.chatwork.info(macros.chatwork.code(error), title='失敗') }}",
        "[info][title]失敗[/title][code][\u200btoall] COUNT(*)[/code][/info]",
    ),
    "fit": ("{{ macros.chatwork.fit('a' * 100, 3) }}", "a…a"),
    "url": ("{{ macros.chatwork.message_url(1, '2') }}", "https://www.chatwork.com/#!rid1-2"),
    "others": ("{{ macros.ds_add('2026-01-01', 1) }}", "2026-01-02"),
}

# A separate process, because Airflow loads plugins once per process. The script uses the code of the running Airflow
# that passes macros to templates; there are three variants.
RENDER = """
import json, sys, types
from airflow import __version__
from airflow.providers.common.compat.sdk import BaseOperator

version = tuple(int(part) for part in __version__.split(".")[:2])
if version >= (3, 2):
    from airflow.sdk.plugins_manager import integrate_macros_plugins
else:
    from airflow.plugins_manager import integrate_macros_plugins
if version >= (3, 0):
    from airflow.sdk.execution_time.context import MacrosAccessor
    macros = MacrosAccessor()
else:
    from airflow import macros

integrate_macros_plugins()
context = {
    "macros": macros,
    "error": ValueError("[toall] COUNT(*)"),
    "var": {"value": {"oncall": "123"}},
}
operator = BaseOperator(task_id="render")
rendered = {name: operator.render_template(text, context) for name, text in json.load(sys.stdin).items()}
print("RENDERED" + json.dumps(rendered))
"""

IMPORT = """
import json, sys
from airflow.providers.common.compat.sdk import AirflowPlugin
before = set(sys.modules)
import airflow_provider_chatwork.plugin
print("IMPORTED" + json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def run(script: str, mark: str, path: list[Path], stdin: str = "") -> object:
    """Run a script in a new process and return the JSON after its marker; Airflow prints other lines, too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], input=stdin, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    [found] = [line.removeprefix(mark) for line in done.stdout.splitlines() if line.startswith(mark)]
    return json.loads(found)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The metadata of an installed distribution with the plugin entry points of pyproject.toml."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["airflow.plugins"]
    folder = tmp_path_factory.mktemp("installed")
    metadata = folder / "chatwork_plugin_under_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: chatwork-plugin-under-test\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in declared.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[airflow.plugins]", *lines, ""]))
    return folder


@pytest.fixture(scope="module")
def rendered(installed: Path) -> object:
    templates = {name: template for name, (template, _) in TEMPLATES.items()}
    return run(RENDER, "RENDERED", [ROOT, installed], json.dumps(templates))


class TestMacros:
    @pytest.mark.parametrize("name", TEMPLATES)
    def test_are_rendered_by_an_operator_of_the_running_airflow(self, rendered, name):
        assert rendered[name] == TEMPLATES[name][1]

    def test_are_the_whole_notation_and_both_url_functions(self):
        from airflow_provider_chatwork.plugin import ChatworkPlugin

        functions = {name for name in notation.__all__ if callable(getattr(notation, name))}
        assert {macro.__name__ for macro in ChatworkPlugin.macros} == functions | {"message_url", "room_url"}
        assert {urls.message_url, urls.room_url, notation.to} <= set(ChatworkPlugin.macros)


class TestModule:
    def test_loads_nothing_but_this_package_and_the_standard_library(self):
        # Every Airflow process imports it, also those that do not use Chatwork.
        loaded = run(IMPORT, "IMPORTED", [ROOT])
        assert set(loaded) - set(sys.stdlib_module_names) == {"airflow_provider_chatwork"}
