"""The list of flow runs as a file: CSV or JSON lines, with the filter and the columns of its address."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe
from pydantic_core import to_json

from orchestration.core.states import StateType
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orionflow.contract.spreadsheets import as_cell
from runs.models import FlowRun
from runs.pages.columns import Columns, maker_of, read_columns
from runs.pages.filtering import address_after, address_for_redirect, read_filter
from runs.pages.selectors.failures import LOOKED_AT
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.list_rows import Chunk, chunks_of_runs


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the file: its name, and its value for a run of a chunk at the time of the request."""

    name: str
    value: Callable[[FlowRun, Chunk, datetime], Any]


def _stored(name: str) -> Field:
    return Field(name, lambda run, chunk, now: getattr(run, name))


ALWAYS = (
    _stored("id"),
    Field("flow", lambda run, chunk, now: run.flow.name),
    _stored("name"),
    _stored("state_type"),
    _stored("state_name"),
    Field("message", lambda run, chunk, now: chunk.reasons.get(str(run.pk)) or None),
)
OF_COLUMNS = {
    "deployment": (
        _stored("deployment_id"),
        Field("deployment", lambda run, chunk, now: run.deployment_id and chunk.deployments.get(run.deployment_id)),
    ),
    "tags": (_stored("tags"),),
    "queue": (_stored("work_queue_name"),),
    "version": (Field("version", lambda run, chunk, now: run.deployment_version or run.flow_version),),
    "made-by": (Field("made_by", lambda run, chunk, now: maker_of(run) or None),),
    "expected": (_stored("expected_start_time"),),
    "started": (_stored("start_time"),),
    "ended": (_stored("end_time"),),
    "attempts": (_stored("attempts"),),
    "duration": (Field("duration_seconds", lambda run, chunk, now: _seconds(run, now)),),
}


def _seconds(run: FlowRun, now: datetime) -> float | None:
    """Return how long a run has run, as the list shows it."""
    if run.start_time is None:
        return None
    if run.state_type == StateType.RUNNING and run.run_count == 1:
        return (now - run.start_time).total_seconds()
    return run.total_run_time.total_seconds()


@requires(Action.READ_RUNS)
@may_lag
@require_safe
def runs_file(request: HttpRequest, kind: str) -> HttpResponseBase:
    """Send the runs of the list on all of its pages. A filter that cannot be read is shown by the list."""
    requested, columns, now = read_filter(request.GET), read_columns(request.GET), current_time()
    if requested.problems or columns.problem:
        if requested.problems:
            messages.warning(request, " ".join(requested.problems))
        return redirect(address_for_redirect(reverse("runs:runs"), request.GET))
    chunks = chunks_of_runs(
        wanted=requested.wanted,
        after=Cursor.read(request.GET.get("after", "")),
        now=now,
        further=columns.reads,
        with_deployments="deployment" in columns.names,
    )
    write = _as_csv if kind == "csv" else _as_json_lines
    return StreamingHttpResponse(
        write(chunks, _fields(columns), now, Rest(request.path, request.GET)),
        content_type="text/csv; charset=utf-8" if kind == "csv" else "application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="runs-{now.astimezone(UTC):%Y-%m-%d-%H%M%S}.{kind}"'},
    )


def _fields(columns: Columns) -> list[Field]:
    return [*ALWAYS, *(field for column in columns.shown for field in OF_COLUMNS[column.name])]


@dataclass(frozen=True, slots=True)
class Rest:
    """Where the runs are that a file has no room for."""

    path: str
    query: QueryDict

    def notes(self, chunk: Chunk) -> Iterator[dict[str, str]]:
        """Yield what the last lines of a file say that has not all runs; `next` is the address of the rest."""
        if chunk.unsearched_from:
            yield {
                "note": f"Not all: a filter by error looks at the newest {LOOKED_AT} runs that failed and as many that "
                f"crashed. Of those expected at {chunk.unsearched_from.isoformat()} or before, some are left out."
            }
        if chunk.cut_at:
            address = self.path + address_after(self.query, chunk.cut_at)
            words = f"Not all: this file ends with runs expected at {chunk.cut_at.at.isoformat()}. Go on at {address}"
            yield {"note": words, "next": address}


def _as_csv(chunks: Iterable[Chunk], fields: Sequence[Field], now: datetime, rest: Rest) -> Iterator[bytes]:
    lines = StringIO()
    writer = csv.writer(lines)
    writer.writerow([field.name for field in fields])
    for chunk in chunks:
        writer.writerows([_cell(field.value(run, chunk, now)) for field in fields] for run in chunk.rows)
        writer.writerows([note["note"]] for note in rest.notes(chunk))
        yield lines.getvalue().encode()
        lines.seek(0)
        lines.truncate()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat()
        case list():
            return as_cell(", ".join(map(str, value)))
    return as_cell(value) if isinstance(value, str) else str(value)


def _as_json_lines(chunks: Iterable[Chunk], fields: Sequence[Field], now: datetime, rest: Rest) -> Iterator[bytes]:
    for chunk in chunks:
        lines = [to_json({field.name: field.value(run, chunk, now) for field in fields}) for run in chunk.rows]
        lines += map(to_json, rest.notes(chunk))
        yield b"".join(line + b"\n" for line in lines)
