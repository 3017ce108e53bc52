"""Many flow runs that begin SCHEDULED, stored at once: a few statements, whatever their number.

A run whose idempotency key is known is left out silently, with its state. That makes planning harmless to repeat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration import announce
from orchestration.beginnings import Beginning
from orchestration.columns import Spelling, json_text, spelling
from orchestration.record import STATE_COLUMNS, insert_rows, state_row, verdict_name
from orchestration.stored import FLOW_RUNS

_STATE_COLUMNS = (*STATE_COLUMNS, FLOW_RUNS.run_column)
_OF_STATE = ("seq", "state_id", "state_type", "state_name", "state_timestamp", "run_count")
_TIMES = ("expected_start_time", "next_scheduled_start_time")
_OWN = (
    *("name", "tags", "empirical_policy", "flow_id", "deployment_id", "deployment_version"),
    *("work_queue_id", "work_queue_name", "parameters", "context", "job_variables", "idempotency_key"),
    *("infrastructure_document_id", "auto_scheduled", "created_by", "schedule_id"),
)
_COLUMNS = ("id", *_OWN, *_OF_STATE, *_TIMES, "created", "updated", "total_run_time", "epoch", "lost_starts")
_JSON = frozenset({"tags", "empirical_policy", "parameters", "context", "job_variables", "created_by"})


def store_flow_runs(begun: Sequence[tuple[Beginning, Mapping[str, Any]]], now: datetime) -> set[UUID]:
    """Insert the runs with their first states; the ids of those that were new. Own columns come as Python values."""
    if not begun:
        return set()
    spell = spelling()
    new = _insert([_run_row(beginning, own, spell, now) for beginning, own in begun], spell)
    stored = [beginning for beginning, _ in begun if beginning.stored.run.id in new]
    insert_rows(FLOW_RUNS.states, _STATE_COLUMNS, [_state_row(beginning, spell) for beginning in stored])
    announce.runs_changed((FLOW_RUNS.kind, one.stored.run.id, one.state.type.value) for one in stored)
    return new


def _run_row(beginning: Beginning, own: Mapping[str, Any], spell: Spelling, now: datetime) -> list[Any]:
    columns, at = beginning.columns, _text(now, spell)
    return [
        _text(beginning.stored.run.id, spell),
        *(_spelled(name, own[name], spell) for name in _OWN),
        *(_text(columns[name], spell) for name in _OF_STATE),
        *(_text(columns[name], spell) for name in _TIMES),
        at,
        at,
        _text(timedelta(), spell),
        0,
        0,
    ]


def _spelled(name: str, value: Any, spell: Spelling) -> Any:
    if name not in _JSON or value is None:
        return _text(value, spell)
    return json_text(value) if connection.vendor == "sqlite" else value


def _text(value: Any, spell: Spelling) -> Any:
    """As it stands in JSON, for the database to read."""
    match value:
        case UUID():
            return str(spell.uuid(value))
        case datetime():
            return str(spell.moment(value))
        case timedelta():
            return str(spell.period(value))
    return value


def _insert(rows: Sequence[Sequence[Any]], spell: Spelling) -> set[UUID]:
    names = ", ".join(_COLUMNS)
    if connection.vendor == "sqlite":
        values = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(len(_COLUMNS)))
        chosen, sent = f"SELECT {values} FROM json_each(%s) WHERE true", json.dumps(rows)
    else:
        chosen = f"SELECT {names} FROM jsonb_populate_recordset(NULL::{FLOW_RUNS.runs}, %s::jsonb)"
        sent = json_text([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {FLOW_RUNS.runs} ({names}) {chosen} ON CONFLICT DO NOTHING RETURNING id", [sent])
        return {spell.read_uuid(row[0]) for row in cursor.fetchall()}


def _state_row(beginning: Beginning, spell: Spelling) -> tuple[Any, ...]:
    return state_row(
        spell,
        beginning.stored.run.id,
        beginning.state,
        seq=1,
        trail=beginning.decision.trail,
        verdict=verdict_name(beginning.decision),
        proposal_id=None,
        client_timestamp=None,
        epoch=0,
        author=None,
    )
