"""The API as the engine uses it: a client for calls that are answered, a reporter for everything else."""

from __future__ import annotations

from dataclasses import dataclass

from orionflow.client import OrionClient
from orionflow.reporting import Reporter, get_reporter


@dataclass(frozen=True, slots=True)
class Api:
    """Where one flow run and everything under it is recorded."""

    client: OrionClient
    reporter: Reporter


def current_api() -> Api:
    """The API that the settings name now."""
    reporter = get_reporter()
    return Api(reporter.client, reporter)
