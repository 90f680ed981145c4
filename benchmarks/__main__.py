"""Run all benchmarks and print tables and targets. The exit status is 0 whether or not the targets are met."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import alerts, call_paths, imports, listener_latency, posting, waits
from benchmarks.report import Verdict
from demo.airflow import NotReady
from demo.time_limit import OutOfTime, Stopped

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
    print("Cost of the imports of a DAG file, besides airflow.sdk (medians):\n", flush=True)
    _show(*imports.report(imports.measure(environment)))
    print(
        "Cost of posting one message over TLS with a hook or session that is already connected (medians):\n", flush=True
    )
    _show(*posting.report(posting.measure(environment, folder)))
    print("Cost of the alert for one failed task, in the task's process in a real Airflow (medians):\n", flush=True)
    measured_alerts = alerts.measure(environment, folder / "alerts")
    _show(*alerts.report(measured_alerts))
    print(
        "Cost of the listener for failed runs in the scheduler's thread, while another alert is being sent:\n",
        flush=True,
    )
    _show(*listener_latency.report(listener_latency.measure(environment), measured_alerts.loops))
    print("Functions and files of the package that run, and moves between its files:\n", flush=True)
    _show(*call_paths.report(call_paths.measure()))
    print("Requests of 10,000 waits in 50 rooms, in simulated time (per interval):\n", flush=True)
    measured_waits = waits.measure(environment)
    _show(*waits.report_calls(measured_waits))
    print("Cost of 10,000 waits in a triggerer (the longest time in which its event loop is blocked):\n", flush=True)
    _show(*waits.report_turns(measured_waits))


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
