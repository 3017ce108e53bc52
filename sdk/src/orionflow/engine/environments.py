"""Records the environment that executes a flow run: at its creation, or after the start if it was created elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.calls.environments import store_environment
from orionflow.calls.flow_runs import update_flow_run
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.environment import environment_of, must_be_reported
from orionflow.flows import Flow

# The environments that this process has reported, by API, home and id.
_reported: set[tuple[str, Path, UUID]] = set()


def environment_for(flow: Flow[Any, Any]) -> UUID | None:
    """Return the environment for a new run; None if it cannot be read, which does not stop the run."""
    try:
        return environment_of(_code_of(flow))[0]
    except Exception:
        return None


def note_environment(active: ActiveFlowRun) -> None:
    """Report the run's environment after all other reports. No run waits for it or fails because of it."""
    try:
        id, content = environment_of(_code_of(active.flow))
    except Exception:
        active.logger.debug("What the run is executed by cannot be read.", exc_info=True)
        return
    reporter = active.api.reporter
    key = (reporter.client.api_url, reporter.settings.home, id)
    if key not in _reported:
        _reported.add(key)
        # Reported for no run in particular, so that a server that refuses it stops none.
        if must_be_reported(*key):
            reporter.keep(store_environment(content))
    if active.flow_run.environment_id != id and not active.is_made_here:
        reporter.keep(update_flow_run(active.id, environment_id=id))


def _code_of(flow: Flow[Any, Any]) -> str | None:
    return getattr(getattr(flow.fn, "__code__", None), "co_filename", None)
