"""Conditions of lists of runs on what no index covers: which agent claimed a run, and the values of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Literal
from uuid import UUID

from django.db.models import F, JSONField, OuterRef, Q, Subquery, Value
from django.db.models.fields.json import KeyTransform, KeyTransformExact
from django.db.models.functions import Concat

from deployments.models import Worker
from runs.models import FlowRunState

# The author of states that are written when an agent claims a run starts with this.
AGENT = "agent "
LONGEST_AUTHOR = 255


@dataclass(frozen=True, slots=True)
class GivenParameter:
    """A parameter, by the keys that lead to it, with one of these scalar values."""

    path: Sequence[str]
    values: Sequence[Any]


def is_claimed_by(agent: str, run: Literal["pk", "flow_run_id"]) -> Q:
    """Return the condition for runs that this agent claimed at any attempt. It is named by its name or its id."""
    is_author = Q(author=f"{AGENT}{agent}"[:LONGEST_AUTHOR])
    try:
        named = Worker.objects.filter(pk=UUID(agent)).order_by().values("name")
        is_author |= Q(author=Concat(Value(AGENT), Subquery(named)))
    except ValueError:
        pass
    claims = FlowRunState.objects.filter(is_author, flow_run=OuterRef(run), type="PENDING").order_by()
    # Not EXISTS: PostgreSQL could turn it into a join that reads all states of all runs.
    return Q(**{run: Subquery(claims.values("flow_run_id")[:1])})


def has_parameter(given: GivenParameter, column: str) -> Q:
    """Return the condition for rows whose parameters have one of the values."""
    found: Any = F(column)
    for key in given.path:
        # As a transform, because in the name of a lookup a parameter called `in` would be an operator.
        found = KeyTransform(key, found, output_field=JSONField())
    return reduce(or_, (Q(KeyTransformExact(found, value)) for value in given.values))
