"""I9 and I10: each planned time has one run, crash retries keep to their budget, and pauses end by their deadline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from deployments.upkeep.selectors.invariants.laws import ROWS_AT_ONCE, Law, Violation
from runs.models import FlowRun, FlowRunState

# A service that ticks every few seconds ends pauses.
_LOOP = timedelta(minutes=1)

TIMES = (
    Law(
        "I9",
        "schedule",
        "SELECT schedule_id, COUNT(*), expected_start_time FROM runs_flowrun WHERE schedule_id IS NOT NULL "
        "AND auto_scheduled GROUP BY schedule_id, deployment_id, expected_start_time HAVING COUNT(*) > 1",
        "planned {} runs for {}",
    ),
    Law(
        "I10",
        "flow-run",
        "SELECT r.id, r.state_timestamp FROM runs_flowrun r LEFT JOIN deployments_lease l ON l.flow_run_id = r.id "
        "WHERE r.state_type = 'CANCELLING' AND l.flow_run_id IS NULL AND r.epoch > 0 AND r.state_timestamp < %s",
        "has been Cancelling since {}, and no agent holds it that could finish that",
        patience=_LOOP,
    ),
)


def pauses_past_their_deadline(now: datetime) -> Iterator[Violation]:
    paused = FlowRun.objects.filter(state_type="PAUSED").values("state_id")
    states = FlowRunState.objects.filter(pk__in=paused).values_list("flow_run_id", "details__pause_timeout")
    for run_id, until in states.iterator(ROWS_AT_ONCE):
        if until and datetime.fromisoformat(until) < now - _LOOP:
            yield Violation("I10", f"flow-run {run_id}", f"is paused, though its pause ended at {until}")


def crashes_over_their_budget() -> Iterator[Violation]:
    """Check I6: crash retries are counted in the run's policy, and never exceed it."""
    crashed = FlowRun.objects.filter(empirical_policy__crash_count__gt=0).values_list("pk", "empirical_policy")
    for run_id, policy in crashed.iterator(ROWS_AT_ONCE):
        most = policy.get("crash_retries") or 0
        if policy["crash_count"] > most:
            message = f"was tried again after {policy['crash_count']} crashes; its policy allows {most}"
            yield Violation("I6", f"flow-run {run_id}", message)
