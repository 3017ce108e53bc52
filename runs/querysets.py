"""Named questions about runs: each method is one condition that selectors, pages and services combine."""

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
# Ends that few runs come to, and names of states that most runs have.
BAD_TYPES = in_order(TERMINAL - {StateType.COMPLETED})
COMMON_NAMES = ("Completed", "Pending", "Running", "Scheduled")


class Literal(Value):
    """A constant that stands in the statement itself: SQLite takes an index with a condition only where it sees it."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        if self.value and not self.value.isidentifier():
            raise ValueError(self.value)
        return f"'{self.value}'", ()


# SQLite fills a table of its own for each list in the condition of an index, at every row that is written: three values
# and more are spelled one by one.


def is_one_of(column: str, values: Iterable[Any]) -> Q:
    return reduce(or_, (Q((column, one)) for one in values))


def is_none_of(column: str, values: Iterable[Any]) -> Q:
    return reduce(and_, (~Q((column, one)) for one in values))


def is_open() -> Q:
    """Has a state that is not final. Spelled as the conditions of the indexes are, so that these are used."""
    return is_one_of("state_type", map(Literal, OPEN_TYPES))


def has_ended_badly() -> Q:
    """Failed, crashed or was cancelled. Spelled as the conditions of the indexes are."""
    return is_one_of("state_type", map(Literal, BAD_TYPES))


def is_in_rare_state() -> Q:
    """Has a state with a name that few runs are in. Spelled as the conditions of the indexes are."""
    return is_none_of("state_name", map(Literal, COMMON_NAMES))


def is_holding() -> Q:
    """Holds a slot of its queue, its pool and its deployment. Spelled as the conditions of the indexes are."""
    return is_one_of("state_type", map(Literal, HOLDING_TYPES))


class RunQuerySet(models.QuerySet[Any]):
    """Questions that flow runs and task runs share."""

    def in_state(self, *types: StateType) -> Self:
        return self.filter(state_type__in=[state_type.value for state_type in types])

    def open(self) -> Self:
        """Runs in a state that is not final, by the indexes that hold no others."""
        return self.filter(is_open())

    def unfinished(self) -> Self:
        """As `open`, and those without any state; for the runs of one flow run or another narrow choice."""
        return self.exclude(state_type__in=in_order(TERMINAL))
