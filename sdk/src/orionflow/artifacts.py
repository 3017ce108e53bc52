"""Artifacts: content that a run shows of its work. Artifacts that are created in a flow or task belong to that run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import to_json

from orionflow.calls.records import create_artifact
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.errors import ApiUnreachable, InvalidRequest
from orionflow.recordable import LONGEST_MESSAGE, LONGEST_NAME, as_text, clean_text, recordable_json, short_text, warn

if TYPE_CHECKING:
    from orionflow.calls import Call
    from orionflow.contract.records import Artifact

Rows = Sequence[Sequence[Any]] | Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


# In bytes of the content. The API takes requests of 10 MB.
LARGEST_CONTENT = 5 * 1024 * 1024
MOST_ROWS = 10_000
_NO_KEY = re.compile("[^a-z0-9-]+")


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Record a Markdown text with the current run. Return the artifact's id.

    - `markdown`: the text, up to 5 MiB. Parts that cannot be recorded are cut or cleaned, with a warning in the log.
    - `key`: a name of lower-case letters, digits and dashes. Artifacts with one key are versions of one thing; without
      a key, it is shown only with its run.
    - `description`: a text that is shown with it.
    """
    return _create("markdown", _content(markdown), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Record a link to something that the run made. Return the artifact's id.

    - `link`: the address.
    - `link_text`: the words that are shown for it (default: the address).
    - `key`: a name of lower-case letters, digits and dashes. Artifacts with one key are versions of one thing.
    - `description`: a text that is shown with it.
    """
    return _create("markdown", _content(f"[{as_text(link_text or link)}]({as_text(link)})"), key, description)


def create_table_artifact(table: Rows, key: str | None = None, description: str | None = None) -> UUID:
    """Record a table with the current run. Return the artifact's id.

    - `table`: a list of rows, a list of dicts, or a dict of columns, up to 5 MiB. NaN becomes an empty cell. Of a table
      that is too large the first rows are recorded, with a warning in the run's log.
    - `key`: a name of lower-case letters, digits and dashes. Artifacts with one key are versions of one thing.
    - `description`: a text that is shown with it.
    """
    return _create("table", _table(table), key, description)


def _content(text: object) -> str:
    given = as_text(text)
    content = clean_text(given, LARGEST_CONTENT)
    if type(text) is not str:
        warn("An artifact shows the text of a %s.", type(text).__name__)
    elif content != given:
        warn("The text of an artifact was cut or cleaned: it takes at most %d bytes.", LARGEST_CONTENT)
    return content


def _table(table: Any) -> str:
    recorded = recordable_json(table, LARGEST_CONTENT, inf_nan="null")
    if recorded.change is not None and isinstance(recorded.value, str):
        first = _first_rows(table)
        warn("A table artifact shows %s: %s.", "its first rows" if first else "no rows", recorded.change)
        return first or to_json([[recorded.value]]).decode()
    if recorded.change is not None:
        warn("A table artifact is recorded in a changed form: %s.", recorded.change)
    return to_json(recorded.value).decode()


def _first_rows(table: Any) -> str | None:
    """Return as many of the first rows, or of the first cells of each column, as fit."""
    count = MOST_ROWS
    while count := count // 10:
        try:
            part = recordable_json(_cut(table, count), LARGEST_CONTENT, inf_nan="null")
        except Exception:
            # It is not a table.
            return None
        if not isinstance(part.value, str):
            return to_json(part.value).decode()
    return None


def _cut(table: Any, count: int) -> Any:
    if isinstance(table, Mapping):
        return {name: list(islice(column, count)) for name, column in table.items()}
    return list(islice(table, count))


def _key(key: object) -> str | None:
    """Return the artifact's key in the form that the API accepts."""
    if key is None:
        return None
    text = as_text(key)
    fit = _NO_KEY.sub("-", text.lower()).strip("-")[:LONGEST_NAME] if _NO_KEY.search(text) else text[:LONGEST_NAME]
    if fit != text:
        warn(
            "The artifact key %r may have only lower-case letters, digits and dashes; the artifact is under %r.",
            short_text(text, LONGEST_NAME),
            fit or None,
        )
    return fit or None


def _create(type: str, content: str, key: str | None, description: str | None) -> UUID:
    flow_run = FlowRunContext.known()
    task_run = None if flow_run is None else TaskRunContext.get()
    call = create_artifact(
        key=_key(key),
        type=type,
        data=content,
        description=None if description is None else clean_text(as_text(description), LONGEST_MESSAGE),
        flow_run_id=flow_run.id if flow_run else None,
        task_run_id=task_run.id if task_run else None,
    )
    if flow_run is None:
        from orionflow.client import OrionClient

        with OrionClient() as client:
            return client.send(call).id
    return _send(call, flow_run)


def _send(call: Call[Artifact], flow_run: FlowRunContext) -> UUID:
    """Record an artifact. If the API is away it gets the artifact later; if the API refuses it, it is not recorded."""
    id: UUID = call.body["id"]
    try:
        # The artifact refers to a task run, which may still be on its way to the API.
        flow_run.reporter.drain(flow_run.id)
        return flow_run.client.send(call).id
    except ApiUnreachable as away:
        warn("The artifact will be recorded later: %s", away)
        flow_run.reporter.keep(call, flow_run.id)
    except InvalidRequest as refusal:
        warn("The artifact is not recorded: %s", refusal)
    return id
