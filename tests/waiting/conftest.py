from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import LOOPS
from tests.waiting.scenario import Scenario


@pytest.fixture(params=LOOPS)
def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    scenario = Scenario(request.param)
    yield scenario
    scenario.scene.close()
