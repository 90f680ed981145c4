"""Write the pin files anew: ``make pins``.

One file per Airflow minor version, resolved from ``pyproject.toml`` and from ``constraints/airflow-<version>.in``: an
Airflow, and what it turned out not to work with. The pins hold for every Python that this project supports, and nothing
of the machine that resolves them gets into them: no index, no local folder, no digest of a file that only one place
serves.
"""

from __future__ import annotations

import os
import subprocess

from environment import ROOT, uv

NEWEST = "3.3"
OLDER = ("2.11", "3.0", "3.1", "3.2")
COMMON = ("--universal", "--python-version", "3.11", "--upgrade", "--no-config")
PROJECT = ("pyproject.toml", "--extra=sandbox")
PLAIN = ("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet")


def write(target: str, title: str, *inputs: str) -> None:
    """Resolve the inputs into a pin file with a title as its first line.

    :raises SystemExit: they cannot be resolved.
    """
    tool = uv()
    if tool is None:
        raise SystemExit("the pin files are resolved with uv, which could not be installed")
    away = ("PIP_", "UV_FIND_LINKS", "UV_CONSTRAINT", "UV_OVERRIDE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    done = subprocess.run(
        [tool, "pip", "compile", *COMMON, *PLAIN, *inputs], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{target} could not be resolved")
    pins = done.stdout
    if "://" in pins or "file:" in pins or " @ " in pins:
        raise SystemExit(f"{target} would name a place that only this machine knows")
    (ROOT / target).write_text(f"# {title} Made by `make pins`.\n{pins}", "utf-8")
    print(f"{target}: {len(pins.splitlines())} packages", flush=True)


def main() -> None:
    """Write all of them."""
    write(
        "constraints.txt",
        f"What this project is tested with on Airflow {NEWEST}.",
        *PROJECT,
        f"constraints/airflow-{NEWEST}.in",
        "--group=dev",
    )
    write(
        "constraints/system-tests.txt",
        "What the system tests need besides, for an Airflow on PostgreSQL.",
        "constraints/system-tests.in",
    )
    for version in OLDER:
        write(
            f"constraints/airflow-{version}.txt",
            f"What this project is tested with on Airflow {version}.",
            *PROJECT,
            f"constraints/airflow-{version}.in",
            "--group=test",
        )
    write(
        "constraints/benchmarks.txt",
        f"Airflow {NEWEST} with the providers that this one is measured against.",
        *PROJECT,
        "--constraint=constraints.txt",
        "--group=benchmarks",
        "--group=test",
    )


if __name__ == "__main__":
    main()
