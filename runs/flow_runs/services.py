"""Flow runs: created once per idempotency key, updated by column, deleted with all their rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deployments.models import Deadline, Deployment, GlobalSlot, Lease, SkippedTime, Slot
from orchestration.acts import current_act, note
from orchestration.compiled import Compiled
from orchestration.core.states import State, StateType
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orchestration.new_runs import NewFlowRun
from orchestration.proposals import Proposal
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Unit
from orionflow.contract.ids import uuid7
from orionflow.contract.kinds import FINDER_NAME
from runs.errors import CodeInParameters, FlowNotFound, JobVariablesSettled, RunIdTaken
from runs.models import (
    CacheEntry,
    Flow,
    FlowRun,
    FlowRunInput,
    FlowRunState,
    Log,
    Occurrence,
    RunRetry,
    TaskRun,
    TaskRunState,
)

UPDATABLE = frozenset(
    {"name", "flow_version", "parameters", "empirical_policy", "tags", "infrastructure_pid", "job_variables", "process"}
    | {"environment_id"}
)

SKIPS_KEPT = timedelta(days=7)


_flow = Compiled(lambda id: Flow.objects.filter(pk=id).order_by().values_list("pk"))


@repeated_on_conflict
def create_flow_run(*, new: NewFlowRun, state: State | None, now: datetime) -> tuple[FlowRun, bool]:
    """Return the run, and whether it is new. For a known idempotency key or id, the stored run is returned unchanged.

    The first state is forced: the caller chooses it. Raises FlowNotFound, and RunIdTaken for the id of another run.
    """
    with write_transaction():
        if run := _existing(new):
            return run, False
        # Reading the flow also locks it. On SQLite a missing flow would be noticed only at commit.
        if not _flow(new.flow_id):
            raise FlowNotFound(id=new.flow_id)
        unit = Unit(now)
        moving = unit.create(new, new.id or uuid7())
        if state is not None:
            unit.propose(moving, Proposal(state, now, force=True))
        columns = moving.row(now)
        unit.write()
        return FlowRun(**{**columns, "empirical_policy": new.empirical_policy}), True


def _existing(new: NewFlowRun) -> FlowRun | None:
    if new.idempotency_key is not None:
        known: FlowRun | None = FlowRun.objects.filter(flow_id=new.flow_id, idempotency_key=new.idempotency_key).first()
        if known:
            return known
    same_id: FlowRun | None = FlowRun.objects.filter(pk=new.id).first() if new.id else None
    if same_id and (same_id.flow_id, same_id.idempotency_key) != (new.flow_id, new.idempotency_key):
        raise RunIdTaken(id=new.id)
    return same_id


@repeated_on_conflict
def update_flow_run(*, run_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """Change columns that the rules do not own. Keys of the policy that are not sent keep their values.

    Raises FlowRunNotFound, JobVariablesSettled if the run is no longer scheduled, and CodeInParameters.
    """
    unknown = changes.keys() - UPDATABLE
    if unknown:
        raise ValueError(f"not for update_flow_run: {sorted(unknown)}")
    with write_transaction():
        # no_key: task runs can be created in it meanwhile, because its key stays.
        known = FlowRun.objects.select_for_update(no_key=True).only("empirical_policy", "state_type")
        # Old values are read only for the audit log, not for reports of the run itself.
        known = known.only(*UPDATABLE, "state_type") if current_act.get() else known
        run = known.filter(pk=run_id).first()
        if run is None:
            raise FlowRunNotFound(id=run_id)
        if "job_variables" in changes and run.state_type != StateType.SCHEDULED:
            raise JobVariablesSettled(state=run.state_type or "PENDING")
        if (
            changes.keys() & {"parameters", "job_variables"}
            and FlowRun.objects.filter(pk=run_id, flow__name=FINDER_NAME).exists()
        ):
            raise CodeInParameters
        columns = {**changes, "updated": now}
        if "empirical_policy" in columns:
            columns["empirical_policy"] = {**run.empirical_policy, **columns["empirical_policy"]}
        if current_act.get():
            before = {name: getattr(run, name) for name in changes}
            note("flow-run", run_id, name=run.name, before=before, after=dict(changes))
        FlowRun.objects.filter(pk=run_id).update(**columns)


@repeated_on_conflict
def delete_flow_run(*, run_id: UUID, now: datetime | None = None) -> None:
    """Delete the run with its task runs, states and logs, but not its nested flow runs.

    A run that was planned for a time after `now` is not planned again. Raises FlowRunNotFound.
    """
    with write_transaction():
        fields = (
            "pk",
            "name",
            "state_type",
            "deployment_id",
            "auto_scheduled",
            "expected_start_time",
            "idempotency_key",
            "schedule_id",
        )
        # Not no_key: whoever adds a state or a task run now has to wait, and then finds it gone.
        run = FlowRun.objects.select_for_update().filter(pk=run_id).only(*fields).first()
        if run is None:
            raise FlowRunNotFound(id=run_id)
        if run.auto_scheduled:
            # Without a run, the planner would see a time that has none yet.
            _skip_time_of(run, now or current_time())
        note("flow-run", run_id, name=run.name, before={"name": run.name, "state": run.state_type})
        delete_flow_runs(FlowRun.objects.filter(pk=run_id).values("pk"))


def _skip_time_of(run: FlowRun, now: datetime) -> None:
    at = run.expected_start_time
    if run.deployment_id is None or at is None or at < now:
        return
    deployment = Deployment.objects.filter(pk=run.deployment_id).only("pk").first()
    if deployment is None:
        return
    # Times so long ago are not planned again, so their skips can go.
    SkippedTime.objects.filter(deployment=deployment, at__lt=now - SKIPS_KEPT).delete()
    SkippedTime.objects.bulk_create(
        [SkippedTime(deployment=deployment, at=at, key=run.idempotency_key or "", schedule_id=run.schedule_id)],
        ignore_conflicts=True,
    )


def delete_flow_runs(runs: QuerySet[FlowRun, Any]) -> None:
    """Delete runs with one statement per table; the ORM's cascade would load every row."""
    tasks = TaskRun.objects.filter(flow_run__in=runs).values("pk")
    delete_below_task_runs(tasks)
    for rows in (
        TaskRun.objects.filter(flow_run__in=runs),
        FlowRunState.objects.filter(flow_run__in=runs),
        FlowRunInput.objects.filter(flow_run__in=runs),
        Deadline.objects.filter(flow_run__in=runs),
        Lease.objects.filter(flow_run__in=runs),
        GlobalSlot.objects.filter(flow_run__in=runs),
        Occurrence.objects.filter(run__in=runs),
        Log.objects.filter(flow_run_id__in=runs),
        RunRetry.objects.filter(flow_run__in=runs),
    ):
        rows._raw_delete(rows.db)
    doomed = FlowRun.objects.filter(pk__in=runs)
    doomed._raw_delete(doomed.db)


def delete_below_task_runs(tasks: QuerySet[TaskRun, Any]) -> None:
    """Delete what belongs to these task runs, and detach the flow runs that are nested in them."""
    FlowRun.objects.filter(parent_task_run__in=tasks).update(parent_task_run=None)
    for rows in (
        CacheEntry.objects.filter(task_run_state__task_run__in=tasks),
        Slot.objects.filter(task_run__in=tasks),
        TaskRunState.objects.filter(task_run__in=tasks),
    ):
        rows._raw_delete(rows.db)
