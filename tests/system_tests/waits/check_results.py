"""What was expected and whether it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from demo.output import say

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Finding:
    """One expectation.

    :param found: what there was, in words.
    :param problem: what is wrong; empty if nothing is.
    """

    scenario: str
    expected: str
    found: str = ""
    problem: str = ""


def each(
    scenario: str, expected: str, things: Mapping[K, V], is_right: Callable[[K, V], bool], count: int | None = None
) -> Finding:
    """An expectation of each of several things.

    :param count: how many there have to be; more than none if not given.
    """
    wrong = {name: thing for name, thing in things.items() if not is_right(name, thing)}
    problem = ""
    if wrong:
        shown = ", ".join(f"{name}: {thing}" for name, thing in [*wrong.items()][:3])
        problem = f"{len(wrong)} of {len(things)} are not so: {shown}"
    elif count is not None and len(things) != count:
        problem = f"{len(things)}, expected {count}"
    elif not things:
        problem = "there is none"
    return Finding(scenario, expected, f"{len(things) - len(wrong)} of {count or len(things)}", problem)


def show(findings: Iterable[Finding]) -> bool:
    """Print the table; returns whether all is right."""
    all_right = True
    say(f"\n{'':6} {'where':20} {'expected':65} found")
    for finding in findings:
        all_right = all_right and not finding.problem
        status = "FAILED" if finding.problem else "ok"
        say(f"{status:6} {finding.scenario:20} {finding.expected:65} {finding.found}")
        if finding.problem:
            say(f"{'':7}{finding.problem}"[:400])
    return all_right
