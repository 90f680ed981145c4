from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest


@pytest.fixture(autouse=True)
def delete_states() -> Iterator[None]:
    """Delete the states of alerts in the database, if an earlier test has created one."""
    yield
    from airflow.models import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete
    from sqlalchemy.exc import OperationalError

    with suppress(OperationalError), create_session() as session:
        query = delete(Variable).where(Variable.key.like("chatwork_alert%"))
        session.execute(query.execution_options(synchronize_session=False))
