"""The database of the tested Airflow: PostgreSQL if it is installed, otherwise SQLite, which has one writer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from demo.processes import Process
from tests.system_tests.postgres import Postgres, hindrance


class Kind(Enum):
    """What one may wish for."""

    SQLITE = "SQLite"
    POSTGRESQL = "PostgreSQL"


class Database(Protocol):
    """A database, not there yet."""

    #: What it is, and why it is not what was wished for, if it is not.
    title: str
    env: dict[str, str]

    def start(self, processes: list[Process]) -> None:
        """Bring it up, with nothing in it; what takes a process for that is added to ``processes``."""

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Ask for rows, without a lock that anyone would wait for. What stands for a parameter is a ``?``."""


class Sqlite:
    """A file in Airflow's home.

    :param reason: why it is not another one.
    """

    def __init__(self, home: Path, reason: str = "") -> None:
        self.title = f"SQLite, as {reason}" if reason else "SQLite"
        self._file = home / "airflow.db"
        self.env = {
            # Airflow 2 refuses more than one task at a time on it; for a few of them it does well.
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1"
        }

    def start(self, processes: list[Process]) -> None:
        """See :class:`Database`."""

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """See :class:`Database`."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(sql, parameters).fetchall()


def choose(wanted: Kind, python: Path, version: tuple[int, ...], folder: Path, home: Path) -> Database:
    """Return the database that is wished for, or SQLite where there is none.

    :param python: the interpreter of the Airflow's environment, and ``version`` its Airflow's.
    :param folder: where a server keeps its files; ``home`` is Airflow's.
    """
    if wanted is Kind.SQLITE:
        return Sqlite(home)
    reason = hindrance(python, asynchronous=version >= (3, 0))
    return Sqlite(home, reason) if reason else Postgres(folder / "postgresql")
