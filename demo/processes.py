"""Start child processes and stop all of them at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

#: Seconds for everything to end after SIGINT, and then after SIGTERM.
_PATIENCE = (15.0, 5.0)


class Process:
    """A program in a session of its own: no Ctrl-C in the terminal reaches it, and its descendants can be found.

    :param name: what it is called in what the demo says; its output goes to ``{name}.log`` in ``folder``, behind that
        of an earlier one of that name.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=env,
                start_new_session=True,
                preexec_fn=_restore_sigint,
            )

    @property
    def status(self) -> int | None:
        """Its exit status, or ``None`` while it runs."""
        return self.popen.poll()

    def family(self) -> list[psutil.Process]:
        """Every process of its session that is alive."""
        found = []
        # A process that has ended keeps its number until its status is read.
        self.popen.poll()
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.popen.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue
        return found


def stop_all(processes: Sequence[Process], patience: tuple[float, float] = _PATIENCE) -> list[str]:
    """End processes and their descendants.

    :param patience: seconds to wait after SIGINT, and after SIGTERM.
    :return: the names of those that had to be killed.
    """
    for process in processes:
        if process.status is None:
            # Only to this process, which ends its children itself.
            process.popen.send_signal(signal.SIGINT)
    _wait_for_end(processes, patience[0])
    for process in processes:
        for member in process.family():
            _send(member, signal.SIGTERM)
    _wait_for_end(processes, patience[1])
    killed = []
    for process in processes:
        if kill(process):
            killed.append(process.name)
    return killed


def kill(process: Process) -> bool:
    """Kill a process and its descendants at once. Returns whether any was alive."""
    alive = False
    # Repeated, as one of them may just start another.
    while family := process.family():
        alive = True
        for member in family:
            _send(member, signal.SIGKILL)
        time.sleep(0.05)
    process.popen.wait()
    return alive


def _restore_sigint() -> None:
    # A job that a shell runs in the background ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for_end(processes: Sequence[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(process.status is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    while any(process.family() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.2)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
