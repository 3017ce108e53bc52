"""The testing tools as a pytest fixture: `from orionflow.testing.fixtures import orion` in conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orionflow.testing.isolation import Isolated, isolated
from orionflow.testing.virtual_clock import VirtualClock


@pytest.fixture
def orion() -> Iterator[Isolated]:
    """An empty database for this test, and a virtual clock: `orion.clock`, `orion.client`, `orion.home`."""
    with isolated(clock=VirtualClock()) as here:
        yield here
