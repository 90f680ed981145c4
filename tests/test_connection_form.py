from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_chatwork.connection_form import connection_form_widgets, ui_field_behaviour
from airflow_provider_chatwork.provider_info import CONNECTION_FIELDS, HOOK_NAME
from tests.airflow_helpers import VERSION

ROOT = Path(__file__).resolve().parent.parent

# A separate process, because Airflow reads the form once per process and before 3.2 replaces parts of Flask for it.
ASK_THE_USER_INTERFACE = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

[form] = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "chatwork"]
fields = {name: field.get("schema", {}) for name, field in (form.extra_fields or {}).items()}
standard = form.standard_fields.model_dump(by_alias=False) if form.standard_fields else {}
print("FORM" + json.dumps({"name": form.hook_name, "fields": fields, "standard": standard}))
"""
ASK_THE_PROVIDERS_MANAGER = """
import json
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
mine = {key: widget for key, widget in manager.connection_form_widgets.items() if key.startswith("extra__chatwork__")}
types = {"IntegerField": "integer", "StringField": "string", "PasswordField": "string"}
fields = {
    widget.field_name: {
        "type": [types[widget.field.field_class.__name__], "null"],
        **({"format": "password"} if widget.field.field_class.__name__ == "PasswordField" else {}),
    }
    for widget in mine.values()
}
behaviour = manager.field_behaviours["chatwork"]
standard = {
    "url_schema" if name == "schema" else name: {
        "hidden": name in behaviour["hidden_fields"],
        "title": behaviour["relabeling"].get(name),
        "placeholder": behaviour["placeholders"].get(name),
    }
    for name in ("schema", "host", "port", "login", "password")
}
print("FORM" + json.dumps({"name": manager.hooks["chatwork"].hook_name, "fields": fields, "standard": standard}))
"""


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The connection form of the running Airflow with the provider installed."""
    path = [ROOT]
    try:
        metadata.distribution("airflow-provider-chatwork")
    except metadata.PackageNotFoundError:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
        folder = tmp_path_factory.mktemp("installed")
        info = folder / "airflow_provider_chatwork-0.0.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-provider-chatwork\nVersion: 0.0.0\n")
        [(name, target)] = declared["apache_airflow_provider"].items()
        (info / "entry_points.txt").write_text(f"[apache_airflow_provider]\n{name} = {target}\n")
        path.append(folder)
    script = ASK_THE_PROVIDERS_MANAGER if VERSION < (3, 0) else ASK_THE_USER_INTERFACE
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-W", "error:::airflow_provider_chatwork", "-c", script],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")]), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [found] = [line.removeprefix("FORM") for line in done.stdout.splitlines() if line.startswith("FORM")]
    return json.loads(found)


undrawn = pytest.mark.skipif(
    VERSION == (3, 0) and util.find_spec("wtforms") is None,
    reason="Airflow 3.0 asks no provider for its form where WTForms is not installed",
)


class TestTheFormOfAirflow:
    def test_has_the_name(self, form):
        assert form["name"] == HOOK_NAME

    @undrawn
    def test_has_every_field(self, form):
        assert set(form["fields"]) == set(CONNECTION_FIELDS)
        assert form["fields"]["webhook_token"]["format"] == "password"
        assert form["fields"]["default_room_id"]["type"] == ["integer", "null"]
        for name, schema in form["fields"].items():
            assert schema["type"][1] == "null", f"Airflow insists on a value for {name}"

    @undrawn
    def test_hides_renames_and_explains_standard_fields(self, form):
        standard = form["standard"]
        for name in ("url_schema", "login", "port"):
            assert standard[name]["hidden"], name
        assert standard["password"]["title"] == "API token"
        assert standard["host"]["title"] == "API base URL"
        assert standard["host"]["placeholder"] == "https://api.chatwork.com/v2"


class TestConnectionFormWidgets:
    def test_are_fields_of_wtforms(self):
        wtforms = pytest.importorskip("wtforms", reason="only Airflow 2.11 comes with it")
        drawn = type("Form", (wtforms.Form,), connection_form_widgets())()
        assert {name: type(field).__name__ for name, field in drawn._fields.items()} == {
            "default_room_id": "IntegerField",
            "timeout": "StringField",
            "max_wait": "StringField",
            "proxy": "StringField",
            "timezone": "StringField",
            "lang": "StringField",
            "routing": "StringField",
            "webhook_token": "PasswordField",
            "web_url": "StringField",
        }
        for name, field in drawn._fields.items():
            assert str(field.label.text) == CONNECTION_FIELDS[name]["label"]
            assert field.description == CONNECTION_FIELDS[name]["description"]

    def test_may_be_empty_and_refuse_text_in_number_fields(self):
        wtforms = pytest.importorskip("wtforms", reason="only Airflow 2.11 comes with it")
        form_class = type("Form", (wtforms.Form,), connection_form_widgets())

        class Posted(dict[str, str]):
            def getlist(self, name: str) -> list[str]:
                return [self[name]] if name in self else []

        assert form_class(Posted({"default_room_id": "", "timeout": ""})).validate()
        wrong = form_class(Posted({"default_room_id": "general"}))
        assert not wrong.validate()
        assert list(wrong.errors) == ["default_room_id"]


class TestUiFieldBehaviour:
    def test_uses_the_keys_of_the_hook_method(self):
        assert ui_field_behaviour() == {
            "hidden_fields": ["schema", "login", "port"],
            "relabeling": {"password": "API token", "host": "API base URL"},
            "placeholders": {
                "password": "Chatwork: Service integration > API token",
                "host": "https://api.chatwork.com/v2",
            },
        }
