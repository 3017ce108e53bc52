"""Notes from the changed rows that triggers stored: one for each object, with the changed fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Field, JSONField

from orchestration.acts import Note
from orchestration.json_texts import is_same
from orion_site.audit.masking import masked
from orion_site.audit.subjects import Subject, is_id, subject_of, subjects
from orionflow.contract.masking import MASK

Image = Mapping[str, Any]


@dataclass(slots=True)
class _Row:
    """A row before and after the transaction; None where it did not exist."""

    subject: Subject
    before: Image | None
    after: Image | None

    @property
    def image(self) -> Image:
        return self.after or self.before or {}

    @property
    def id(self) -> Any:
        return self.image.get(self.subject.key)


@dataclass(slots=True)
class _Object:
    kind: str
    id: Any
    name: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def changed_objects() -> list[Note]:
    """Return the changes of this transaction, and delete what the triggers stored."""
    rows = _changed_rows()
    objects: dict[tuple[str, Any], _Object] = {}
    for row in rows.values():
        before, after = _difference(row)
        if not before and not after:
            continue
        owner = _owner(row, rows)
        found = objects.setdefault((owner.subject.kind, owner.id), _Object(owner.subject.kind, owner.id, _name(owner)))
        if owner is row:
            found.before |= before
            found.after |= after
        else:
            label = f"{row.subject.kind} {row.id}"
            found.before |= {label: before} if before else {}
            found.after |= {label: after} if after else {}
    return [
        Note(one.kind, one.id, name=one.name, before=one.before or None, after=one.after or None)
        for one in objects.values()
    ]


def _changed_rows() -> dict[tuple[str, Any], _Row]:
    with connection.cursor() as cursor:
        # Only rows of this transaction are visible: each transaction deletes its own before it commits.
        cursor.execute('SELECT id, "table", before, after FROM audit_change ORDER BY id')
        kept = cursor.fetchall()
        if kept:
            cursor.execute("DELETE FROM audit_change WHERE id <= %s", [kept[-1][0]])
    rows: dict[tuple[str, Any], _Row] = {}
    for _, table, before, after in kept:
        subject = subjects().get(table)
        if subject is None:
            continue
        row = _Row(subject, _image(subject, before), _image(subject, after))
        known = rows.get((table, row.id))
        if known is None:
            rows[(table, row.id)] = row
        else:
            # All changes of a row in one transaction are one, from its first image to its last.
            known.after = row.after
    return {key: row for key, row in rows.items() if not is_same(row.before, row.after)}


def _image(subject: Subject, text: str | None) -> Image | None:
    if text is None:
        return None
    stored = json.loads(text)
    return {name: _value(one, stored.get(name)) for name, one in subject.columns.items()}


def _value(column: Field[Any, Any] | None, value: Any) -> Any:
    """Return a stored value as the API shows it. PostgreSQL's JSON has most values in that form."""
    if value is None or connection.vendor != "sqlite":
        return value
    if is_id(column):
        return str(UUID(value))
    target = getattr(column, "target_field", column)
    if isinstance(target, BooleanField):
        return bool(value)
    if isinstance(target, JSONField):
        return json.loads(value)
    return value


def _difference(row: _Row) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the changed fields; for a new or a deleted row, those that say more than its id."""
    before, after = row.before, row.after
    if before is None or after is None:
        return _shown(row.subject, before), _shown(row.subject, after)
    changed = [name for name in row.subject.fields if not is_same(before.get(name), after.get(name))]
    return (
        _shown(row.subject, {name: before.get(name) for name in changed}, whole=True),
        _shown(row.subject, {name: after.get(name) for name in changed}, whole=True),
    )


def _shown(subject: Subject, image: Image | None, *, whole: bool = False) -> dict[str, Any]:
    if image is None:
        return {}
    return {
        name: MASK if value and name in subject.hidden else masked(value, name)
        for name, value in image.items()
        if whole or (name != subject.key and value not in (None, "", [], {}))
    }


def _owner(row: _Row, rows: Mapping[tuple[str, Any], _Row]) -> _Row:
    """Return the row itself, or the one that it is a part of."""
    while row.subject.part_of is not None:
        label, column = row.subject.part_of
        above, row_id = subject_of(label), row.image.get(column)
        # Usually only the part changed, so the triggers stored nothing about its owner.
        row = rows.get((above.table, row_id)) or _stored(above, row_id)
    return row


def _stored(subject: Subject, row_id: Any) -> _Row:
    wanted = [name for name in (subject.names, subject.part_of[1] if subject.part_of else "") if name]
    found = subject.model._default_manager.filter(pk=row_id).values(*wanted).first() or {}
    image = {subject.key: row_id, **{name: str(value) for name, value in found.items()}}
    return _Row(subject, image, image)


def _name(row: _Row) -> str:
    return str(row.image.get(row.subject.names) or "") if row.subject.names else ""
