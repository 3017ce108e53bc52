"""Finished runs whose calls are recorded: rows for tests of retries from tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.models import Deployment
from orchestration.core.states import State
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs.models import FlowRun, TaskRun
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run

RESULT = {"type": "reference", "storage_key": "k", "storage": None, "serializer_type": "json"}


def deployed_run(*, flow: str = "etl", version: str | None = None, now: datetime = NOON, **fields: Any) -> FlowRun:
    """A running run of a deployment."""
    of = make_flow(flow)
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=of, defaults={"version": version})
    run = make_flow_run("PENDING", flow=of, deployment_id=deployment.pk, deployment_version=version, now=now, **fields)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=now)
    return run


def finish(run: FlowRun, state: str = "COMPLETED", *, now: datetime | None = None, **fields: Any) -> FlowRun:
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state, **fields), now=now or later(100))
    return FlowRun.objects.get(pk=run.pk)


def call(
    run: FlowRun,
    name: str,
    *upstream: TaskRun,
    state: str | State = "COMPLETED",
    inputs: str = "0",
    seconds: float = 1,
    start: float = 0,
    data: Any = RESULT,
    **fields: Any,
) -> TaskRun:
    """A finished call; its inputs are known by their digest, except with `inputs="…"` that are none."""
    digest = f"{abs(hash(name)):040x}"[:40] if "dynamic_key" not in fields else ""
    sources = {"x": [{"input_type": "task_run", "id": str(one.pk)} for one in upstream]} if upstream else {}
    made = make_task_run(
        "PENDING",
        flow_run=run,
        name=f"{name}-{inputs}",
        task_key=f"{name}-1a2b3c4d",
        dynamic_key=fields.pop("dynamic_key", f"{digest}-{inputs}"),
        task_inputs=sources,
        now=later(start),
    )
    propose_task_run_state(run_id=made.pk, proposed=make_state("RUNNING"), now=later(start))
    end = make_state(state, data=data if state == "COMPLETED" else None, **fields) if isinstance(state, str) else state
    propose_task_run_state(run_id=made.pk, proposed=end, now=later(start + seconds))
    return TaskRun.objects.get(pk=made.pk)


def chain(run: FlowRun, names: Sequence[str]) -> list[TaskRun]:
    """Calls of which each takes the value of the one before; each takes ten seconds."""
    calls: list[TaskRun] = []
    for place, name in enumerate(names):
        calls.append(call(run, name, *calls[-1:], start=10 * place, seconds=10))
    return calls


def ids(*runs: TaskRun) -> set[UUID]:
    return {run.pk for run in runs}
