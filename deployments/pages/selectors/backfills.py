"""The pages of backfills: the choices of the form, and the progress of a backfill with its times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deployments.backfills.selectors import Progress, backfills_of, progress_of, runs_of_times, waits_for_others
from deployments.models import Backfill, BackfillTime, Deployment, Schedule
from deployments.pages.local_times import local_text
from deployments.pages.meters import Meter
from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.selectors import with_calendars
from orchestration.core.states import TERMINAL, StateType
from orionflow.contract.states import BAD
from runs.models import FlowRun

TIMES_PER_PAGE = 50
MOST_LISTED = 20
# Schedules that the form offers.
MOST_SCHEDULES = 50


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """A backfill with its progress, for a meter."""

    backfill: Backfill
    progress: Progress

    @property
    def meter(self) -> Meter:
        return Meter(self.progress.ended, self.backfill.total)

    @property
    def failed(self) -> int:
        return sum(self.progress.states.get(state, 0) for state in BAD)


def backfill_lines(*, deployment_id: UUID) -> list[BackfillLine]:
    """Return the newest backfills of a deployment."""
    found = list(backfills_of(deployment_id)[:MOST_LISTED])
    progress = progress_of(found)
    return [BackfillLine(one, progress.get(one.pk, Progress())) for one in found]


def schedules_to_follow(*, deployment_id: UUID) -> list[Schedule]:
    return list(with_calendars(Schedule.objects.filter(deployment=deployment_id))[:MOST_SCHEDULES])


def deployment_to_backfill(*, deployment_id: UUID) -> Deployment | None:
    return Deployment.objects.select_related("flow", "work_queue").filter(pk=deployment_id).first()


@dataclass(frozen=True, slots=True)
class TimeRow:
    """A time, as text in the schedule's zone, and its run, if that was created and not deleted."""

    number: int
    at: datetime
    text: str
    run_id: UUID | None
    run: FlowRun | None


@dataclass(frozen=True, slots=True)
class BackfillPage:
    """A backfill, its progress, and a page of its times: those with a run, last first, or those without one."""

    line: BackfillLine
    words: str
    rows: Sequence[TimeRow]
    after: int | None
    is_held_up: bool

    @property
    def states(self) -> Mapping[str, int]:
        return self.line.progress.states

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it may create runs, or was cancelled by a request that failed before all of its runs were."""
        status, left = self.line.backfill.status, set(self.states) - TERMINAL - {StateType.CANCELLING}
        return bool(left) if status == Backfill.Status.CANCELLED else status != Backfill.Status.DONE


def backfill_page(*, backfill_id: UUID, left: bool, after: int | None, now: datetime) -> BackfillPage | None:
    backfill = (
        Backfill.objects.select_related("deployment__flow", "deployment__work_queue__work_pool")
        .filter(pk=backfill_id)
        .first()
    )
    if backfill is None:
        return None
    progress = progress_of([backfill]).get(backfill.pk, Progress())
    times = BackfillTime.objects.filter(backfill=backfill, run_id__isnull=left)
    if after is not None:
        times = times.filter(number__gt=after) if left else times.filter(number__lt=after)
    found = list(times.order_by("number" if left else "-number")[: TIMES_PER_PAGE + 1])
    rows = found[:TIMES_PER_PAGE]
    waits = backfill.status == Backfill.Status.ACTIVE and bool(progress.left) and waits_for_others(backfill, now)
    return BackfillPage(
        line=BackfillLine(backfill, progress),
        words=_words(backfill),
        rows=_rows(backfill, rows),
        after=rows[-1].number if len(found) > TIMES_PER_PAGE else None,
        is_held_up=waits,
    )


def _words(backfill: Backfill) -> str:
    try:
        return read_definition(backfill.definition).describe()
    except ScheduleError as error:
        return str(error)


def _rows(backfill: Backfill, times: Sequence[BackfillTime]) -> list[TimeRow]:
    zone = read_definition(backfill.definition).zone
    runs = runs_of_times(times)
    return [
        TimeRow(
            one.number,
            one.at,
            local_text(one.at.astimezone(zone)),
            one.run_id,
            runs.get(one.run_id) if one.run_id else None,
        )
        for one in times
    ]
