"""Numbers of runs from the roll-ups: the totals, and the changes that are not added yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, Literal
from uuid import UUID

from django.db.models import QuerySet, Sum

from orionflow.contract.states import StateType
from runs.models.roll_ups import RollUp, RollUpChange
from runs.roll_ups.sql import DAY

# The column of the subject: all runs of a kind, or the flow runs of one flow or deployment.
Column = Literal["kind", "flow", "deployment"]


class Subject:
    """The runs that are counted together."""

    def __init__(self, column: Column, whose: str | UUID) -> None:
        self.column, self.id = column, whose
        self.key = whose.hex if isinstance(whose, UUID) else whose


ALL_FLOW_RUNS = Subject("kind", "flow-run")
ALL_TASK_RUNS = Subject("kind", "task-run")


def number_of_runs(subject: Subject, types: Collection[StateType] | None = None) -> int:
    """Return the number of runs, in total or in states of these types."""
    counted = runs_by_state(subject)
    return sum(counted.values()) if types is None else sum(counted.get(one.value, 0) for one in set(types))


def runs_by_state(subject: Subject) -> dict[str, int]:
    """Return the number of runs by type of state; an empty type stands for runs without a state. One query."""
    counted: Counter[str] = Counter()
    totals = RollUp.objects.filter(subject=subject.key, level=DAY)
    changes = RollUpChange.objects.filter(**{subject.column: subject.key})
    for state_type, runs in _by_type(totals).union(_by_type(changes), all=True):
        counted[state_type] += int(runs)
    return +counted


def _by_type(rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    summed: QuerySet[Any, Any] = rows.order_by().values_list("state_type").annotate(number=Sum("runs"))
    return summed
