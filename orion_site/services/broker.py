"""The broker of this installation, as the relay and Celery reach it."""

from __future__ import annotations

from typing import Any

from orionflow.agent.broker import transport_of


def transport(url: str) -> tuple[str, dict[str, Any]]:
    """The URL and the options of kombu's transport for `ORION_BROKER_URL`; the same as agents use."""
    return transport_of(url)
