"""The contract of SDK and server: the values that cross the wire, defined once.

This is the bottom layer of the SDK, and the only part that the server may import. Nothing here does I/O or imports
another part of the SDK. Modules that build pydantic models are imported where they are needed, never by `from orionflow
import flow`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionflow.contract import agents as agents
    from orionflow.contract import audit as audit
    from orionflow.contract import automations as automations
    from orionflow.contract import backfills as backfills
    from orionflow.contract import blocks as blocks
    from orionflow.contract import bulk_actions as bulk_actions
    from orionflow.contract import comparisons as comparisons
    from orionflow.contract import deployments as deployments
    from orionflow.contract import discovery as discovery
    from orionflow.contract import environments as environments
    from orionflow.contract import events as events
    from orionflow.contract import explanations as explanations
    from orionflow.contract import limits as limits
    from orionflow.contract import logs as logs
    from orionflow.contract import notifications as notifications
    from orionflow.contract import problems as problems
    from orionflow.contract import records as records
    from orionflow.contract import results as results
    from orionflow.contract import retries as retries
    from orionflow.contract import runs as runs
    from orionflow.contract import schedules as schedules
    from orionflow.contract import time_spent as time_spent
    from orionflow.contract import transitions as transitions
    from orionflow.contract import work as work

_MODELS = frozenset(
    {
        "agents",
        "audit",
        "automations",
        "backfills",
        "blocks",
        "bulk_actions",
        "comparisons",
        "deployments",
        "discovery",
        "environments",
        "events",
        "explanations",
        "limits",
        "logs",
        "notifications",
        "problems",
        "records",
        "retries",
        "results",
        "runs",
        "schedules",
        "time_spent",
        "transitions",
        "work",
    }
)


def __getattr__(name: str) -> Any:
    """Load a module when it is first used, so that calls can name the models of their answers without loading them."""
    if name not in _MODELS:
        raise AttributeError(f"module 'orionflow.contract' has no attribute {name!r}")
    return import_module(f"orionflow.contract.{name}")
