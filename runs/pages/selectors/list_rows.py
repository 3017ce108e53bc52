"""The rows of the lists of runs: counted for several filters at once, and what columns show of other tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from deployments.models import Deployment
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count, capped_counts
from runs.pages.selectors.runs import CHOICE_CAP, RunFilter, listed
from runs.pages.selectors.task_runs import conditions_by_row, indexed_task_runs


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
