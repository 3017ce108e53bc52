"""Ids that requests give to the objects that they make, so that a form that is sent twice makes one.

The services that make objects without a unique name call this, in their transaction.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestration.errors import MadeAlready


def refuse_made(model: Any, id: UUID | None, kind: str) -> None:
    """Raise MadeAlready if the object exists. `kind` is it in words, with its article."""
    if id is not None and model.objects.filter(pk=id).exists():
        raise MadeAlready(kind=kind)
