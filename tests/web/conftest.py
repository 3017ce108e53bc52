"""A browser on this machine, as far as the server can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from tests.audited import AuditedClient
from tests.travelling import travelled
from tests.web.rows import NOON

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(db: None) -> Client:
    return AuditedClient(headers={"host": "127.0.0.1:4200"})


@pytest.fixture
def noon() -> Iterator[None]:
    """Time stands still at noon: no hour begins between two looks, and no time passes between two lines."""
    with travelled(NOON):
        yield
