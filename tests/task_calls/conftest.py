"""Flows of users on a database of each test's own, with a clock that goes as it goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orionflow.testing import Isolated, isolated
from tests.sdk.conftest import server_here

__all__ = ["server_here"]


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Iterator[Isolated]:  # noqa: F811
    with isolated() as here:
        yield here
