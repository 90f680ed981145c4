"""``python -m tests.system_tests``: tests in a real Airflow.

``record`` writes down what every kind of callback gets. ``alerts`` runs every kind of callback against the sandbox and
compares the rooms with what is expected. ``storm`` lets 100 tasks of one run fail at once. ``load`` runs hundreds of
waits at a time, and ends some as a user does. ``restart`` kills the triggerer and starts it again. ``failover`` kills
one of two triggerers. The exit status is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demo.airflow import NotReady
from demo.output import say
from demo.processes import Process
from demo.time_limit import OutOfTime, Stopped, Watch
from tests.system_tests import record_contexts
from tests.system_tests.alerts import run as alerts
from tests.system_tests.cluster import stop
from tests.system_tests.database import Kind
from tests.system_tests.storm import run as storm
from tests.system_tests.waits import run as waits

_STORM = 100
_WAITS = 500
_WAIT_PARTS = ("load", "restart", "failover")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    arguments = _parser().parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="chatwork-system-test-"))
    processes: list[Process] = []
    status = 1
    with Watch(arguments.limit) as watch:
        try:
            status = 0 if _perform(arguments, folder, processes, watch) else 1
            if arguments.ui:
                say("\nAll of it stays up until Ctrl-C.")
                watch.limit = float("inf")
                while True:
                    watch.pause(3600)
        except Stopped as stopped:
            status = status if arguments.ui else stopped.status
        except (OutOfTime, NotReady) as error:
            say(f"FAILED after {watch.seconds:.0f} s: {error}")
        finally:
            watch.ignores_signals = True
            stop(processes)
            if status or arguments.keep:
                say(f"The logs are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    say(f"It took {watch.seconds:.0f} s.")
    return status


def _perform(arguments: argparse.Namespace, folder: Path, processes: list[Process], watch: Watch) -> bool:
    # Not resolved: the interpreter of an environment is a link to one outside it.
    python = arguments.python.absolute()
    if arguments.what == "record":
        record_contexts.record(python, folder, processes, watch)
        return True
    database = Kind.SQLITE if arguments.sqlite else Kind.POSTGRESQL
    if arguments.what == "storm":
        tasks = _STORM if arguments.tasks is None else arguments.tasks
        return storm.storm(python, folder, processes, watch, tasks, arguments.parallelism, database)
    if arguments.what in _WAIT_PARTS:
        tasks = _WAITS if arguments.tasks is None else arguments.tasks
        return waits.waits(python, folder, processes, watch, arguments.what, tasks, arguments.by_worker, database)
    return alerts.run(python, folder, processes, watch, database, accept=arguments.accept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system_tests", description=__doc__)
    parser.add_argument("what", choices=["record", "alerts", "storm", *_WAIT_PARTS])
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment of that Airflow")
    parser.add_argument("--limit", type=float, default=1200, metavar="SECONDS", help="give up after so long")
    parser.add_argument("--sqlite", action="store_true", help="without PostgreSQL, also where there is one")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all the logs")
    parser.add_argument("--ui", action="store_true", help="leave Airflow and the sandbox running, for the browser")
    parser.add_argument("--accept", action="store_true", help="take the texts of the alerts for the expected ones")
    many = f"how many fail in the storm (default: {_STORM}), or wait without a worker (default: {_WAITS})"
    parser.add_argument("--tasks", type=int, help=many)
    parser.add_argument("--by-worker", type=int, default=20, help="how many wait by way of workers (default: 20)")
    parser.add_argument("--parallelism", type=int, default=16, help="how many of them at a time (default: 16)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
