from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest


class TestNoInternet:
    def test_refuses_to_connect_to_another_machine(self, no_internet):
        with socket.socket() as client, pytest.raises(BaseException, match=r"192\.0\.2\.1") as refused:
            client.connect(("192.0.2.1", 443))
        assert not isinstance(refused.value, Exception)
        assert no_internet
        no_internet.clear()

    def test_refuses_to_look_up_the_name_of_another_machine(self, no_internet):
        with pytest.raises(BaseException, match=r"api\.chatwork\.com"):
            socket.getaddrinfo("api.chatwork.com", 443)
        no_internet.clear()

    async def test_refuses_an_event_loop_too(self, no_internet):
        with pytest.raises(BaseException, match=r"192\.0\.2\.1"):
            await asyncio.open_connection("192.0.2.1", 443)
        no_internet.clear()

    def test_remembers_what_a_thread_was_refused(self, no_internet):
        def swallow():
            with pytest.raises(BaseException, match="example"):
                socket.create_connection(("example.com", 80))

        thread = threading.Thread(target=swallow)
        thread.start()
        thread.join()
        assert no_internet == ["socket.getaddrinfo 'example.com'"]
        no_internet.clear()

    def test_lets_a_test_talk_to_this_machine(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            for host in ("127.0.0.1", "localhost"):
                socket.create_connection((host, server.getsockname()[1])).close()


class TestDb:
    def test_lies_in_the_home_of_this_run(self, db):
        from airflow.settings import engine

        assert Path(os.environ["AIRFLOW_HOME"], "unit.db") == Path(engine.url.database)

    def test_comes_without_the_connections_that_airflow_makes_up(self, db):
        from airflow.models import Connection
        from airflow.settings import Session

        with Session() as session:
            assert session.query(Connection).filter(Connection.conn_id == "http_default").count() == 0
