from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import LOOPS
from tests.waiting.office import Office


@pytest.fixture(params=LOOPS)
def office(request: pytest.FixtureRequest) -> Iterator[Office]:
    office = Office(request.param)
    yield office
    office.scene.close()
