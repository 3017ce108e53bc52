"""Reasons outside of a run that keep it waiting: full limits on its tags, and runs that it must not overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.models import ConcurrencyLimit, Deadline, Slot
from orionflow.contract.names import quoted
from orionflow.contract.states import EXECUTING, in_order
from runs.models import FlowRun, TaskRun

HOLDERS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a run waits, since when, because of which runs, and a fix.

    If a command helps, the fix ends with it, and `command` has it too: a name within a fix could look like a command.
    """

    code: str
    text: str
    fix: str | None = None
    since: datetime | None = None
    holders: Sequence[dict[str, Any]] | None = None
    command: str = ""

    @property
    def advice(self) -> str:
        """The fix without its command."""
        return (self.fix or "").removesuffix(self.command).rstrip()


def moment_text(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "an unknown time"


def full_limits(run: TaskRun) -> Iterator[Reason]:
    """Yield the limits on the run's tags that have no free slot, with the task runs that hold the slots."""
    for limit in ConcurrencyLimit.objects.filter(tag__in=run.tags):
        slots = Slot.objects.select_related("task_run").filter(limit=limit).exclude(task_run=run).order_by("taken_at")
        holders = [_holder(slot) for slot in slots[:HOLDERS_SHOWN]]
        if limit.concurrency_limit == 0:
            text = f"The limit on tag {quoted(limit.tag)} is 0: no task with it may run."
            yield Reason("limit_is_zero", text, f"Raise the limit on {quoted(limit.tag)}.")
        elif len(holders) >= limit.concurrency_limit or slots.count() >= limit.concurrency_limit:
            text = f"All {limit.concurrency_limit} slots of tag {quoted(limit.tag)} are taken."
            fix = f"Wait for one of the holders, raise the limit on {quoted(limit.tag)}, or reset it."
            yield Reason("waiting_for_slot", text, fix, slots[0].taken_at if holders else None, holders)


def _holder(slot: Slot) -> dict[str, Any]:
    task_run = slot.task_run
    return {
        "kind": "task-run",
        "id": task_run.id,
        "name": task_run.name,
        "flow_run_id": task_run.flow_run_id,
        "since": slot.taken_at,
    }


def overlapping_runs(run: FlowRun) -> Iterator[Reason]:
    """Yield running runs of the same flow or deployment, if the run's author excluded overlaps."""
    if run.empirical_policy.get("overlap", "allow") != "queue":
        return
    active = FlowRun.objects.filter(state_type__in=in_order(EXECUTING)).exclude(pk=run.id)
    of_deployment = run.empirical_policy.get("overlap_scope") == "deployment" and run.deployment_id is not None
    same = active.filter(deployment_id=run.deployment_id) if of_deployment else active.filter(flow=run.flow_id)
    others = list(same.order_by("start_time")[:HOLDERS_SHOWN])
    if others:
        what = "deployment" if of_deployment else "flow"
        text = f"Its {what} runs one at a time, and {quoted(others[0].name)} is running."
        holders = [{"kind": "flow-run", "id": run.id, "name": run.name, "since": run.start_time} for run in others]
        yield Reason("overlap", text, "Wait for that run, or cancel it.", others[0].start_time, holders)


def deadlines_of(run: FlowRun) -> Iterator[Reason]:
    """Yield deadlines that the run missed or may still meet. Only deployments set deadlines."""
    if run.deployment_id is None:
        return
    for deadline in Deadline.objects.filter(flow_run=run).order_by("due"):
        if deadline.missed_at is not None:
            text = f"It should have {_done(deadline)} by {moment_text(deadline.due)}, and had not."
            yield Reason(f"missed_{deadline.kind}", text, since=deadline.due)
        elif _is_ahead(deadline, run):
            yield Reason(
                f"must_{deadline.kind}", f"It must {deadline.kind} by {moment_text(deadline.due)}.", since=None
            )


def _is_ahead(deadline: Deadline, run: FlowRun) -> bool:
    return run.end_time is None and (deadline.kind == Deadline.Kind.FINISH or run.start_time is None)


def _done(deadline: Deadline) -> str:
    return "finished" if deadline.kind == Deadline.Kind.FINISH else "started"
