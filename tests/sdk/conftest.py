"""Programs of users, run for real: the API in this process, on a database of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orion_site.accounts.authentication import LocalOwnerAuthentication, ProcessOwnerAuthentication
from orionflow.testing import Isolated, VirtualClock, isolated


@pytest.fixture
def server_here(
    ready_kit: None, django_db_blocker: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The test runner has set up the whole server for this process; programs of users may use it too."""
    # Where only the API is inside a process, the program itself is who asks.
    monkeypatch.setattr(LocalOwnerAuthentication, "authenticate", ProcessOwnerAuthentication.authenticate)
    # It only knows the names that it has in the network.
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "ephemeral.orion"]
    # The databases of these tests do not belong to Django's test runner.
    with django_db_blocker.unblock():
        yield


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Iterator[Isolated]:
    """An empty database and a clock that jumps over every sleep."""
    with isolated(clock=VirtualClock()) as here:
        yield here
