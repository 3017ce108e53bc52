"""The service that stores log lines, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError

from orchestration.tables import dialect, insert_rows
from orchestration.transactions import write_transaction
from orionflow.contract.ids import uuid7
from runs.models import Log

MAX_MESSAGE_BYTES = 64 * 1024
_COLUMNS = ("id", "created", "name", "level", "message", "timestamp", "flow_run_id", "task_run_id")


@dataclass(frozen=True, slots=True)
class NewLog:
    """A log line as it was sent."""

    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    id: UUID | None = None


def record_logs(*, lines: Sequence[NewLog], now: datetime) -> None:
    """Store the lines in one statement. Cut messages over 64 KiB, with a note; skip lines whose id is known."""
    if not lines:
        return
    db = dialect()
    created = db.moment(now)
    rows = [
        (
            db.uuid(line.id or uuid7()),
            created,
            line.name,
            line.level,
            cut(line.message),
            db.moment(line.timestamp),
            db.uuid(line.flow_run_id) if line.flow_run_id else None,
            db.uuid(line.task_run_id) if line.task_run_id else None,
        )
        for line in lines
    ]
    try:
        with write_transaction():
            insert_rows("runs_log", _COLUMNS, rows)
    except IntegrityError:
        # The writer missed our answer and sends the lines again, perhaps with new ones.
        with write_transaction():
            known = Log.objects.filter(pk__in=[line.id for line in lines if line.id]).values_list("pk", flat=True)
            stored = {db.uuid(id) for id in known}
            insert_rows("runs_log", _COLUMNS, list({row[0]: row for row in rows if row[0] not in stored}.values()))


def cut(message: str) -> str:
    if len(message) * 4 <= MAX_MESSAGE_BYTES:
        return message
    encoded = message.encode()
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return message
    kept = encoded[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    return f"{kept}… [cut: {len(encoded)} bytes, of which {MAX_MESSAGE_BYTES} are kept]"
