from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest
from packaging.utils import canonicalize_name

import airflow_provider_chatwork
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.provider_info import (
    CONNECTION_FIELDS,
    CONNECTION_TYPE,
    FIELD_BEHAVIOUR,
    HOOK_NAME,
    get_provider_info,
)

PACKAGE = Path(airflow_provider_chatwork.__file__).parent
INFO = get_provider_info()

CLASSES = [
    *(connection["hook-class-name"] for connection in INFO["connection-types"]),
    *INFO["notifications"],
    *INFO["extra-links"],
]


def listed(kind):
    return [module for entry in INFO[kind] for module in entry["python-modules"]]


def on_disk(kind):
    return [
        f"{PACKAGE.name}.{kind}.{path.stem}"
        for path in (PACKAGE / kind).glob("*.py")
        if path.stem != "__init__" and not path.stem.startswith("_")
    ]


class TestGetProviderInfo:
    def test_satisfies_the_schema_of_the_running_airflow(self):
        import airflow

        schema = Path(airflow.__path__[0], "provider_info.schema.json")
        jsonschema.validate(INFO, json.loads(schema.read_text("utf-8")))

    def test_names_the_distribution_in_its_canonical_spelling(self):
        # With another spelling Airflow stops discovering providers.
        assert INFO["package-name"] == canonicalize_name(PACKAGE.name) == "airflow-provider-chatwork"

    @pytest.mark.parametrize("path", CLASSES)
    def test_names_only_classes_that_exist(self, path):
        module, _, name = path.rpartition(".")
        assert isinstance(getattr(import_module(module), name), type)

    @pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
    def test_lists_every_module_there_is(self, kind):
        assert sorted(listed(kind)) == sorted(on_disk(kind))

    def test_lists_a_notifier_of_every_notification_module(self):
        assert sorted(path.rpartition(".")[0] for path in INFO["notifications"]) == sorted(on_disk("notifications"))

    @pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
    def test_names_only_declared_integrations(self, kind):
        declared = {integration["integration-name"] for integration in INFO["integrations"]}
        assert {entry["integration-name"] for entry in INFO[kind]} == declared

    def test_returns_copies(self):
        get_provider_info()["connection-types"][0]["conn-fields"].clear()
        assert get_provider_info() == INFO
        assert CONNECTION_FIELDS

    def test_loads_neither_airflow_nor_an_http_library(self):
        seen = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, airflow_provider_chatwork.provider_info as p; p.get_provider_info(); print(*sys.modules)",
            ],
            cwd=PACKAGE.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {name.partition(".")[0] for name in seen.stdout.split()}
        assert "airflow_provider_chatwork" in loaded
        assert not loaded & {"airflow", "httpx", "requests", "tenacity"}


class TestConnectionForm:
    def test_has_a_field_for_every_setting(self):
        settings = {field.name for field in dataclasses.fields(Settings)}
        assert set(CONNECTION_FIELDS) | {"token", "base_url"} == settings

    def test_belongs_to_the_hook(self):
        from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

        assert ChatworkHook.conn_type == CONNECTION_TYPE
        assert ChatworkHook.hook_name == HOOK_NAME

    def test_changes_only_fields_that_a_connection_has(self):
        standard = {"description", "host", "login", "password", "port", "schema", "extra"}
        assert set(FIELD_BEHAVIOUR) == {"hidden-fields", "relabeling", "placeholders"}
        assert set().union(*FIELD_BEHAVIOUR.values()) <= standard
        assert FIELD_BEHAVIOUR["placeholders"]["host"] == Settings(token="t").base_url

    @pytest.mark.parametrize("name", CONNECTION_FIELDS)
    def test_accepts_an_empty_field(self, name):
        real, empty = CONNECTION_FIELDS[name]["schema"]["type"]
        assert real in ("integer", "number", "string")
        assert empty == "null"

    @pytest.mark.parametrize("name", CONNECTION_FIELDS)
    def test_stores_no_default(self, name):
        assert "default" not in CONNECTION_FIELDS[name]["schema"]

    @pytest.mark.parametrize("name", CONNECTION_FIELDS)
    def test_explains_every_field(self, name):
        field = CONNECTION_FIELDS[name]
        assert set(field) == {"label", "description", "schema"}
        assert field["description"].endswith(".")

    @pytest.mark.parametrize("name", CONNECTION_FIELDS)
    def test_states_the_real_default(self, name):
        default = getattr(Settings(token="t"), name)
        said = re.search(r"Empty: ([\w./:-]+?)[.,]?(?:\s|$)", CONNECTION_FIELDS[name]["description"])
        if default is None:
            assert said is None or said[1] == "the"
        else:
            assert said is not None
            assert said[1] == (f"{default:g}" if isinstance(default, float) else default)

    def test_masks_the_webhook_token(self):
        secret = [name for name, field in CONNECTION_FIELDS.items() if field["schema"].get("format") == "password"]
        assert secret == ["webhook_token"]

    @pytest.mark.end_to_end
    def test_is_the_form_that_airflow_builds(self):
        from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

        (drawn,) = (meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == CONNECTION_TYPE)
        assert drawn.hook_name == HOOK_NAME
        assert set(drawn.extra_fields) == set(CONNECTION_FIELDS)
        assert drawn.extra_fields["webhook_token"]["schema"]["format"] == "password"
        assert drawn.standard_fields.password.title == "API token"
        assert drawn.standard_fields.login.hidden
