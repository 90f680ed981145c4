"""A trigger that ends soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class ShortWait(BaseTrigger):
    """Waits.

    :param seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes another one."""
        return "tests.system_tests.short_wait.ShortWait", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and say so."""
        await asyncio.sleep(self.seconds)
        yield TriggerEvent({"waited": self.seconds})
