"""Runs whose job variables fit the template of their work pool no longer: claimed, and crashed before anybody has them.

Job variables were judged when they were stored. A template that was changed since is asked again here, at the last
moment before an agent acts by them. It costs nothing where pools have no templates.
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

from deployments.models import Deployment, WorkQueue
from deployments.work.core.job_variables import misfit
from orchestration.core.states import crashed
from orchestration.errors import FlowRunNotFound, JobVariablesMisfit, RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun

logger = logging.getLogger("orion.dispatch")

WHAT_TO_DO = "Change them, or the template, and retry the run."


def crash_misfits(claims: Mapping[UUID, int], *, pools: Iterable[UUID], now: datetime) -> set[UUID]:
    """Crash those of these claimed runs (with their epochs) that do not fit the templates of these pools; their ids."""
    reasons = dict(_misfits(claims, pools))
    for run_id, reason in reasons.items():
        try:
            _crash(run_id, claims[run_id], f"{reason} {WHAT_TO_DO}", now)
        except Exception:
            # No agent gets it all the same, and it is judged again when its lease is over. The others are not held up.
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
    """Milliseconds of work, and the same for each run of a deployment as long as nobody changes the template."""
    return misfit(json.loads(template), *json.loads(layers), complete=True)


def _crash(run_id: UUID, epoch: int, message: str, now: datetime) -> None:
    """By force: it would crash as often as it may be tried again after a crash."""
    # Whoever was faster has given it to somebody else, or deleted it.
    with suppress(RunLost, FlowRunNotFound):
        propose_flow_run_state(
            run_id=run_id, proposed=crashed(message), now=now, epoch=epoch, force=True, author="work pool"
        )
