"""Serving: an agent in this process that runs nothing but what was handed to it here."""

from __future__ import annotations

from orionflow.deployments.definition import Deployment
from orionflow.errors import UsageError


def serve(*deployments: Deployment, limit: int | None = None) -> None:
    """Deploy flows and run what is asked of them until Ctrl-C, at most `limit` runs at once."""
    raise UsageError("This version cannot serve yet; deploy the flow and run `orion agent start`.")
