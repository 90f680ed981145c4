"""``python -m demo``: run the demo and check its results."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

from demo import checks, scenario
from demo.airflow import AirflowServer, NotReady, check_environment
from demo.output import say, show_checks, show_tasks, show_transcript
from demo.processes import Process, stop_all
from demo.sandbox import SandboxServer
from demo.time_limit import OutOfTime, Stopped, Watch


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status: 0 only if everything was as expected."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep Airflow and the sandbox running, for the browser")
    parser.add_argument(
        "--limit", type=float, default=300, metavar="SECONDS", help="give up after so long (default: 300)"
    )
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="chatwork-demo-"))
    processes: list[Process] = []
    status = 1
    with Watch(arguments.limit) as watch:
        try:
            status = _perform(folder, processes, watch, ui=arguments.ui)
        except Stopped as stopped:
            say(f"\nStopped by {stopped.name}.")
            status = stopped.status
        except (OutOfTime, NotReady, httpx.HTTPError) as error:
            say(f"\nFAILED after {watch.seconds:.0f} s: {str(error) or type(error).__name__}")
        finally:
            watch.ignores_signals = True
            say("Ending all processes.")
            if killed := stop_all(processes):
                say(f"These did not end by themselves and were killed: {', '.join(killed)}")
            if status == 1:
                say(f"The logs are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    say(f"Nothing is left running. It took {watch.seconds:.0f} s.")
    return status


def _perform(folder: Path, processes: list[Process], watch: Watch, *, ui: bool) -> int:
    say("Two example DAGs, on an Airflow of their own with SQLite, against a Chatwork in memory.\n")
    check_environment()
    sandbox = SandboxServer(folder, processes)
    airflow = AirflowServer(folder, processes)
    try:
        evidence = scenario.run(airflow, sandbox, watch)
    finally:
        airflow.show_ended_processes()
    show_transcript(evidence)
    show_tasks(evidence)
    findings = checks.check(evidence)
    show_checks(findings)
    failed = any(finding.problem for finding in findings)
    if ui:
        say(f"\nAirflow  {airflow.address}   (no login)\nSandbox  {sandbox.address}\n")
        say(f"Trigger {checks.MAIN} in Airflow, complete its tasks on the sandbox's page, and watch it continue.")
        say("Press Ctrl-C to end.")
        return _wait_for_the_end(watch)
    say("" if failed else "\nEverything was as expected.")
    return int(failed)


def _wait_for_the_end(watch: Watch) -> int:
    watch.limit = float("inf")
    try:
        while True:
            watch.pause(3600)
    except Stopped:
        say("\nEnding.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
