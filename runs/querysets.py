"""Querysets of runs: each method is one condition that selectors, pages and services combine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_, or_
from typing import Any, Self

from django.db import models
from django.db.models import Q, Value

from orionflow.contract.states import HOLDING, TERMINAL, UNFINISHED, StateType, in_order

# In the order and spelling of the models' indexes.
OPEN_TYPES = in_order(UNFINISHED)
# In these states a run holds a slot of its queue, its pool and its deployment.
HOLDING_TYPES = in_order(HOLDING)
# Final states of few runs, and the names of states that most runs have.
BAD_TYPES = in_order(TERMINAL - {StateType.COMPLETED})
COMMON_NAMES = ("Completed", "Pending", "Running", "Scheduled")


class Literal(Value):
    """A constant that is written into the statement: SQLite uses a partial index only if it can see the value."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        if self.value and not self.value.isidentifier():
            raise ValueError(self.value)
        return f"'{self.value}'", ()


# SQLite builds a temporary table for each IN list in the condition of an index, whenever a row is written. So lists
# become conditions joined by OR or AND.


def is_one_of(column: str, values: Iterable[Any]) -> Q:
    return reduce(or_, (Q((column, one)) for one in values))


def is_none_of(column: str, values: Iterable[Any]) -> Q:
    return reduce(and_, (~Q((column, one)) for one in values))


def is_open() -> Q:
    """Return the condition for states that are not final, spelled as in the partial indexes, so that these are used."""
    return is_one_of("state_type", map(Literal, OPEN_TYPES))


def has_ended_badly() -> Q:
    """Return the condition for failed, crashed and cancelled runs, spelled as in the partial indexes."""
    return is_one_of("state_type", map(Literal, BAD_TYPES))


def is_in_rare_state() -> Q:
    """Return the condition for state names that few runs have, spelled as in the partial indexes."""
    return is_none_of("state_name", map(Literal, COMMON_NAMES))


def is_holding() -> Q:
    """Return the condition for runs that hold slots of queue and deployment, spelled as in the partial indexes."""
    return is_one_of("state_type", map(Literal, HOLDING_TYPES))


class RunQuerySet(models.QuerySet[Any]):
    """Conditions that flow runs and task runs share."""

    def in_state(self, *types: StateType) -> Self:
        return self.filter(state_type__in=[state_type.value for state_type in types])

    def open(self) -> Self:
        """Return runs in a state that is not final, using the partial indexes."""
        return self.filter(is_open())

    def unfinished(self) -> Self:
        """Return runs without a final state, or without any; for a small set, such as the runs of one flow run."""
        return self.exclude(state_type__in=in_order(TERMINAL))
