"""A pytest fixture for tests of DAGs that use Chatwork. It is available wherever the provider is installed.

It needs the extra ``sandbox`` (``pip install 'airflow-provider-chatwork[sandbox]'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# pytest loads this module wherever the provider is installed, so the fixture imports the rest on first use.
if TYPE_CHECKING:
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox


@pytest.fixture
def chatwork_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedSandbox]:
    """Serve a sandbox on a free port, and set the connection ``chatwork_default`` to it.

    The connection's ``default_room_id`` is ``company.DATA_ROOM``.

    Yields the sandbox: act as users with ``post_message``, ``reply`` and ``complete_task``, read ``messages``,
    ``tasks`` and ``requests``, and make requests fail with ``add_fault``. ``address`` is its URL.
    """
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox, serve

    sandbox = ServedSandbox()
    with serve(sandbox) as sandbox.address:
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", sandbox.address.connection_uri(sandbox.token))
        yield sandbox
