"""Measure what importing the provider costs a DAG file each time it is parsed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, Verdict, table

OURS, SLACK, DISCORD, ALWAYS = "provider", "slack provider", "discord provider", "provider, every process"
MOST_MODULES = 40
MOST_OF_SLACK = 0.1
#: What the imports of a DAG file must not load: HTTP libraries, and what only the triggerer needs.
UNWANTED = ("requests", "aiohttp", "airflow_provider_chatwork.triggers", "airflow.triggers")

_REPETITIONS = 5
# The counterparts alone: Slack's webhook and transfer modules would add to its side.
_PEERS = {
    SLACK: ("hooks.slack", "operators.slack", "notifications.slack"),
    DISCORD: ("hooks.discord_webhook", "operators.discord_webhook", "notifications.discord"),
}


@dataclass(frozen=True)
class Import:
    """What importing a set of modules costs on top of ``airflow.sdk``.

    :param loaded: the modules it loads.
    :param wall: seconds by the clock, a figure for each repetition.
    :param cpu: seconds of CPU, likewise.
    """

    loaded: tuple[str, ...]
    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def unwanted(self) -> list[str]:
        """Which of :data:`UNWANTED` it loads."""
        return [name for name in UNWANTED if any(f"{one}.".startswith(f"{name}.") for one in self.loaded)]


def contenders() -> dict[str, list[str]]:
    """The modules of each side. Ours are those on disk, so that one that is added is measured too."""
    package = ROOT / "airflow_provider_chatwork"
    ours = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("operators", "sensors", "notifications")
        for path in sorted(Path(package, folder).glob("[!_]*.py"))
    ]
    peers = {
        side: [f"airflow.providers.{side.split()[0]}.{module}" for module in modules]
        for side, modules in _PEERS.items()
    }
    return {
        OURS: [*ours, "airflow_provider_chatwork.hooks.chatwork"],
        **peers,
        ALWAYS: ["airflow_provider_chatwork.plugin", "airflow_provider_chatwork.provider_info"],
    }


def measure(environment: Mapping[str, str]) -> dict[str, Import]:
    """Import each side in fresh processes, in turns."""
    sides = contenders()
    samples: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    # The first round only compiles what is not compiled yet.
    for _ in range(1 + _REPETITIONS):
        for side, modules in sides.items():
            samples[side].append(_import(modules, environment))
    return {
        side: Import(
            loaded=tuple(taken[-1]["loaded"]),
            wall=tuple(one["wall"] for one in taken[1:]),
            cpu=tuple(one["cpu"] for one in taken[1:]),
        )
        for side, taken in samples.items()
    }


def _import(modules: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.import_cost", *modules],
        cwd=ROOT,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    # Airflow may have something to say before.
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(measured: Mapping[str, Import]) -> tuple[str, list[Verdict]]:
    """The table, and which targets are met."""
    slack, ours = measured[SLACK], measured[OURS]
    rows = [
        (
            side,
            str(len(one.loaded)),
            f"{statistics.median(one.wall) * 1000:.1f}",
            f"{statistics.median(one.cpu) * 1000:.1f}",
            f"{_ratio(one.wall, slack.wall):.2f}",
            f"{_ratio(one.cpu, slack.cpu):.2f}",
            ", ".join(one.unwanted()) or "none of these",
        )
        for side, one in measured.items()
    ]
    share = max(_ratio(ours.wall, slack.wall), _ratio(ours.cpu, slack.cpu))
    verdicts = [
        Verdict(
            "loads no requests, no aiohttp, no triggers", not ours.unwanted(), ", ".join(ours.unwanted()) or "none"
        ),
        Verdict(f"at most {MOST_MODULES} modules", len(ours.loaded) <= MOST_MODULES, str(len(ours.loaded))),
        Verdict(f"at most {MOST_OF_SLACK} of slack's time, wall and CPU", share <= MOST_OF_SLACK, f"{share:.2f}"),
    ]
    header = ("imported", "modules", "ms", "CPU ms", "ms/slack", "CPU/slack", "requests, aiohttp, triggers")
    return table(header, rows), verdicts


def _ratio(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return statistics.median(one) / statistics.median(other)
