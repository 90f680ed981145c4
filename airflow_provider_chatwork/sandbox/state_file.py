"""Keeps a sandbox going while it is served: people act in time, and the state reaches its file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from airflow_provider_chatwork.sandbox.sandbox import Sandbox

_EVERY = 1.0


class StateFile:
    """Looks after a sandbox once a second.

    :param state_file: read now if it is there; written when something changed. ``None`` keeps nothing.
    :raises ValueError: the file holds something else than a sandbox's state.
    """

    def __init__(self, sandbox: Sandbox, state_file: Path | None) -> None:
        self._sandbox = sandbox
        self._file = state_file
        if state_file is not None and state_file.exists():
            sandbox.restore(json.loads(state_file.read_text(encoding="utf-8")))
        self._saved = -1

    async def run(self) -> None:
        """Look after it until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            self._sandbox.advance()
            self.save()

    def save(self) -> None:
        """Write the file if something changed, in one step, so that it is never half there."""
        revision = self._sandbox.store.revision
        if self._file is None or revision == self._saved:
            return
        beside = self._file.with_name(self._file.name + ".new")
        beside.write_text(json.dumps(self._sandbox.snapshot(), ensure_ascii=False), encoding="utf-8")
        os.replace(beside, self._file)
        self._saved = revision
