"""The list of variables, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.models import Variable

VARIABLES_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class VariablesPage:
    rows: Sequence[Variable]
    after: str


def variables_page(*, name: str, after: str) -> VariablesPage:
    """Return a page of variables, with one query. The next page starts after the last name of this one."""
    rows = Variable.objects.order_by("name")
    if name:
        rows = rows.filter(name__icontains=name)
    if after:
        rows = rows.filter(name__gt=after)
    found = list(rows[: VARIABLES_PER_PAGE + 1])
    shown = found[:VARIABLES_PER_PAGE]
    return VariablesPage(shown, shown[-1].name if len(found) > VARIABLES_PER_PAGE else "")
