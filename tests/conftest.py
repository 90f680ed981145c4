"""Settings and fixtures of all tests: a temporary Airflow home, no internet, a database on request."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox

ROOT = Path(__file__).resolve().parent.parent

if "airflow" in sys.modules:
    raise RuntimeError(
        "Airflow was imported before its configuration for the tests was set: no pytest plugin may import it on load"
    )

_home = tempfile.TemporaryDirectory(prefix="airflow-home-", ignore_cleanup_errors=True)

for _name in [*os.environ]:
    # Airflow settings, connections and proxies of this machine must not affect the tests.
    if _name.startswith("AIRFLOW") or _name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        del os.environ[_name]

os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(_home.name, "plugins")),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home.name}/unit.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

if "PYTEST_XDIST_WORKER" in os.environ:
    # `make coverage` measures the workers. What the tests start is not measured: some of it counts the loaded modules.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

# The same cases in every run, without a deadline. New cases: pytest --hypothesis-profile=default
settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """Exclude what is loaded so far, above all Airflow, from garbage collection, which took a quarter of the run."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Remove the Airflow home of this run."""
    _home.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need the newest Airflow on older versions."""
    version = metadata.version("apache-airflow")
    if tuple(int(part) for part in version.split(".")[:2]) >= (3, 3):
        return
    for item in items:
        if item.get_closest_marker("end_to_end"):
            item.add_marker(pytest.mark.skip(reason=f"needs Airflow 3.3, and this is {version}"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, because some tests wait for sockets and child processes."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run all files that run DAGs in the same process: the first run takes 10 s in each.

    With more than three processes, this one would end last.
    """
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile" or len(config.getoption("tx")) > 3:
        return None
    runs = re.compile(r"\b(run_dag|dag_bag)\b")
    files = {file for file in ROOT.glob("tests/**/test_*.py") if runs.search(file.read_text("utf-8"))}

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "DAG runs" if ROOT / file in files else file

    return Scheduling(config, log)


class InternetAccess(BaseException):
    """A test tried to connect to the internet. Not an ``Exception``, so that no code treats it as a failed request."""


_LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}
_blocked: list[str] = []


def _is_local(host: Any, lookup: bool) -> bool:
    host = (host.decode() if isinstance(host, bytes) else host or "").lower()
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in _LOCAL_NAMES
    # The lookup of an IP address needs no network.
    return lookup or number.is_loopback


def _block_internet(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        local = not isinstance(address, tuple) or _is_local(address[0], lookup=False)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0]
        local = _is_local(address, lookup=True)
    else:
        return
    if not local:
        _blocked.append(f"{event} {address!r}")
        raise InternetAccess(_blocked[-1])


# An audit hook sees every socket of the process, in all threads and event loops.
sys.addaudithook(_block_internet)


@pytest.fixture(autouse=True)
def no_internet() -> Iterator[list[str]]:
    """Fail a test that connects to another machine, even if its code ignored the error.

    :return: the blocked connections. A test that expects one clears the list.
    """
    _blocked.clear()
    yield _blocked
    assert not _blocked, f"the test tried to connect to the internet: {_blocked}"


@pytest.fixture(scope="session", autouse=True)
def no_unclosed_resources() -> Iterator[None]:
    """Let the last test fail for what is still open. The processes of pytest-xdist hide it later."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[ServedSandbox]:
    """A sandbox behind a port, for all tests of the process. To stop one takes a fifth of a second."""
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox, serve

    sandbox = ServedSandbox()
    with serve(sandbox) as sandbox.address:
        yield sandbox


@pytest.fixture
def chatwork_sandbox(sandbox_server: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> ServedSandbox:
    """The fixture of the provider's pytest plugin, on the server that all tests share."""
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox

    # The state of a new sandbox, also of what reset() keeps: tokens, watchers, clock, limits.
    vars(sandbox_server).update({**vars(ServedSandbox()), "address": sandbox_server.address})
    uri = sandbox_server.address.connection_uri(sandbox_server.token)
    monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", uri)
    return sandbox_server


@pytest.fixture
def sandbox(chatwork_sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> ServedSandbox:
    """The same with a connection that never waits for a rate limit and has no default room."""
    from tests.airflow_helpers import connect

    connect(monkeypatch, chatwork_sandbox)
    return chatwork_sandbox


@pytest.fixture(scope="session")
def db() -> None:
    """An empty Airflow database, for tests that run DAGs."""
    from airflow.utils.db import initdb
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    # The database is deleted after the run. Waiting for the disk at every commit took a third of their time.
    @event.listens_for(Engine, "connect")
    def do_not_wait_for_the_disk(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()

    initdb()


@pytest.fixture(scope="session")
def dag_bag(db: None) -> Any:
    """Airflow's ``DagBag`` of the example DAGs; run one with ``dag_bag.dags[dag_id].test()``."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.2 and later
    except ImportError:
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef,attr-defined,unused-ignore]
    return DagBag()
