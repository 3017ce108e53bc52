"""The API as the engine uses it: a client for calls that are answered, a reporter for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orionflow import tracing
from orionflow.client import OrionClient
from orionflow.context import FlowRunContext
from orionflow.reporting import Reporter, get_reporter
from orionflow.settings import current_settings


@dataclass(frozen=True, slots=True)
class Api:
    """The client and the reporter by which one flow run and everything in it is recorded."""

    client: OrionClient
    reporter: Reporter


def current_api() -> Api:
    """Return the API that the current settings name."""
    reporter = get_reporter()
    tracing.begin(current_settings().traces_url)
    return Api(reporter.client, reporter)


@contextmanager
def current_client() -> Iterator[OrionClient]:
    """Yield the client of the flow run that this code belongs to; outside of one, a new client for this block."""
    context = FlowRunContext.get()
    if context is not None:
        yield context.client
        return
    client = OrionClient()
    try:
        yield client
    finally:
        client.close()
