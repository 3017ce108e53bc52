"""Calls about environments in which runs execute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call

if TYPE_CHECKING:
    from orionflow.contract.environments import Environment


def store_environment(content: Mapping[str, Any]) -> Call[None]:
    """Store an environment; its id is a digest of this content (`orionflow.contract.ids.environment_id`)."""
    return Call("POST", "/environments/", dict(content))


def read_environment(environment_id: UUID | str) -> Call[Environment]:
    """Read one environment by its id."""
    return Call("GET", f"/environments/{environment_id}", read=lambda: contract.environments.Environment)
