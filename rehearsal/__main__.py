"""``python -m rehearsal record``: a real Airflow in which every kind of callback happens."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demo.airflow import NotReady
from demo.processes import Process, stop_all
from demo.show import say
from demo.watch import OutOfTime, Stopped, Watch
from rehearsal.record import record


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    parser.add_argument("what", choices=["record"])
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment of that Airflow")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="give up after so long")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all the logs")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="chatwork-rehearsal-"))
    processes: list[Process] = []
    status = 1
    with Watch(arguments.limit) as watch:
        try:
            # Not resolved: the interpreter of an environment is a link to one outside it.
            record(arguments.python.absolute(), folder, processes, watch)
            status = 0
        except Stopped as stopped:
            status = stopped.status
        except (OutOfTime, NotReady) as error:
            say(f"FAILED after {watch.seconds:.0f} s: {error}")
        finally:
            watch.deaf = True
            stop_all(processes)
            if status or arguments.keep:
                say(f"The logs are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
