"""A PostgreSQL cluster in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo.airflow import NotReady, free_port
from demo.processes import Process

#: What the process is called, and so its log.
NAME = "postgresql"
_USER = "airflow"
#: Who the server runs as where we are root, which it refuses. Debian's package makes that account.
_ACCOUNT = "postgres"
#: Seconds.
_PATIENCE = 120.0
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Every component of Airflow, and every process of those, has a pool of its own.
    "max_connections": "400",
    # It does not have to outlive the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
}


def binaries() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``, of the newest version; ``None`` where there is none.

    Debian's package keeps them off the path.
    """
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).parent
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(installed, key=lambda folder: float(folder.parent.name), default=None)


def hindrance(python: Path, *, asynchronous: bool) -> str | None:
    """What is missing for an Airflow on PostgreSQL; ``None`` if nothing is.

    :param python: the interpreter of its environment.
    :param asynchronous: whether that Airflow asks its database from event loops too.
    """
    if binaries() is None:
        return "no PostgreSQL is installed here (Debian: postgresql)"
    if os.geteuid() == 0 and not (_has_account() and shutil.which("setpriv")):
        return f"PostgreSQL does not run as root, and there is no account {_ACCOUNT} to run it as"
    drivers = ["psycopg2", *(["asyncpg"] if asynchronous else [])]
    # One for the components, and one to look into the database from here.
    for interpreter, modules in ((str(python), drivers), (sys.executable, drivers[:1])):
        question = f"import {', '.join(modules)}"
        if subprocess.run([interpreter, "-c", question], capture_output=True, check=False).returncode:
            return f"{interpreter} has no {' and '.join(modules)}: see scripts/environment.py"
    return None


def _has_account() -> bool:
    try:
        pwd.getpwnam(_ACCOUNT)
    except KeyError:
        return False
    return True


class Postgres:
    """A server with an empty database. It ends with its process, by SIGINT and after its clients.

    :param folder: gets the cluster; its parents have to be open to every account where we are root.
    """

    title = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._password = secrets.token_hex(16)
        self._connection: Any = None

    @property
    def env(self) -> dict[str, str]:
        """The setting of Airflow for it. Airflow 3 derives the address for its event loops from this one."""
        address = f"postgresql+psycopg2://{_USER}:{self._password}@127.0.0.1:{self._port}/postgres"
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}

    def start(self, processes: list[Process]) -> None:
        """Make the cluster and start the server; returns when it answers.

        :param processes: gets the process.
        :raises NotReady: it does not start.
        """
        folder = binaries()
        assert folder is not None
        as_account = self._give_away()
        secret = self._folder / "password"
        data = self._folder / "data"
        make = [folder / "initdb", "--pgdata", data, "--username", _USER, "--pwfile", secret]
        make += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [*as_account, *map(str, make)], cwd=self._folder, capture_output=True, text=True, check=False
        )
        secret.unlink()
        if done.returncode:
            raise NotReady(f"PostgreSQL could not make its files:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [*as_account, str(folder / "postgres"), "-D", str(data), "-p", str(self._port), *options]
        process = Process(NAME, command, self._folder)
        processes.append(process)
        self._wait(process)

    def _give_away(self) -> list[str]:
        """Make the folder, for whom the server runs as, and return what makes a command run as that one."""
        self._folder.mkdir()
        secret = self._folder / "password"
        secret.touch(0o600)
        secret.write_text(self._password, "utf-8")
        if os.geteuid() != 0:
            return []
        account = pwd.getpwnam(_ACCOUNT)
        for path in (self._folder, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
        # Only to be passed through: what is in it, and what else is beside it, stays unseen.
        self._folder.parent.chmod(0o711)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]

    def _wait(self, process: Process) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.query("SELECT 1")
                return
            except Exception as error:
                if process.status is not None or time.monotonic() > end:
                    log = process.log.read_text("utf-8", "replace")[-1000:]
                    raise NotReady(f"PostgreSQL does not answer: {error}\n{log}") from error
            time.sleep(0.1)

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Ask for rows. What stands for a parameter is a ``?``."""
        import psycopg2

        if self._connection is None:
            connection = psycopg2.connect(
                host="127.0.0.1", port=self._port, user=_USER, password=self._password, dbname="postgres"
            )
            connection.set_session(readonly=True, autocommit=True)
            self._connection = connection
        with self._connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), parameters)
            return [tuple(row) for row in cursor.fetchall()]
