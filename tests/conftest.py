"""What holds for every test: an Airflow of its own, no internet, a database for those who ask for one."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

if "airflow" in sys.modules:
    raise RuntimeError(
        "Airflow was imported before its configuration for the tests was set: no pytest plugin may import it on load"
    )

_home = tempfile.TemporaryDirectory(prefix="airflow-home-", ignore_cleanup_errors=True)

for _name in [*os.environ]:
    # The machine's own Airflow, connections and proxies are none of the tests' business.
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

# The same cases in every run, and no limit on the time of one. To search on: pytest --hypothesis-profile=default
settings.load_profile("ci")


def pytest_unconfigure() -> None:
    """Remove the Airflow home of this run."""
    _home.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the newest Airflow on older ones."""
    version = metadata.version("apache-airflow")
    if tuple(int(part) for part in version.split(".")[:2]) >= (3, 3):
        return
    for item in items:
        if item.get_closest_marker("end_to_end"):
            item.add_marker(pytest.mark.skip(reason=f"needs Airflow 3.3, and this is {version}"))


class InternetAccess(BaseException):
    """A test reached for the internet. No ``Exception``, so that no error handling takes it for a failed request."""


_LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}
_refused: list[str] = []


def _is_local(host: Any, lookup: bool) -> bool:
    host = (host.decode() if isinstance(host, bytes) else host or "").lower()
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in _LOCAL_NAMES
    # To look a number up asks nobody.
    return lookup or number.is_loopback


def _refuse_the_internet(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        local = not isinstance(address, tuple) or _is_local(address[0], lookup=False)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0]
        local = _is_local(address, lookup=True)
    else:
        return
    if not local:
        _refused.append(f"{event} {address!r}")
        raise InternetAccess(_refused[-1])


# An audit hook sees every socket of the process, whoever opens it and in whatever thread or event loop.
sys.addaudithook(_refuse_the_internet)


@pytest.fixture(autouse=True)
def no_internet() -> Iterator[list[str]]:
    """Fail a test that connects to anything but this machine, even where what it ran swallowed the refusal.

    :return: what was refused so far. A test that means to be refused clears it.
    """
    _refused.clear()
    yield _refused
    assert not _refused, f"the test reached for the internet: {_refused}"


@pytest.fixture(scope="session")
def db() -> None:
    """An empty Airflow database, for tests that run DAGs."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def dag_bag(db: None) -> Any:
    """Airflow's ``DagBag`` of the example DAGs, whose DAGs can be run with ``dag_bag.dags[dag_id].test()``."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.2 and later
    except ImportError:
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef,attr-defined,unused-ignore]
    return DagBag()
