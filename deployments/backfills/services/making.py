"""Create the runs of backfills, a few at a time, and never while other runs wait for an agent in the same queue.

Any number of tickers may do this: a backfill is locked while its runs are created, and other tickers skip it.
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from deployments.backfills.core.times import NamedTime
from deployments.backfills.selectors import waits_for_others
from deployments.backfills.services.planning import parameters_of
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.models import Backfill, BackfillTime, Deployment
from deployments.schedules.core import ScheduleError, read_definition
from orchestration.authors import refusal
from orchestration.errors import DomainError
from orchestration.one_by_one import Turns, work_on_each
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun
from runs.querysets import is_open

logger = logging.getLogger("orion.backfills")

# Runs that one transaction creates at most, however many may be open at the same time.
STEP = 20
BACKFILLS_AT_A_TICK = 50
# Many backfills may wait for their runs or for an agent for long.
_turns: Turns[tuple[datetime, UUID]] = Turns()


def make_runs_of_backfills(now: datetime) -> int:
    """Create the runs that may be created now, and return their number.

    An error with one backfill does not stop the others; the first error is raised at the end.
    """
    active = Backfill.objects.filter(status=Backfill.Status.ACTIVE)
    keys = _turns.next_of(sorted(active.values_list("created", "pk")), BACKFILLS_AT_A_TICK)
    return work_on_each([pk for _, pk in keys], lambda pk: _step(pk, now), "Backfill")


@repeated_on_conflict
def _step(backfill_id: UUID, now: datetime) -> int:
    with write_transaction():
        held = Backfill.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        held = held.select_related("deployment__work_queue__work_pool")
        backfill = held.filter(pk=backfill_id, status=Backfill.Status.ACTIVE).first()
        if backfill is None:
            return 0
        still_open = _open_runs(backfill)
        room = min(at_once_of(backfill) - still_open, STEP)
        left = BackfillTime.objects.filter(backfill=backfill, run_id__isnull=True).order_by("number")
        times = list(left[: max(room, 1)])
        if not times:
            if not still_open:
                Backfill.objects.filter(pk=backfill_id).update(status=Backfill.Status.DONE, ended_at=now, updated=now)
            return 0
        if reason := refusal(backfill.author, "deployments.run", Deployment._meta.db_table, backfill.deployment_id):
            problem = f"Its author may no longer run the deployment: {reason} A user who may has to resume it."
            Backfill.objects.filter(pk=backfill_id).update(status=Backfill.Status.PAUSED, problem=problem, updated=now)
            return 0
        if room <= 0 or waits_for_others(backfill, now):
            return 0
        return _make(backfill, times, now)


def at_once_of(backfill: Backfill) -> int:
    """Return how many runs may be open: one, if its runs must not overlap and would be skipped or cancelled."""
    return backfill.at_once if backfill.deployment.overlap == "allow" else 1


def _open_runs(backfill: Backfill) -> int:
    """Count the runs that have not ended. Ended ones are marked, so that they are not read again."""
    times = BackfillTime.objects.filter(backfill=backfill, run_id__isnull=False, is_over=False)
    ids = {run_id: pk for run_id, pk in times.values_list("run_id", "pk") if run_id}
    still_open = set(FlowRun.objects.filter(is_open(), pk__in=ids).values_list("pk", flat=True)) if ids else set()
    if over := [pk for run_id, pk in ids.items() if run_id not in still_open]:
        BackfillTime.objects.filter(pk__in=over).update(is_over=True)
    return len(still_open)


def _make(backfill: Backfill, times: list[BackfillTime], now: datetime) -> int:
    made = 0
    try:
        zone = read_definition(backfill.definition).zone
        for time in times:
            run, _ = create_run_of_deployment(
                deployment_id=backfill.deployment_id,
                options=_run_options(backfill, backfill.deployment, NamedTime(time.at, time.at.astimezone(zone))),
                state=None,
                now=now,
            )
            BackfillTime.objects.filter(pk=time.pk).update(run_id=run.pk)
            made += 1
    except (DomainError, BadTemplate, ScheduleError) as error:
        # The next run would fail in the same way; a user must correct it.
        Backfill.objects.filter(pk=backfill.pk).update(status=Backfill.Status.PAUSED, problem=str(error), updated=now)
        logger.warning("Backfill %r is paused: %s", backfill.name, error)
    return made


def _run_options(backfill: Backfill, deployment: Deployment, time: NamedTime) -> RunOptions:
    # With the deployment's own overlap policy, a run could be skipped or cancelled; a run of a backfill waits instead.
    policy = {} if deployment.overlap == "allow" else {"overlap": "queue"}
    return RunOptions(
        tags=[backfill.tag],
        parameters=parameters_of(deployment, backfill.parameters, backfill.time_parameter, time),
        context={"backfill": backfill.name, "scheduled_start_time": time.local.isoformat()},
        empirical_policy=policy,
        idempotency_key=f"backfill {backfill.pk} {time.at.isoformat()}",
        work_queue_name=backfill.work_queue_name,
        created_by={"id": str(backfill.pk), "type": "BACKFILL", "display_value": backfill.name},
    )
