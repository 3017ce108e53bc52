"""Flows of users on a database of each test's own, with a clock that goes as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orionflow.testing import Isolated, isolated


@pytest.fixture(autouse=True)
def orion(ready_kit: None, django_db_blocker: Any, settings: Any) -> Iterator[Isolated]:
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "ephemeral.orion"]
    with django_db_blocker.unblock(), isolated() as here:
        yield here
