"""A browser on this machine, as far as the server can tell."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.audited import AuditedClient

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(db: None) -> Client:
    return AuditedClient(headers={"host": "127.0.0.1:4200"})
