"""Whether runs of a deployment started in time, and met its deadlines, by the columns of the rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import FloatField, Func

from deployments.models import Deployment
from orchestration.core.states import TERMINAL
from runs.models import FlowRun
from runs.periods import period_text


class SecondsBetween(Func):
    """The seconds from the second moment to the first one."""

    arity = 2
    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Django would call Python for each row.
        later, sooner = (compiler.compile(one) for one in self.get_source_expressions())
        sql = f"((julianday({later[0]}) - julianday({sooner[0]})) * 86400.0)"
        return sql, (*later[1], *sooner[1])


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run of the deployment is late: the limit of the server, and the deadlines of the deployment."""

    start: timedelta
    finish: timedelta | None

    @classmethod
    def of(cls, deployment: Deployment, late_after: int) -> Limits:
        starts = [timedelta(seconds=late_after), deployment.must_start_within]
        return cls(min(one for one in starts if one is not None), deployment.must_finish_within)

    @property
    def words(self) -> str:
        words = f"started within {period_text(self.start)}"
        return f"{words} and finished within {period_text(self.finish)}" if self.finish is not None else words

    def is_kept_by(self, run: FlowRun, now: datetime) -> bool | None:
        """Whether the run was in time; None as long as it may still start in time, and if it ended before it had to."""
        due = run.expected_start_time
        if due is None:
            return None
        is_over = run.state_type in TERMINAL
        if run.start_time is None:
            waited_until = (run.state_timestamp or now) if is_over else now
            return False if waited_until > due + self.start else None
        ended = (run.end_time or run.state_timestamp or now) if is_over else now
        finished_in_time = self.finish is None or ended <= due + self.finish
        return finished_in_time and run.start_time <= due + self.start


@dataclass(frozen=True, slots=True)
class OnTime:
    """The runs that had to start, and those of them that were late."""

    number: int
    late: Sequence[FlowRun]
    limits: Limits

    @property
    def percent(self) -> int:
        """Return the share of runs in time; it is 100 only if no run was late."""
        return 100 * (self.number - len(self.late)) // self.number

    @property
    def words(self) -> str:
        in_time = self.number - len(self.late)
        return f"{in_time} of {self.number} in time: {self.limits.words} of the planned time"


def on_time(runs: Iterable[FlowRun], limits: Limits, now: datetime) -> OnTime | None:
    """Return the share of runs in time; None if no run had to start yet."""
    judged = [(run, kept) for run in runs if (kept := limits.is_kept_by(run, now)) is not None]
    return OnTime(len(judged), [run for run, kept in judged if not kept], limits) if judged else None
