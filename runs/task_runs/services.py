"""Task runs: created once per call of a task in a flow run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from orchestration.acts import note
from orchestration.core.states import State
from orchestration.errors import FlowRunNotFound, TaskRunNotFound
from orchestration.new_runs import NewTaskRun
from orchestration.proposals import Proposal
from orchestration.tables import dialect
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Unit
from orionflow.contract.ids import uuid7
from runs.errors import RunIdTaken
from runs.flow_runs.services import delete_below_task_runs
from runs.models import TaskRun


@dataclass(frozen=True, slots=True)
class Made:
    """A task run that was created or found; `first` is the state that was written for it, None if it existed."""

    run: TaskRun
    is_new: bool
    first: State | None = None


@repeated_on_conflict
def create_task_run(*, new: NewTaskRun, run_id: UUID | None = None, state: State | None, now: datetime) -> Made:
    """Create the task run unless it exists: each call of a task in a flow run is stored once, and never changed.

    Raises FlowRunNotFound, and RunIdTaken if the id belongs to another call.
    """
    with write_transaction():
        known, epoch = _known(new, run_id)
        if known is not None:
            return Made(TaskRun.objects.get(pk=known), False)
        unit = Unit(now)
        moving = unit.create(new, run_id or uuid7(), epoch=epoch)
        if state is not None:
            unit.propose(moving, Proposal(state, now, force=True))
        columns = moving.row(now)
        unit.write()
        given = {"tags": list(new.tags), "task_inputs": new.task_inputs, "empirical_policy": new.empirical_policy}
        return Made(TaskRun(**{**columns, **given}), True, moving.state)


# A client without batches creates as many task runs as it proposes states, so this avoids the cost of the ORM, too.
# The flow run comes first, so that one row also says that it exists, and which attempt it is at.
_SAME_CALL = (
    "SELECT t.id, f.epoch FROM runs_flowrun f LEFT JOIN runs_taskrun t ON t.flow_run_id = f.id AND t.task_key = %s "
    "AND t.dynamic_key = %s WHERE f.id = %s"
)
_SAME_ID = "SELECT flow_run_id, task_key, dynamic_key FROM runs_taskrun WHERE id = %s"
_SAME_CALL_ALONE = (
    "SELECT id FROM runs_taskrun WHERE flow_run_id IS NULL AND task_key = %s AND dynamic_key = %s "
    "ORDER BY created LIMIT 1"
)


def _known(new: NewTaskRun, run_id: UUID | None) -> tuple[UUID | None, int]:
    """Return the id of the stored run of this call, and the attempt of its flow run.

    Raises FlowRunNotFound, and RunIdTaken if the id belongs to another call.
    """
    db = dialect()
    with connection.cursor() as cursor:
        if run_id is not None:
            # A request that is repeated, because its answer was lost, has the same id.
            cursor.execute(_SAME_ID, [db.uuid(run_id)])
            if (stored := cursor.fetchone()) is not None:
                flow_run_id = None if stored[0] is None else db.read_uuid(stored[0])
                if (flow_run_id, *stored[1:]) != (new.flow_run_id, new.task_key, new.dynamic_key):
                    raise RunIdTaken(id=run_id)
                return run_id, 0
        if new.flow_run_id is None:
            if connection.vendor == "postgresql":
                # No constraint prevents two equal calls without a flow run, so a lock makes one wait for the other.
                cursor.execute(
                    "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [new.task_key + new.dynamic_key]
                )
            cursor.execute(_SAME_CALL_ALONE, [new.task_key, new.dynamic_key])
            found = cursor.fetchone()
            return (None if found is None else db.read_uuid(found[0])), 0
        cursor.execute(_SAME_CALL, [new.task_key, new.dynamic_key, db.uuid(new.flow_run_id)])
        found = cursor.fetchone()
    if found is None:
        raise FlowRunNotFound(id=new.flow_run_id)
    return (None if found[0] is None else db.read_uuid(found[0])), found[1]


def update_task_run(*, run_id: UUID, name: str, now: datetime) -> None:
    with write_transaction():
        if not TaskRun.objects.filter(pk=run_id).update(name=name, updated=now):
            raise TaskRunNotFound(id=run_id)


@repeated_on_conflict
def delete_task_run(*, run_id: UUID) -> None:
    """Delete the task run with its states; flow runs that are nested in it stay. Raises TaskRunNotFound."""
    with write_transaction():
        doomed = TaskRun.objects.filter(pk=run_id)
        found = doomed.select_for_update().values("name", "state_type").first()
        if not found:
            raise TaskRunNotFound(id=run_id)
        note("task-run", run_id, name=found["name"], before={"name": found["name"], "state": found["state_type"]})
        delete_below_task_runs(doomed.values("pk"))
        doomed._raw_delete(doomed.db)
