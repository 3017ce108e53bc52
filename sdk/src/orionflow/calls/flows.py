"""Calls about flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import wire
from orionflow.calls import Call, names, present, selection

if TYPE_CHECKING:
    from orionflow.wire import Flow


def create_flow(name: str, *, tags: Sequence[str] = ()) -> Call[Flow]:
    """The flow of this name, made if there was none."""
    return Call("POST", "/flows/", {"name": name, "tags": list(tags)}, read=wire.Flow)


def read_flow(flow_id: UUID) -> Call[Flow]:
    """One flow by its id."""
    return Call("GET", f"/flows/{flow_id}", read=wire.Flow)


def read_flow_by_name(name: str) -> Call[Flow]:
    """One flow by its name."""
    return Call("GET", f"/flows/name/{quote(name, safe='')}", read=wire.Flow)


def update_flow(flow_id: UUID, *, tags: Sequence[str] | None = None) -> Call[None]:
    """Replace the tags of a flow."""
    return Call("PATCH", f"/flows/{flow_id}", present(tags=names(tags)))


def delete_flow(flow_id: UUID) -> Call[None]:
    """Delete a flow with all its runs."""
    return Call("DELETE", f"/flows/{flow_id}")


def read_flows(
    *, sort: str | None = None, limit: int | None = None, offset: int = 0, **criteria: Any
) -> Call[list[Flow]]:
    """Flows that fit the criteria (`flows=`, `flow_runs=`, `task_runs=`, `deployments=`)."""
    return Call(
        "POST", "/flows/filter", selection(sort=sort, limit=limit, offset=offset, **criteria), read=list[wire.Flow]
    )


def count_flows(**criteria: Any) -> Call[int]:
    """How many flows fit the criteria."""
    return Call("POST", "/flows/count", selection(**criteria), read=int)
