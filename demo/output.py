"""The lines that the demo prints."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.checks import Evidence, Finding


def say(text: str) -> None:
    """Print a line in any encoding, also to a pipe that is closed."""
    try:
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        # The processes still have to be ended.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def show_transcript(evidence: Evidence) -> None:
    """Print the messages of the room."""
    say(f"\n--- the room {evidence.room_name}")
    for message in evidence.messages:
        edited = " (edited)" if message["update_time"] else ""
        when = datetime.fromtimestamp(message["send_time"]).strftime("%H:%M:%S")
        say(f"{when} {evidence.names[message['account_id']]}{edited}")
        for line in message["body"].splitlines():
            say(f"         {line}")


def show_tasks(evidence: Evidence) -> None:
    """Print the end state and all states of each task instance."""
    say("\n--- the tasks")
    for (dag_id, task_id), states in evidence.passed.items():
        seconds = evidence.seconds[dag_id, task_id]
        say(f"{dag_id:24} {task_id:12} {states[-1]:8} {seconds:5.1f} s   {' > '.join(states)}")


def show_checks(findings: list[Finding]) -> None:
    """Print each expectation, and whether it is met."""
    say("\n--- the checks")
    for finding in findings:
        say(f"{'FAILED' if finding.problem else 'ok':6}  {finding.expectation}")
        if finding.problem:
            say(f"        {finding.problem}\n        look at {finding.where}")
