"""The variables that templates in parameters ask for."""

from __future__ import annotations

from typing import Any

from deployments.definitions.core.hydration import variables_named
from deployments.models import Variable


def variables_for(value: Any) -> dict[str, str]:
    """The values of those that are named in `value` and are there."""
    names = set(variables_named(value))
    return dict(Variable.objects.filter(name__in=names).values_list("name", "value")) if names else {}
