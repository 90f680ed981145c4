"""Measures, and prints tables and what they say of the targets. Ends well whatever they say: a figure is not a test."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import alerting, imports, listening, posting, waiting
from benchmarks.report import Verdict
from demo.airflow import NotReady
from demo.watch import OutOfTime, Stopped

_PACKAGES = (
    *("apache-airflow", "apache-airflow-providers-slack", "apache-airflow-providers-discord"),
    *("slack-sdk", "requests", "urllib3"),
)


def main() -> None:
    """Run all benchmarks."""
    started = time.monotonic()
    try:
        versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed: run `make bench`, which sees to it") from None
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"Python {platform.python_version()}, {processors} processors ({platform.machine()}){load}")
    print(f"{versions}\n")
    folder = Path(tempfile.mkdtemp(prefix="chatwork-benchmark-"))
    try:
        _measure(folder)
    except (NotReady, OutOfTime) as error:
        raise SystemExit(f"{error}\nThe logs are kept in {folder}") from None
    except Stopped as stopped:
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemExit(stopped.status) from None
    shutil.rmtree(folder, ignore_errors=True)
    print(f"Took {time.monotonic() - started:.0f} s.")


def _measure(folder: Path) -> None:
    environment = _environment(folder)
    print("Importing what DAG files import, on top of airflow.sdk (medians):\n", flush=True)
    _show(*imports.report(imports.measure(environment)))
    print("Posting a message with a warm hook or session, over TLS (medians, for one message):\n", flush=True)
    _show(*posting.report(posting.measure(environment, folder)))
    print("Telling of a failed task, in its own process in a real Airflow (medians, for one failure):\n", flush=True)
    alerts = alerting.measure(environment, folder / "alerting")
    _show(*alerting.report(alerts))
    print("Hearing of a failed run in the scheduler's thread, while another one is being told:\n", flush=True)
    _show(*listening.report(listening.measure(environment), alerts.loops))
    print("Waiting for people, 10,000 times in 50 rooms, on simulated time (requests of an interval):\n", flush=True)
    waits = waiting.measure(environment)
    _show(*waiting.report_calls(waits))
    print("What 10,000 waits take of a triggerer (the longest turn of its event loop):\n", flush=True)
    _show(*waiting.report_turns(waits))


def _environment(folder: Path) -> dict[str, str]:
    """The environment of the measured processes, in which nothing of the machine's own settings has a say."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW")
        and not name.lower().endswith("_proxy")
        and name not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")
        # All sides are imported from bytecode, as they are in an installation.
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **environment,
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _show(table: str, verdicts: list[Verdict]) -> None:
    print(table, *verdicts, sep="\n", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
