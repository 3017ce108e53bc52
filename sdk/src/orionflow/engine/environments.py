"""Say what flow runs are executed by: the first one of a process after it began, later ones when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.calls.environments import store_environment
from orionflow.calls.flow_runs import update_flow_run
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.api import Api
from orionflow.environment import environment_of, must_be_said
from orionflow.flows import Flow

# By API, home and file of code, what runs of this process have said already.
_said: dict[tuple[str, Path, str | None], UUID] = {}


def environment_known_for(flow: Flow[Any, Any], api: Api) -> UUID | None:
    """The environment of a run that is being made, if one before it has said it to this API."""
    return _said.get(_key(flow, api)) if _said else None


def note_environment(active: ActiveFlowRun) -> None:
    """Have it recorded what the run is executed by, unless that is known. It makes nobody wait, and no run fail."""
    if active.flow_run.environment_id is not None and active.is_made_here:
        return
    key = _key(active.flow, active.api)
    try:
        id, content = environment_of(key[2])
    except Exception:
        active.logger.debug("What the run is executed by cannot be read.", exc_info=True)
        return
    reporter = active.api.reporter
    # For no run: a server that does not take it shall stop none.
    if key not in _said and must_be_said(id, reporter.client.api_url, reporter.settings.home):
        reporter.keep(store_environment(content))
    _said[key] = id
    if active.flow_run.environment_id != id:
        reporter.keep(update_flow_run(active.id, environment_id=id))


def _key(flow: Flow[Any, Any], api: Api) -> tuple[str, Path, str | None]:
    code = getattr(getattr(flow.fn, "__code__", None), "co_filename", None)
    return api.reporter.client.api_url, api.reporter.settings.home, code
