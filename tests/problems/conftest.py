"""Flows of users, run for real as those of `tests/sdk` are."""

from __future__ import annotations

from tests.sdk.conftest import orion, server_here

__all__ = ["orion", "server_here"]
