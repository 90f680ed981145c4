"""Start the server as a process and read what it reports."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.certificates import Certificates
from benchmarks.report import ROOT
from benchmarks.server import SEEN


@dataclass(frozen=True)
class Running:
    """A server that runs.

    :param origin: where: ``https://127.0.0.1:PORT``.
    """

    origin: str
    certificates: Certificates

    def seen(self) -> dict[str, dict[str, int]]:
        """What :meth:`benchmarks.server.Server.seen` says by now."""
        trust = ssl.create_default_context(cafile=str(self.certificates.authority))
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with direct.open(self.origin + SEEN, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextlib.contextmanager
def server(certificates: Certificates) -> Iterator[Running]:
    """Run a server in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(certificates.server)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(process.stdout.readline().strip(), certificates)
        finally:
            process.stdin.close()
