from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.sandbox import Sandbox
from tests.operations import CASES, MODULES, REPORT, Case, bots_message, open_task, sales_file

# In the order of the API reference. https://developer.chatwork.com/reference
OPERATIONS = tuple(
    """
    get_me get_my_status get_my_tasks list_contacts list_rooms create_room get_room update_room delete_room list_members
    update_members list_messages post_message mark_messages_read mark_messages_unread get_message edit_message
    delete_message list_tasks create_task get_task set_task_status list_files upload_file get_file get_invite_link
    create_invite_link update_invite_link delete_invite_link list_incoming_requests accept_incoming_request
    reject_incoming_request
    """.split()  # noqa: SIM905
)
API = Path(api.__file__).parent
_CALL = re.compile(r"Call\[")


def builders() -> list[str]:
    """The public functions of the operations' modules that return a call."""
    return [
        name
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and _CALL.match(str(function.__annotations__.get("return")))
    ]


class TestEveryOperation:
    def test_there_are_32(self):
        assert len(set(OPERATIONS)) == 32

    def test_is_built_by_exactly_one_function(self):
        assert Counter(builders()) == Counter(OPERATIONS)

    def test_is_in_the_table_of_the_tests(self):
        assert tuple(case.operation for case in CASES if not case.variant) == OPERATIONS

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_is_a_method_of_the_hook_with_its_own_description(self, operation):
        (build,) = (getattr(module, operation) for module in MODULES if hasattr(module, operation))
        assert getattr(ChatworkHook, operation) is build
        assert vars(ChatworkHook)[operation].__doc__ == build.__doc__
        assert build.__doc__

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_sends_what_the_api_reference_describes(self, case: Case):
        sandbox = Sandbox()
        call = case.call(sandbox)
        ids = {
            "message_id": bots_message(sandbox),
            "task_id": str(open_task(sandbox)),
            "file_id": str(sales_file(sandbox)),
        }
        form = case.form and {name: value.format(**ids) for name, value in case.form.items()}
        request = call.request
        assert call.operation == case.operation
        assert (request.method, request.path) == (case.method, case.path.format(**ids))
        assert dict(request.query) == case.query
        assert (request.form is None) == (case.form is None)
        assert dict(request.form or {}) == (form or {})
        assert request.upload == (REPORT if case.operation == "upload_file" else None)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_states_what_to_do_without_an_answer(self, case: Case):
        call = case.call(Sandbox())
        assert call.repeatable == (case.kind in ("read", "replace", "settle"))
        assert (call.find_executed is not None) == (case.kind in ("create", "accept"))
        assert call.confirm_already_done is None or case.kind in ("settle", "replace")
        assert (call.confirm_already_done is not None) >= (case.kind == "settle")

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_is_an_unchangeable_value(self, case: Case):
        call = case.call(Sandbox())
        with pytest.raises(AttributeError):
            call.operation = "other"
        with pytest.raises(AttributeError):
            call.request.path = "/other"


class TestApi:
    def test_names_every_path_in_one_place_only(self):
        found = Counter(
            re.sub(r"\{.*?\}", "", text)
            for module in MODULES
            for text in _texts(Path(module.__file__))
            if re.match(r"/(me|my|contacts|rooms|incoming_requests)\b", text)
        )
        own = ("messages", "tasks", "files")
        named = ("/me", "/my/status", "/my/tasks", "/contacts", "/rooms", "/incoming_requests")
        assert found == Counter([*named, *(f"/rooms//{name}" for name in own)])
        beside = [
            path
            for path in API.parent.rglob("*.py")
            if "sandbox" not in path.relative_to(API.parent).parts and path.parent != API
        ]
        assert len(beside) > 10
        assert not [path for path in beside if re.search(r"[\"'/]rooms/", path.read_text())]

    def test_does_nothing_when_a_call_is_built(self):
        assert all(isinstance(case.call(Sandbox()), Call) for case in CASES)


@pytest.mark.parametrize("package", ["api", "waiting/approvals", "waiting/reminders", "waiting/tasks"])
class TestPurePackage:
    def test_loads_no_airflow_and_no_http_library(self, package):
        folder = API.parent / package
        script = (
            "import importlib, pkgutil, sys\n"
            f"package = importlib.import_module({f'airflow_provider_chatwork.{package}'.replace('/', '.')!r})\n"
            "names = [module.name for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.')]\n"
            "[__import__(name) for name in names]\n"
            "print(len(names), *sorted({name.partition('.')[0] for name in sys.modules}"
            " & {'airflow', 'requests', 'httpx', 'urllib3', 'tenacity', 'aiohttp', 'starlette'}))"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=API.parent.parent, capture_output=True, text=True)
        assert done.stdout.split() == [str(len(list(folder.glob("*.py"))) - 1)], done.stderr

    def test_reads_no_clock_no_environment_and_no_file(self, package):
        paths = [*(API.parent / package).glob("*.py")]
        assert len(paths) > 3
        for path in paths:
            names = {
                *(alias.name for node in _nodes(path, ast.Import) for alias in node.names),
                *(str(node.module) for node in _nodes(path, ast.ImportFrom)),
            }
            assert not names & {"time", "os", "io", "pathlib", "socket", "asyncio", "logging"}, path.name


def _nodes(path: Path, kind: type) -> list:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind)]


def _texts(path: Path) -> list[str]:
    """The string literals of a module without docstrings; the fields of an f-string are ``{}``."""
    tree = ast.parse(path.read_text())
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            found.append(node.value)
    return found
