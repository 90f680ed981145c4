"""Prove that what would be published works: ``make build-check``, after ``make build``.

Looks into the wheel, installs it into an environment that holds nothing else, and asks Airflow there about it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from environment import ROOT, VENVS, executable, run, uv

PACKAGE = "airflow_provider_chatwork"
NAME = "airflow-provider-chatwork"


def only(pattern: str) -> Path:
    """Find the one file in ``dist/`` that the pattern fits.

    :raises SystemExit: there is none, or more than one.
    """
    found = [*(ROOT / "dist").glob(pattern)]
    if len(found) != 1:
        raise SystemExit(f"dist/{pattern} fits {len(found)} files instead of one: run `make build`")
    return found[0]


def look_into(wheel: Path) -> None:
    """Compare the files of the wheel with those of the package.

    :raises SystemExit: one is missing, or there is one that nobody should get.
    """
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", PACKAGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split()
    expected = {name for name in tracked if (ROOT / name).exists()}
    needed = {f"{PACKAGE}/py.typed", f"{PACKAGE}/provider_info.py"}
    if missing := sorted((expected | needed) - inside):
        raise SystemExit(f"{wheel.name} lacks {missing}")
    if not any(name.startswith(f"{PACKAGE}/sandbox/page/") for name in inside):
        raise SystemExit(f"{wheel.name} lacks the page of the sandbox")
    if extra := sorted(name for name in inside if not name.startswith(f"{PACKAGE}/")):
        raise SystemExit(f"{wheel.name} would install more than the package: {extra}")
    print(f"{wheel.name}: {len(inside)} files, all of the package and nothing else")


def install(wheel: Path) -> Path:
    """Install the wheel with its extra into a new environment, from its own metadata and the published constraints.

    :return: the folder of the environment.
    """
    folder = VENVS / "build-check"
    shutil.rmtree(folder, ignore_errors=True)
    wanted = [f"{NAME}[sandbox] @ {wheel.as_uri()}", "--constraint", "constraints.txt"]
    if tool := uv():
        run(tool, "venv", "--quiet", "--python", sys.executable, folder)
        python = executable(folder, "python")
        run(tool, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", *wanted)
        run(tool, "pip", "check", "--quiet", "--python", python)
    else:
        run(sys.executable, "-m", "venv", folder)
        python = executable(folder, "python")
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)
        run(python, "-m", "pip", "check")
    return folder


def ask_airflow(folder: Path) -> None:
    """Have Airflow list its providers, and load what the provider announces.

    :raises SystemExit: Airflow does not see the provider, or complains.
    """
    loads = (
        "from importlib.metadata import entry_points\n"
        "for group in ('apache_airflow_provider', 'airflow.plugins'):\n"
        f"    [mine] = [e for e in entry_points(group=group) if e.dist.name == '{NAME}']\n"
        "    mine.load()\n"
        "import airflow_provider_chatwork.hooks.chatwork, airflow_provider_chatwork.sandbox\n"
    )
    with tempfile.TemporaryDirectory() as home:
        shown = answer(home, executable(folder, "airflow"), "providers", "list", "--output", "plain")
        if not (rows := [line for line in shown.splitlines() if line.startswith(NAME)]):
            raise SystemExit(f"Airflow does not list {NAME}:\n{shown}")
        print(f"airflow providers list: {rows[0]}")
        answer(home, executable(folder, "python"), "-W", "error:::airflow_provider_chatwork", "-c", loads)


def answer(home: str, *command: str | Path) -> str:
    """Run a command with an Airflow home of its own, away from the project's root, where the package lies uninstalled.

    :return: what it printed.
    :raises SystemExit: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(command, cwd=home, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\n{command[0]} failed in the new environment")
    return done.stdout


def main() -> None:
    """Check the wheel in ``dist/``."""
    only("*.tar.gz")
    wheel = only("*.whl")
    look_into(wheel)
    ask_airflow(install(wheel))


if __name__ == "__main__":
    main()
