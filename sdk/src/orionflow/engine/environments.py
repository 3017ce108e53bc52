"""Say what flow runs are executed by: when they are made, or when a run that was made by others has begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.calls.environments import store_environment
from orionflow.calls.flow_runs import update_flow_run
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.environment import environment_of, must_be_said
from orionflow.flows import Flow

# By API, home and id, the environments that this process has said.
_said: set[tuple[str, Path, UUID]] = set()


def environment_for(flow: Flow[Any, Any]) -> UUID | None:
    """Return the environment of a run that is being made; None where it cannot be read, which stops no run."""
    try:
        return environment_of(_code_of(flow))[0]
    except Exception:
        return None


def note_environment(active: ActiveFlowRun) -> None:
    """Have recorded, behind everything else, what the run is executed by. It makes nobody wait, and no run fail."""
    try:
        id, content = environment_of(_code_of(active.flow))
    except Exception:
        active.logger.debug("What the run is executed by cannot be read.", exc_info=True)
        return
    reporter = active.api.reporter
    key = (reporter.client.api_url, reporter.settings.home, id)
    if key not in _said:
        _said.add(key)
        # For no run: a server that does not take it shall stop none.
        if must_be_said(*key):
            reporter.keep(store_environment(content))
    if active.flow_run.environment_id != id and not active.is_made_here:
        reporter.keep(update_flow_run(active.id, environment_id=id))


def _code_of(flow: Flow[Any, Any]) -> str | None:
    return getattr(getattr(flow.fn, "__code__", None), "co_filename", None)
