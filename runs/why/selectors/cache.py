"""Why a task run with a cache key used a cached result or ran: the key, its inputs, and the run that stored the result.

Only recorded facts are used: the trail of the rules, and the inputs reported by the run that stored the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.contract.states import CACHED
from runs.models import StateRow, TaskRun
from runs.results.core import moment_in
from runs.why.selectors.blockers import Reason, moment_text

LONGEST_KEY = 24
MOST_INPUTS = 20


def cache_reasons(run: TaskRun, state: StateRow | None, now: datetime) -> Iterator[Reason]:
    """Yield the reasons; nothing for runs without a cache key.

    One query for a hit whose writer is known, otherwise none.
    """
    details = state.details if state is not None and isinstance(state.details, dict) else {}
    if state is None or run.state_type != "COMPLETED" or not details.get("cache_key"):
        return
    recorded = state.data.get("cache") if isinstance(state.data, dict) else None
    cache: Mapping[str, Any] = recorded if isinstance(recorded, dict) else {}
    key, until = _shown(details["cache_key"]), _until(details.get("cache_expiration"), now)
    made = _inputs(cache.get("inputs"))
    if run.state_name == CACHED:
        writer = _writer(cache.get("task_run_id"))
        by = f" {writer['name']} of {writer['flow_run']} stored it." if writer else ""
        text = f"Cache hit: a result with the key {key} was known, so it did not run.{by} {until}{made}"
        fix = "refresh_cache=True runs it all the same."
        yield Reason("cache_hit", text, fix, holders=[writer] if writer else None)
    else:
        text = f"Cache miss: no result with the key {key} could be given out, so it ran. {until}{made}"
        yield Reason("cache_miss", text)


def _until(expiration: object, now: datetime) -> str:
    expires = moment_in(expiration)
    if expires is None:
        return "The result is given out without an end."
    verb = "was" if expires <= now else "is"
    return f"The result {verb} given out until {moment_text(expires)}."


def _inputs(digests: object) -> str:
    """Return the names of arguments with their digests; a large argument has its type instead."""
    if not isinstance(digests, dict) or not digests:
        return ""
    shown = [f"{_shown(name)} {_shown(digest)}" for name, digest in list(digests.items())[:MOST_INPUTS]]
    more = f" and {len(digests) - MOST_INPUTS} more" if len(digests) > MOST_INPUTS else ""
    return f" Its inputs, by digest: {', '.join(shown)}{more}."


def _shown(text: object) -> str:
    written = str(text)
    return written if len(written) <= LONGEST_KEY else f"{written[: LONGEST_KEY - 1]}…"


def _writer(task_run_id: object) -> dict[str, Any] | None:
    try:
        run_id = UUID(task_run_id) if isinstance(task_run_id, str) else None
    except ValueError:
        return None
    found = None if run_id is None else TaskRun.objects.select_related("flow_run").filter(pk=run_id).first()
    if found is None:
        return None
    flow_run = found.flow_run.name if found.flow_run else "a flow run that is deleted"
    return {"kind": "task-run", "id": found.id, "name": found.name or str(found.id), "flow_run": flow_run}
