"""How the runs of a flow ended over time, how long the last ones took, and which versions they had: for its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from statistics import quantiles
from uuid import UUID

from orchestration.core.states import StateType
from orchestration.sight import sees_in_part
from orchestration.tables import dialect
from orionflow.contract.states import BAD, TERMINAL
from runs.history.selectors.history import history
from runs.models import FlowRun
from runs.pages.selectors.reach import BY
from runs.pages.selectors.strips import completed_seconds, drift_in_words
from runs.roll_ups.selectors import Subject

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The newest runs whose durations and versions are read.
RUNS_READ = 500
COLUMNS = (
    *("id", "name", "state_type", "state_name", "expected_start_time", "start_time", "end_time"),
    *("total_run_time", "flow_version", "deployment_version"),
)
# The due runs among which those are looked for that wait for a retry.
DUE_READ = 2_000
# The runs of the chart, whose durations are compared with those of as many before, if at least so many completed.
TREND_RUNS, FEWEST = 60, 10
VERSIONS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The runs of one slot of time that completed, and those that failed or crashed."""

    since: datetime
    until: datetime
    completed: int
    failed: int


def outcomes_of_flow(*, flow_id: UUID, slots: int, step: timedelta, now: datetime) -> list[Outcomes]:
    """Return the outcomes in equal slots, oldest first; the last one contains `now`. One query, from the roll-ups.

    Slots begin at whole multiples of their length in UTC, and the roll-ups of a flow have hours: so only runs of the
    current hour are counted one by one.
    """
    end = EPOCH + step * (ceil((now - EPOCH) / step) or 1)
    runs = FlowRun.objects.filter(flow=flow_id, expected_start_time__isnull=False)
    subject = None if sees_in_part() else Subject("flow", flow_id)
    found = history(runs, start=end - step * slots, end=end, step=step, now=now, subject=subject)
    return [
        Outcomes(
            one.interval_start,
            one.interval_end,
            sum(state.count_runs for state in one.states if state.state_type == StateType.COMPLETED),
            sum(state.count_runs for state in one.states if state.state_type in BAD),
        )
        for one in found
    ]


@dataclass(frozen=True, slots=True)
class Duration:
    """A percentile of durations in seconds, and the same of the runs before; None if these are too few."""

    seconds: float
    before: float | None

    @property
    def drift(self) -> str:
        return drift_in_words(round(100 * (self.seconds / self.before - 1)) if self.before else None)


@dataclass(slots=True)
class Version:
    """The runs of one version among those that were read, and the newest of them."""

    name: str
    newest: FlowRun
    runs: int = 0
    finished: int = 0
    completed: int = 0

    @property
    def completed_percent(self) -> int | None:
        """Return the share of finished runs that completed; it is 100 only if all of them did."""
        return 100 * self.completed // self.finished if self.finished else None


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The newest runs of a flow that have begun, newest first, with the columns that are summed up."""

    runs: Sequence[FlowRun]

    @property
    def trend(self) -> Sequence[FlowRun]:
        """The runs of the chart, oldest first."""
        return self.runs[:TREND_RUNS][::-1]

    def duration(self, percent: int) -> Duration | None:
        """Return a percentile of the completed runs of the chart, beside that of as many runs before; None if none is.

        The fiftieth is the usual duration.
        """
        last, before = (completed_seconds(some) for some in (self.trend, self.runs[TREND_RUNS : 2 * TREND_RUNS]))
        if not last:
            return None
        return Duration(_percentile(last, percent), _percentile(before, percent) if len(before) >= FEWEST else None)

    def versions(self) -> list[Version]:
        """Return the versions that these runs recorded, the one of the newest run first."""
        found: dict[str, Version] = {}
        for run in self.runs:
            if name := run.deployment_version or run.flow_version or "":
                version = found.setdefault(name, Version(name, run))
                version.runs += 1
                version.finished += run.state_type in TERMINAL
                version.completed += run.state_type == StateType.COMPLETED
        return list(found.values())


def _percentile(seconds: Sequence[float], percent: int) -> float:
    # Interpolated between the two nearest values, so that the fiftieth is the median.
    if len(seconds) == 1:
        return seconds[0]
    return quantiles(seconds, n=100, method="inclusive")[percent - 1]


def last_runs_of_flow(*, flow_id: UUID, now: datetime) -> LastRuns:
    """Read the newest runs that have begun. One query, with a range of an index for each state: no late run is read.

    Runs that wait for a retry have begun; they are looked for among the newest of those that are due.
    """
    db = dialect()
    columns = ", ".join(COLUMNS)
    newest = f"SELECT {columns} FROM runs_flowrun WHERE flow_id = %s AND {{}} ORDER BY {BY} DESC LIMIT {{}}"
    due = newest.format(f"state_type = 'SCHEDULED' AND {BY} <= %s", DUE_READ)
    parts = [f"SELECT {columns} FROM ({due}) due WHERE start_time IS NOT NULL"]
    values = [db.uuid(flow_id), db.moment(now)]
    for is_in in ("state_type IS NULL", *(f"state_type = '{one.value}'" for one in StateType if one != "SCHEDULED")):
        parts.append(f"SELECT {columns} FROM ({newest.format(f'{is_in} AND {BY} IS NOT NULL', RUNS_READ)}) found")
        values.append(db.uuid(flow_id))
    whole = f"{' UNION ALL '.join(parts)} ORDER BY {BY} DESC, id DESC LIMIT {RUNS_READ}"
    return LastRuns(list(FlowRun.objects.raw(whole, values)))
