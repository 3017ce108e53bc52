"""Artifacts: what a run shows of its work. Created in a flow or task, they belong to that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from orionflow.calls.records import create_artifact
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.errors import UsageError

Rows = Sequence[Sequence[Any]] | Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Show text with headings, lists and tables; returns the artifact's id."""
    return _create("markdown", markdown, key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Show a link to something that the run made; returns the artifact's id."""
    return _create("markdown", f"[{link_text or link}]({link})", key, description)


def create_table_artifact(table: Rows, key: str | None = None, description: str | None = None) -> UUID:
    """Show a table: a list of rows, or of dicts, or a dict of columns; returns the artifact's id."""
    return _create("table", to_json(table).decode(), key, description)


def _create(type: str, content: str, key: str | None, description: str | None) -> UUID:
    if key is not None and not (key and all(char.isdigit() or char.islower() or char == "-" for char in key)):
        raise UsageError(f"The artifact key {key!r} may have only lower-case letters, digits and dashes.")
    task_run, flow_run = TaskRunContext.get(), FlowRunContext.get()
    if flow_run is None:
        from orionflow.client import OrionClient

        with OrionClient() as client:
            return client.send(create_artifact(key=key, type=type, data=content, description=description)).id
    # A task run may still be on its way to the API, which refers to it.
    flow_run.reporter.drain(flow_run.id)
    call = create_artifact(
        key=key,
        type=type,
        data=content,
        description=description,
        flow_run_id=flow_run.id,
        task_run_id=task_run.id if task_run else None,
    )
    return flow_run.client.send(call).id
