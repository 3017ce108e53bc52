"""The tasks from which a run can be retried, and the retries that its page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from runs.models import FlowRun, RunRetry
from runs.pages.selectors.keyset import Count
from runs.retries.core import Call
from runs.retries.selectors import recorded_tree

RETRIES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """A task of a run, the name by which a retry refers to it, and the number of its calls."""

    wanted: str
    name: str
    is_nested: bool
    calls: Count
    unfinished: Count


def choices_of(run_id: UUID) -> list[Choice]:
    """Return the tasks that the last attempt called, in the order of their first calls, and those of nested runs."""
    groups: dict[tuple[str, bool], list[Call]] = {}
    for flow_run_id, recorded in recorded_tree(run_id).items():
        for call in recorded.calls:
            groups.setdefault((call.key, flow_run_id != run_id), []).append(call)
    keys_of: dict[str, set[str]] = {}
    for key, _ in groups:
        name = groups.get((key, False), groups.get((key, True), []))[0].task_name
        keys_of.setdefault(name, set()).add(key)
    return [
        Choice(
            # Two tasks may have the same name, but not the same key.
            wanted=calls[0].task_name if len(keys_of[calls[0].task_name]) == 1 else key,
            name=calls[0].task_name,
            is_nested=is_nested,
            calls=Count(len(calls)),
            unfinished=Count(sum(call.state_type != "COMPLETED" for call in calls)),
        )
        for (key, is_nested), calls in groups.items()
    ]


@dataclass(frozen=True, slots=True)
class Retries:
    """Retries from tasks of a run: the one that created it, its own last one, and later runs that continue it."""

    of: RunRetry | None = None
    last: RunRetry | None = None
    later: Sequence[RunRetry] = ()


# Whether a flow run has retries, as an annotation of its row.
HAS_RETRIES = Exists(RunRetry.objects.filter(Q(flow_run=OuterRef("pk")) | Q(source_id=OuterRef("pk"))))


def retries_shown(run: FlowRun) -> Retries:
    """Return the retries of a run from `flow_run_facts`. One query; none if it has no retries."""
    if not vars(run)["was_retried"]:
        return Retries()
    found = RunRetry.objects.filter(Q(flow_run=run.pk) | Q(source_id=run.pk)).select_related("flow_run")
    rows = list(found.defer("again", "entered").order_by("-created")[:RETRIES_SHOWN])
    own = [one for one in rows if one.flow_run_id == run.pk]
    return Retries(
        of=next((one for one in own if one.is_new_run), None),
        last=own[0] if own else None,
        later=[one for one in rows if one.flow_run_id != run.pk],
    )
