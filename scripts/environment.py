"""Make the virtual environments of this project under ``.venv/``: ``python scripts/environment.py NAME...``.

Runs on a bare Python 3.11 or later. Every environment holds the project (editable) and exactly what its pin file says,
and is left alone as long as nothing it was made from has changed. ``NAME+system-tests`` adds what only the system tests
need. Uses uv: the one on the path, else one that it installs into ``.venv/uv``, else pip, which does the same in more
time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venv"
UV = "uv==0.13.9"


@dataclass(frozen=True)
class Environment:
    """What an environment is made from.

    :param pins: the pin file, from the root of the project.
    :param below: the first Python (major, minor) that this set of packages does not support.
    :param project: whether the project itself is installed.
    """

    pins: str
    below: tuple[int, int]
    project: bool = True


ENVIRONMENTS = {
    "airflow-2.11": Environment("constraints/airflow-2.11.txt", (3, 13)),
    "airflow-3.0": Environment("constraints/airflow-3.0.txt", (3, 13)),
    "airflow-3.1": Environment("constraints/airflow-3.1.txt", (3, 14)),
    "airflow-3.2": Environment("constraints/airflow-3.2.txt", (3, 15)),
    "airflow-3.3": Environment("constraints.txt", (3, 15)),
    "benchmarks": Environment("constraints/benchmarks.txt", (3, 15)),
}
#: Behind a name: with what is pinned there too. Where there is nothing compiled of it, the system tests do without.
SYSTEM_TESTS = "+system-tests"
SYSTEM_TEST_PINS = "constraints/system-tests.txt"


def run(*command: str | Path) -> None:
    """Run a command in the project's root, showing nothing unless it fails.

    :raises subprocess.CalledProcessError: it failed; its output was printed.
    """
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()


def works(*command: str | Path) -> bool:
    """Whether a command can be run and succeeds."""
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@cache
def uv() -> str | None:
    """The uv to use, or ``None`` where there is none and none could be installed."""
    on_path = shutil.which("uv")
    # A version manager may put a stand-in on the path that only says that nothing is installed.
    if on_path and works(on_path, "--version"):
        return on_path
    own = executable(VENVS / "uv", "uv")
    if not works(own, "--version"):
        print("installing uv into .venv/uv", flush=True)
        venv.create(VENVS / "uv", with_pip=True, clear=True)
        python = executable(VENVS / "uv", "python")
        if not works(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV):
            print("uv could not be installed: going on with pip", flush=True)
            return None
    return str(own)


def executable(environment: Path, name: str) -> Path:
    """Where an environment keeps one of its programs."""
    return environment / ("Scripts" if os.name == "nt" else "bin") / name


@cache
def find_python(minor: int) -> str | None:
    """Find Python 3.``minor``: on the path, else among those of pyenv, else one that uv has or can fetch.

    :return: its path, or ``None`` where there is none.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    on_path = [str(Path(folder, f"python3.{minor}")) for folder in folders]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    from_pyenv = [str(found) for found in sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python3"))]
    for found in [*on_path, *from_pyenv]:
        # A version manager puts commands on the path for versions that are not selected. They end with an error.
        if works(found, "-c", "import venv, ensurepip"):
            return found
    tool = uv()
    if tool and works(tool, "python", "install", "--no-bin", f"3.{minor}"):
        command = [tool, "python", "find", "--managed-python", "--no-project", f"3.{minor}"]
        return subprocess.run(command, cwd=VENVS, capture_output=True, text=True).stdout.strip() or None
    return None


def interpreter(wanted: Environment) -> str:
    """The Python to make an environment with: this one if it is supported, else another one on the machine.

    :raises SystemExit: there is none.
    """
    if sys.version_info[:2] < wanted.below:
        return sys.executable
    for minor in range(wanted.below[1] - 1, 10, -1):
        if found := find_python(minor):
            return found
    raise SystemExit(
        f"{wanted.pins} needs Python 3.11 to 3.{wanted.below[1] - 1}, and this is {sys.version.split()[0]}: "
        "install one of them, or run make with PYTHON=<its path>"
    )


def fingerprint(wanted: Environment) -> str:
    """A digest of everything that an environment is made from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    parts = [
        (ROOT / wanted.pins).read_text("utf-8"),
        json.dumps([project["build-system"], project["project"]], sort_keys=True),
        (ROOT / "airflow_provider_chatwork" / "__init__.py").read_text("utf-8"),
        interpreter(wanted),
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make(folder: Path) -> None:
    """Make the environment of that name in that folder, or leave it as it is where it is up to date."""
    wanted = ENVIRONMENTS[folder.name]
    stamp = folder / ".stamp"
    digest = fingerprint(wanted)
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return
    print(f"making {folder.relative_to(ROOT)} from {wanted.pins}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    python = executable(folder, "python")
    if tool := uv():
        run(tool, "venv", "--quiet", "--python", interpreter(wanted), folder)
    else:
        run(interpreter(wanted), "-m", "venv", folder)
    install(python, "--requirement", wanted.pins)
    if wanted.project:
        install(python, "--no-deps", "--editable", ".")
    stamp.write_text(digest, "utf-8")


def install(python: Path, *what: str) -> None:
    """Install into the environment of an interpreter.

    :raises subprocess.CalledProcessError: it failed; its output was printed.
    """
    if tool := uv():
        # Compiled once here, as every one of the many short processes of the tests would otherwise do it again.
        run(tool, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", *what)
    else:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def add_system_tests(folder: Path) -> None:
    """Add to an environment what the system tests need, or say that they have to do without."""
    stamp = folder / ".stamp-system-tests"
    pins = (ROOT / SYSTEM_TEST_PINS).read_text("utf-8")
    if stamp.exists() and stamp.read_text("utf-8") == pins:
        return
    try:
        install(executable(folder, "python"), "--only-binary=:all:", "--requirement", SYSTEM_TEST_PINS)
    except subprocess.CalledProcessError:
        print(
            f"{SYSTEM_TEST_PINS} could not be installed into {folder.name}: its system tests will run on SQLite",
            flush=True,
        )
    else:
        stamp.write_text(pins, "utf-8")


def main() -> None:
    """Make the environments named on the command line."""
    parser = argparse.ArgumentParser(description="Make virtual environments under .venv/.")
    names = sorted([*ENVIRONMENTS, *(f"{name}{SYSTEM_TESTS}" for name in ENVIRONMENTS)])
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=", ".join(ENVIRONMENTS))
    parser.add_argument("--folder", type=Path, default=VENVS, help="where they are made (default: .venv)")
    arguments = parser.parse_args()
    for wanted in arguments.names:
        folder = ROOT / arguments.folder / wanted.removesuffix(SYSTEM_TESTS)
        try:
            make(folder)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{folder.name} could not be made: {error}") from None
        if wanted != folder.name:
            add_system_tests(folder)


if __name__ == "__main__":
    main()
