"""The rows of the list of flow runs beyond one page: in chunks, and counted for several filters at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models.functions import Length

from deployments.models import Deployment
from runs.models import FlowRun, FlowRunState
from runs.pages.selectors.failures import newest_failure_beyond
from runs.pages.selectors.keyset import Count, Cursor, capped_counts
from runs.pages.selectors.parts import in_parts
from runs.pages.selectors.runs import (
    CHOICE_CAP,
    EXPLAINED_IN_LISTS,
    RunFilter,
    errors_since,
    listed,
    page_of_runs,
    resolved,
    state_reasons,
)
from runs.pages.selectors.task_runs import conditions_by_row, indexed_task_runs

ROWS_PER_CHUNK = 500
# A file ends after so many runs, or where a filter has to search, after so many searches that filled no chunk.
MOST_IN_A_FILE, MOST_SEARCHES = 50_000, 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a list with what they show besides their columns; on the last one, where the file was cut.

    A filter by error has not looked at failures of runs expected at `unsearched_from` and before.
    """

    rows: Sequence[FlowRun]
    reasons: Mapping[str, str]
    deployments: Mapping[UUID, str]
    cut_at: Cursor | None = None
    unsearched_from: datetime | None = None


def unsearched_from(wanted: RunFilter, now: datetime) -> datetime | None:
    """Return when the newest failure was expected that a filter by error does not look at; None if there is none."""
    return newest_failure_beyond(since=errors_since(wanted, now), tags=wanted.tags) if wanted.error else None


def chunks_of_runs(
    *,
    wanted: RunFilter,
    after: Cursor | None,
    now: datetime,
    further: Sequence[str] = (),
    with_deployments: bool = False,
) -> Iterator[Chunk]:
    """Yield the rows of a list, on all of its pages after the cursor. Only one chunk is in memory."""
    unsearched = unsearched_from(wanted, now)
    wanted = resolved(wanted, now)
    left, searches = MOST_IN_A_FILE, 0
    while True:
        size = min(ROWS_PER_CHUNK, left)
        page, _ = page_of_runs(wanted, after, now, size, further)
        after, left = page.after, left - len(page.rows)
        searches += wanted.searches and len(page.rows) < size
        is_cut = after is not None and (not left or searches >= MOST_SEARCHES)
        is_last = after is None or is_cut
        names = deployment_names(page.rows) if with_deployments else {}
        *parts, last = in_parts(page.rows, _lengths_of_messages(page.rows))
        for part in parts:
            yield Chunk(part, state_reasons(part), names)
        yield Chunk(
            rows=last,
            reasons=state_reasons(last),
            deployments=names,
            cut_at=after if is_cut else None,
            unsearched_from=unsearched if is_last else None,
        )
        if is_last:
            return


def _lengths_of_messages(runs: Sequence[FlowRun]) -> list[int]:
    """Return the number of characters that `state_reasons` would read for each run. One query."""
    explained = [run for run in runs if run.state_type in EXPLAINED_IN_LISTS]
    states = FlowRunState.objects.filter(pk__in=[run.state_id for run in explained])
    lengths: dict[UUID | None, int | None] = dict(states.values_list("id", Length("message")))
    return [lengths.get(run.state_id) or 0 for run in runs]


def deployment_names(runs: Sequence[FlowRun]) -> Mapping[UUID, str]:
    """Return the names of the deployments of these runs by id. One query."""
    ids = {run.deployment_id for run in runs if run.deployment_id}
    return dict(Deployment.objects.filter(pk__in=ids).values_list("pk", "name"))


def counts_of_runs(filters: Sequence[RunFilter], now: datetime) -> list[Count | None]:
    """Return the number of runs that each filter lists; None where rows must be read one by one. One query."""
    parts = [None if one.searches or one.error or one.problem else listed(one, now) for one in filters]
    counts = iter(capped_counts([part for part in parts if part is not None], CHOICE_CAP))
    return [None if part is None else next(counts) for part in parts]


def counts_of_task_runs(filters: Sequence[RunFilter], now: datetime) -> list[Count | None]:
    parts = [None if conditions_by_row(one, now) else indexed_task_runs(one, now) for one in filters]
    counts = iter(capped_counts([part for part in parts if part is not None], CHOICE_CAP))
    return [None if part is None else next(counts) for part in parts]
