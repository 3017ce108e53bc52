"""Calls about flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import wire
from orionflow.calls import Call, Collection, names, present, selection

if TYPE_CHECKING:
    from orionflow.wire import Flow

FLOWS: Collection[Flow] = Collection("/flows", lambda: wire.Flow)


def create_flow(name: str, *, tags: Sequence[str] = ()) -> Call[Flow]:
    """Read the flow with this name; it is created if it does not exist."""
    return FLOWS.create({"name": name, "tags": list(tags)})


def read_flow(flow_id: UUID) -> Call[Flow]:
    """Read one flow by its id."""
    return FLOWS.read(flow_id)


def read_flow_by_name(name: str) -> Call[Flow]:
    """Read one flow by its name."""
    return Call("GET", f"{FLOWS.path}/name/{quote(name, safe='')}", read=wire.Flow)


def update_flow(flow_id: UUID, *, tags: Sequence[str] | None = None) -> Call[None]:
    """Replace the tags of a flow."""
    return FLOWS.update(flow_id, present(tags=names(tags)))


def delete_flow(flow_id: UUID) -> Call[None]:
    """Delete a flow with all its runs."""
    return FLOWS.delete(flow_id)


def read_flows(
    *, sort: str | None = None, limit: int | None = None, offset: int = 0, **criteria: Any
) -> Call[list[Flow]]:
    """List the flows that match the criteria (`flows=`, `flow_runs=`, `task_runs=`, `deployments=`)."""
    return FLOWS.find(selection(sort=sort, limit=limit, offset=offset, **criteria))


def count_flows(**criteria: Any) -> Call[int]:
    """Count the flows that match the criteria."""
    return FLOWS.count(selection(**criteria))
