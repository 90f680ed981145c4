"""A pytest fixture for the tests of DAGs that talk to Chatwork. Installing the provider makes it available.

It needs the extra ``sandbox`` (``pip install 'airflow-provider-chatwork[sandbox]'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# Loaded by every pytest of everybody who has the provider, so nothing else is imported before the fixture is used.
if TYPE_CHECKING:
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox


@pytest.fixture
def chatwork_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedSandbox]:
    """Serve a Chatwork of this test's own on a free port, and point the connection ``chatwork_default`` to it.

    The connection's ``default_room_id`` is ``company.DATA_ROOM``.

    Yields the sandbox: act as people with ``post_message``, ``reply`` and ``complete_task``, read ``messages``,
    ``tasks`` and ``requests``, and let requests fail with ``add_fault``. ``address`` is where it is served.
    """
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox, serve

    sandbox = ServedSandbox()
    with serve(sandbox) as sandbox.address:
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", sandbox.address.connection_uri(sandbox.token))
        yield sandbox
