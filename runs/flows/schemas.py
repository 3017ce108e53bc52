"""Flows on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from typing_extensions import TypedDict

from orionflow.contract.wire import Name, StrictWire, Tags
from runs.models import Flow


class FlowCreate(StrictWire):
    name: Name
    tags: Tags = []


class FlowUpdate(StrictWire):
    tags: Tags | None = None


class FlowOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    tags: list[str]


def flow_out(flow: Flow) -> FlowOut:
    return {
        "id": flow.id,
        "created": flow.created,
        "updated": flow.updated,
        "name": flow.name,
        "tags": flow.tags,
    }
