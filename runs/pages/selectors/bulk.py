"""The runs that a bulk action would concern, and the pages of stored bulk actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestration.reading import unconverted
from orchestration.tables import dialect
from runs.models import BulkAction, BulkRun, FlowRun
from runs.pages.selectors.keyset import Cursor, Page, in_order, page_of, place_of
from runs.pages.selectors.list_rows import unsearched_from
from runs.pages.selectors.reach import BY
from runs.pages.selectors.runs import RunFilter, parts_of, reach_of_runs, resolved, rows_of_runs, searched

ACTIONS_PER_PAGE = 50
RUNS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Chosen:
    """Runs by id and name, newest first; whether the filter may find more, and how far back the search went.

    A filter by error has not looked at failures of runs expected at `unsearched_from` and before.
    """

    runs: Sequence[tuple[UUID, str]]
    is_cut: bool
    reach: datetime | None
    unsearched_from: datetime | None = None


def chosen_runs(*, wanted: RunFilter, now: datetime, most: int) -> Chosen:
    """Return the runs that a list with this filter would have shown at that time, on all of its pages."""
    unsearched = unsearched_from(wanted, now)
    wanted = resolved(wanted, now)
    db = dialect()
    found: set[tuple[Any, Any, str]] = set()
    parts, reach = parts_of(wanted, now), None
    for part in parts:
        if wanted.searches:
            end = reach_of_runs(part, wanted, None, share=1 / len(parts)).end
            reach = max(filter(None, (reach, end)), default=None)
            part = searched(part.filter(expected_start_time__gte=end) if end else part, wanted, now)
        rows = in_order(part.filter(created__lte=now), by=BY, after=None)
        found.update(unconverted(rows.values_list(BY, "pk", "name")[: most + 1]))
    # As the database returns them, moments and ids are in the same order.
    runs = sorted((row for row in found if reach is None or db.read_moment(row[0]) >= reach), reverse=True)
    names = [(db.read_uuid(id), name) for _, id, name in runs[:most]]
    is_cut = len(runs) > most or reach is not None or unsearched is not None
    return Chosen(names, is_cut, reach, unsearched)


def newest_of(chosen: Chosen, *, most: int) -> list[FlowRun]:
    """Return the newest runs as rows of a list, in its order."""
    rows = rows_of_runs(FlowRun.objects.filter(pk__in=[run_id for run_id, _ in chosen.runs[:most]]))
    return sorted(rows, key=lambda run: place_of(run, BY), reverse=True)


def bulk_actions_page(*, after: Cursor | None) -> Page[BulkAction]:
    return page_of(BulkAction.objects.all(), by="created", after=after, size=ACTIONS_PER_PAGE)


@dataclass(frozen=True, slots=True)
class BulkPage:
    """A bulk action, and a page of its runs with one outcome: each with its current row, if it still exists."""

    action: BulkAction
    outcome: str
    rows: Sequence[tuple[BulkRun, FlowRun | None]]
    after: int | None

    @property
    def reasons(self) -> Sequence[tuple[str, int]]:
        """The reasons with their numbers, the most frequent first."""
        reasons: Mapping[str, int] = self.action.reasons
        return sorted(reasons.items(), key=lambda one: (-one[1], one[0]))


def bulk_page(*, bulk_id: UUID, outcome: str | None, after: int | None) -> BulkPage | None:
    """Return a page of the runs with this outcome, by default the first outcome that has any."""
    action = BulkAction.objects.filter(pk=bulk_id).first()
    if action is None:
        return None
    outcome = outcome or next((one for one in ("done", "refused", "failed", "left") if getattr(action, one)), "done")
    runs = BulkRun.objects.filter(bulk_action=action, outcome=outcome).order_by("number")
    found = list((runs if after is None else runs.filter(number__gt=after))[: RUNS_PER_PAGE + 1])
    rows = found[:RUNS_PER_PAGE]
    columns = ("id", "name", "state_type", "state_name")
    present = FlowRun.objects.only(*columns).in_bulk([row.run_id for row in rows])
    return BulkPage(
        action=action,
        outcome=outcome,
        rows=[(row, present.get(row.run_id)) for row in rows],
        after=rows[-1].number if len(found) > RUNS_PER_PAGE else None,
    )
