"""How long runs usually take: the median of the completed ones among the last runs of their deployment or flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from runs.models import FlowRun
from runs.pages.selectors.bounds import LastOf, come_within
from runs.pages.selectors.strips import RUNS_SHOWN, usual_seconds

# The most deployments and flows that one query reads.
MOST = 60
COLUMNS = ("id", "flow_id", "deployment_id", "expected_start_time", "state_type", "total_run_time")


class Origin(Protocol):
    @property
    def deployment_id(self) -> UUID | None: ...

    @property
    def flow_id(self) -> UUID: ...


class Running(Origin, Protocol):
    @property
    def state_type(self) -> str | None: ...

    @property
    def state_timestamp(self) -> datetime | None: ...

    @property
    def total_run_time(self) -> timedelta: ...


def last_runs_of(runs: Iterable[Origin]) -> list[LastOf]:
    """Return the last runs of the deployments of these runs, or else of their flows, for `come_within`."""
    return list(dict.fromkeys(map(_like, runs)))[:MOST]


def _like(run: Origin) -> LastOf:
    if run.deployment_id:
        return LastOf("deployment_id", run.deployment_id, RUNS_SHOWN)
    return LastOf("flow_id", run.flow_id, RUNS_SHOWN)


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual durations of some deployments and flows."""

    durations: Mapping[LastOf, timedelta]

    def of(self, run: Origin) -> timedelta | None:
        return self.durations.get(_like(run))


def usual_among(last_of: Sequence[LastOf], runs: Sequence[FlowRun]) -> Usual:
    """Return the usual durations of these deployments and flows; their runs are among `runs`, oldest first."""
    found: dict[LastOf, list[FlowRun]] = {one: [] for one in last_of}
    of_flows = {one.whose: one for one in last_of if one.column == "flow_id"}
    of_deployments = {one.whose: one for one in last_of if one.column == "deployment_id"}
    for run in runs:
        for one in (of_flows.get(run.flow_id), of_deployments.get(run.deployment_id) if run.deployment_id else None):
            if one:
                found[one].append(run)
    medians = {one: usual_seconds(rows[-RUNS_SHOWN:]) for one, rows in found.items()}
    return Usual({one: timedelta(seconds=median) for one, median in medians.items() if median is not None})


def usual_of(run: Origin, now: datetime) -> Usual:
    """Return how long the runs of this run's deployment, or else of its flow, usually take. One query."""
    last_of = last_runs_of([run])
    return usual_among(last_of, come_within([], now, *COLUMNS, last_of=last_of))


@dataclass(frozen=True, slots=True)
class Elapsed:
    """How far a running run is, compared with what is usual."""

    since: datetime
    so_far: timedelta
    usual: timedelta | None

    @property
    def longer(self) -> timedelta | None:
        """By how much it already runs longer than usual."""
        return self.so_far - self.usual if self.usual is not None and self.so_far > self.usual else None

    @property
    def left(self) -> timedelta | None:
        return self.usual - self.so_far if self.usual is not None and self.so_far <= self.usual else None

    @property
    def percent(self) -> int:
        """The part of the bar for the time so far, up to what is usual."""
        longest = max(self.so_far, self.usual or self.so_far)
        return round(100 * (min(self.so_far, self.usual or longest) / longest)) if longest else 0

    @property
    def beyond(self) -> int:
        """The part of the bar for the time beyond what is usual; both parts together are the whole bar then."""
        return 100 - self.percent if self.longer else 0


def elapsed(run: Running, usual: Usual, now: datetime) -> Elapsed | None:
    """Return how long a run has run so far, with what earlier attempts took; None for one that does not run."""
    if run.state_type != "RUNNING" or run.state_timestamp is None:
        return None
    since = run.state_timestamp - run.total_run_time
    return Elapsed(since, max(now - since, timedelta()), usual.of(run))
