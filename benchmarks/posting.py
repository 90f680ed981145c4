"""Measure what posting a message costs, next to a bare ``requests`` call and to Slack's hook, over TLS."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.certificates import make_certificates
from benchmarks.post_rounds import BARE, OURS, Samples, connections
from benchmarks.report import ROOT, Verdict, ratio, table
from benchmarks.server_process import server

MOST_OF_BARE = 1.0

_ROUNDS = 40


@dataclass(frozen=True)
class Posted:
    """One way to post: what was measured, and what the server saw of it.

    :param requests: how many requests reached the server.
    :param different: how many of them were not the same as another one.
    :param connections: how many TCP connections they came on.
    """

    samples: Samples
    requests: int
    different: int
    connections: int

    @property
    def once(self) -> bool:
        """Whether everything that was sent came, and came once."""
        return self.samples.sent == self.requests == self.different


def measure(environment: Mapping[str, str], folder: Path) -> dict[str, Posted]:
    """Serve, post in turns from a process of its own, and count on the server's side.

    :param folder: where the certificates are written.
    """
    certificates = make_certificates(folder)
    with server(certificates) as running:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.post_rounds", running.origin, str(_ROUNDS)],
            cwd=ROOT,
            env={
                **environment,
                **{
                    f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)
                    for conn_id, connection in connections(running.origin).items()
                },
                # The first is what requests asks for, the second what OpenSSL does, and with it slack_sdk.
                "REQUESTS_CA_BUNDLE": str(certificates.authority),
                "SSL_CERT_FILE": str(certificates.authority),
            },
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        seen = running.seen()
    measured = {side: Samples(**samples) for side, samples in json.loads(done.stdout.splitlines()[-1]).items()}
    return {side: Posted(samples, **seen[samples.path]) for side, samples in measured.items()}


def report(measured: Mapping[str, Posted]) -> tuple[str, list[Verdict]]:
    """The table, and which targets are met."""
    bare, ours = measured[BARE].samples, measured[OURS].samples
    rows = [
        (
            side,
            f"{statistics.median(one.samples.cpu) * 1e6:.0f}",
            f"{statistics.median(one.samples.wall) * 1e6:.0f}",
            f"{ratio(one.samples.cpu, bare.cpu):.2f}",
            f"{ratio(one.samples.wall, bare.wall):.2f}",
            *(str(number) for number in (one.samples.sent, one.requests, one.different, one.connections)),
        )
        for side, one in measured.items()
    ]
    cpu, wall = ratio(ours.cpu, bare.cpu), ratio(ours.wall, bare.wall)
    once = all(one.once for one in measured.values())
    verdicts = [
        Verdict(f"at most {MOST_OF_BARE} times the CPU time of the bare call", cpu <= MOST_OF_BARE, f"{cpu:.2f}"),
        Verdict(f"at most {MOST_OF_BARE} times its wall time", wall <= MOST_OF_BARE, f"{wall:.2f}"),
        Verdict("every message reached the server exactly once", once, "yes" if once else "no"),
        Verdict("one connection for all of them", measured[OURS].connections == 1, str(measured[OURS].connections)),
    ]
    header = ("posted by", "CPU us", "us", "CPU/bare", "us/bare", "sent", "seen", "different", "connections")
    return table(header, rows), verdicts
