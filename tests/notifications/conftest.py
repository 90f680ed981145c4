from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.airflow_helpers import sandbox, shared_sandbox

__all__ = ["sandbox", "shared_sandbox"]


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    """What one test has told must not be told already in the next, where an earlier one has made a database."""
    yield
    from airflow.models import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete
    from sqlalchemy.exc import OperationalError

    with suppress(OperationalError), create_session() as session:
        told = delete(Variable).where(Variable.key.like("chatwork_alert%"))
        session.execute(told.execution_options(synchronize_session=False))
