"""Saves the state of a served sandbox in a file, and completes due tasks."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from airflow_provider_chatwork.sandbox.sandbox import Sandbox

#: Seconds.
_INTERVAL = 1.0


class StateFile:
    """The state file of a sandbox.

    :param state_file: read at once if it exists, written after changes; ``None`` saves nothing.
    :raises ValueError: the file does not contain the state of a sandbox.
    """

    def __init__(self, sandbox: Sandbox, state_file: Path | None) -> None:
        self._sandbox = sandbox
        self._file = state_file
        if state_file is not None and state_file.exists():
            sandbox.restore(json.loads(state_file.read_text(encoding="utf-8")))
        self._saved_revision = -1

    async def run(self) -> None:
        """Complete due tasks and save the state once a second, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            self._sandbox.advance()
            self.save()

    def save(self) -> None:
        """Write the file if something changed. The file is replaced at once, so it is never incomplete."""
        revision = self._sandbox.store.revision
        if self._file is None or revision == self._saved_revision:
            return
        new_file = self._file.with_name(self._file.name + ".new")
        new_file.write_text(json.dumps(self._sandbox.snapshot(), ensure_ascii=False), encoding="utf-8")
        os.replace(new_file, self._file)
        self._saved_revision = revision
