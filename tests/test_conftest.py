from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest


class TestNoInternet:
    def test_blocks_connections_to_other_machines(self, no_internet):
        with socket.socket() as client, pytest.raises(BaseException, match=r"192\.0\.2\.1") as caught:
            client.connect(("192.0.2.1", 443))
        assert not isinstance(caught.value, Exception)
        assert no_internet
        no_internet.clear()

    def test_blocks_lookups_of_other_host_names(self, no_internet):
        with pytest.raises(BaseException, match=r"api\.chatwork\.com"):
            socket.getaddrinfo("api.chatwork.com", 443)
        no_internet.clear()

    async def test_blocks_connections_in_event_loops(self, no_internet):
        with pytest.raises(BaseException, match=r"192\.0\.2\.1"):
            await asyncio.open_connection("192.0.2.1", 443)
        no_internet.clear()

    def test_records_blocked_connections_of_threads(self, no_internet):
        def connect():
            with pytest.raises(BaseException, match="example"):
                socket.create_connection(("example.com", 80))

        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        assert no_internet == ["socket.getaddrinfo 'example.com'"]
        no_internet.clear()

    def test_allows_connections_to_this_machine(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            for host in ("127.0.0.1", "localhost"):
                socket.create_connection((host, server.getsockname()[1])).close()


class TestDb:
    def test_is_in_the_airflow_home_of_this_run(self, db):
        from airflow.settings import engine

        assert Path(os.environ["AIRFLOW_HOME"], "unit.db") == Path(engine.url.database)

    def test_has_no_default_connections(self, db):
        from airflow.models import Connection
        from airflow.settings import Session

        with Session() as session:
            assert session.query(Connection).filter(Connection.conn_id == "http_default").count() == 0
