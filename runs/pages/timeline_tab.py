"""The tab of a flow run's page that shows its task runs over time.

In its address, `open` lists the subflows whose tasks are shown below their rows, `attempt` is the only attempt that is
shown, and `scale` draws idle periods to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from orchestration.database_clock import current_time
from orion_site.live.pages import is_shown
from runs.models import FlowRun
from runs.pages.log import log_beside
from runs.pages.selectors.cohorts import cohorts_of
from runs.pages.selectors.run import Failure, Progress
from runs.pages.selectors.timeline import MOST_OPEN, timeline_of, within
from runs.pages.timeline import Addresses, axis_of_timeline, drawn


def timeline_tab(
    request: HttpRequest,
    run: FlowRun,
    progress: Progress,
    failure: Failure | None,
    attempts: Sequence[datetime],
) -> dict[str, Any]:
    now = current_time()
    found = timeline_of(run=run, now=now, sums=progress.sums)
    attempt = chosen_attempt(request, attempts)
    if attempt:
        next_one = attempts[attempt] if attempt < len(attempts) else None
        found = within(found, attempts[attempt - 1], next_one)
    addresses = Addresses(attempt, "scale" in request.GET, found.opened)
    axis = axis_of_timeline(found, to_scale=addresses.to_scale)
    # The log below needs only the rows.
    cohorts = (
        cohorts_of(run_id=run.id, lines=found.lines, edges=axis.edges(), now=now) if is_shown(request, "tab") else None
    )
    lines = drawn(found, axis, cohorts=cohorts, addresses=addresses)
    traceback = failure.cause.log_line if failure and not failure.cause.path else None
    own = [one for one in lines if one.line.of is None]
    return {
        "timeline": found,
        "lines": lines,
        "has_bands": any(one.band for one in lines),
        "axis": axis,
        "here": addresses.of(),
        "to_scale": addresses.of(to_scale=True),
        "log_of": request.GET.get("log", ""),
        "beside": log_beside(request, run, own, traceback) if lines and is_shown(request, "beside") else None,
        "attempts": [(number, addresses.of(attempt=number)) for number in range(1, len(attempts) + 1)],
        "all_attempts": addresses.of(attempt=0),
        "attempt": attempt,
        # Tasks of an opened subflow change under a topic of its own.
        "tab_topics": " ".join(f"run:{one}:tasks" for one in (run.id, *found.opened)),
    }


def opened_in(request: HttpRequest) -> list[UUID]:
    """Return the ids of the runs that the address opens, whatever they are."""
    found: dict[UUID, None] = {}
    for text in request.GET.get("open", "").split(",")[:MOST_OPEN]:
        try:
            found[UUID(text)] = None
        except ValueError:
            continue
    return list(found)


def chosen_attempt(request: HttpRequest, attempts: Sequence[datetime]) -> int:
    """Return the number of the only attempt that the timeline shows, or 0 for all."""
    asked = request.GET.get("attempt", "")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else 0
    return number if number <= len(attempts) else 0
