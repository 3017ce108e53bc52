"""Variables: short texts with unique names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from deployments.errors import VariableExists, VariableNotFound
from deployments.models import Variable
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def create_variable(*, name: str, value: str, tags: Sequence[str] = (), now: datetime) -> Variable:
    """Create a variable. Raises VariableExists."""
    with write_transaction():
        _refuse_taken(name)
        variable = Variable(name=name, value=value, tags=list(tags), created=now)
        variable.save(force_insert=True)
        return variable


@repeated_on_conflict
def update_variable(*, which: Q, changes: Mapping[str, Any], now: datetime) -> None:
    """Change the one variable that `which` selects, by id or by name. Raises VariableNotFound and VariableExists."""
    with write_transaction():
        variable = Variable.objects.select_for_update(no_key=True).filter(which).first()
        if variable is None:
            raise VariableNotFound
        if changes.get("name", variable.name) != variable.name:
            _refuse_taken(changes["name"])
        Variable.objects.filter(pk=variable.pk).update(**changes, updated=now)


def delete_variable(*, which: Q) -> None:
    with write_transaction():
        deleted, _ = Variable.objects.filter(which).delete()
        if not deleted:
            raise VariableNotFound


def _refuse_taken(name: str) -> None:
    if Variable.objects.filter(name=name).exists():
        raise VariableExists(name=name)
