"""Runs whose job variables no longer fit the template of their work pool: they are claimed, then crashed.

Job variables were validated when they were stored. If the template has changed since, they are validated again here, at
the last moment before an agent uses them. Pools without templates have no cost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from deployments.errors import JobVariablesMisfit
from deployments.models import Deployment, WorkQueue
from deployments.work.core.job_variables import misfit
from orchestration.core.states import crashed
from orchestration.errors import FlowRunNotFound, RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun

logger = logging.getLogger("orion.dispatch")

WHAT_TO_DO = "Change them, or the template, and retry the run."


def crash_misfits(claims: Mapping[UUID, int], *, pools: Iterable[UUID], now: datetime) -> set[UUID]:
    """Crash those claimed runs (given with their epochs) that do not fit templates of these pools. Return their ids."""
    reasons = dict(_misfits(claims, pools))
    for run_id, reason in reasons.items():
        try:
            _crash(run_id, claims[run_id], f"{reason} {WHAT_TO_DO}", now)
        except Exception:
            # No agent gets the run anyway, and it is judged again when its lease expires. Continue with the other runs.
            logger.exception("The run %s, which does not fit its work pool, could not be crashed.", run_id)
    return set(reasons)


def _misfits(run_ids: Iterable[UUID], pools: Iterable[UUID]) -> Iterable[tuple[UUID, str]]:
    runs = FlowRun.objects.filter(pk__in=list(run_ids), work_queue_id__isnull=False, deployment_id__isnull=False)
    claimed = list(runs.values_list("pk", "work_queue_id", "deployment_id", "job_variables"))
    with_templates = WorkQueue.objects.filter(work_pool__in=list(pools)).select_related("work_pool")
    queues = with_templates.in_bulk({one[1] for one in claimed})
    waiting = [one for one in claimed if one[1] in queues]
    of_deployments: dict[UUID, Any] = dict(
        Deployment.objects.filter(pk__in={one[2] for one in waiting}).values_list("pk", "job_variables")
    )
    for run_id, queue_id, deployment_id, own in waiting:
        pool = queues[queue_id].work_pool
        if pool and (reason := _judged(pool.base_job_template, of_deployments.get(deployment_id, {}), own)):
            yield run_id, str(JobVariablesMisfit(pool=pool.name, reason=reason))


def _judged(template: Any, *layers: Any) -> str | None:
    return _judged_text(json.dumps(template), json.dumps(layers))


@lru_cache(maxsize=256)
def _judged_text(template: str, layers: str) -> str | None:
    """Validate job variables. It takes milliseconds, with the same result for each run until the template changes."""
    return misfit(json.loads(template), *json.loads(layers), complete=True)


def _crash(run_id: UUID, epoch: int, message: str, now: datetime) -> None:
    """Crash the run by force: the rules would retry it, and it would crash again each time."""
    # Another process has already given the run to another agent, or deleted it.
    with suppress(RunLost, FlowRunNotFound):
        propose_flow_run_state(
            run_id=run_id, proposed=crashed(message), now=now, epoch=epoch, force=True, author="work pool"
        )
