"""Acts: what a user does through an entrance, recorded with the changed rows in the transaction that changes them.

An act may consist of several transactions; each adds an entry for each object that it changed. An act that was refused,
or changed nothing that is recorded, adds one entry of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction

from orchestration.acts import Note, current_act
from orchestration.errors import DomainError
from orion_site.audit.chain import append
from orion_site.audit.masking import shortened
from orion_site.audit.models import Entry
from orion_site.audit.rows import changed_objects
from orion_site.audit.triggers import MARK
from orionflow.contract.masking import known
from runs.models import FlowRun, TaskRun

_RUNS = {"flow-run": FlowRun, "task-run": TaskRun}


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The actor, the address, and the entrance."""

    actor: str
    entrance: Entry.Entrance
    address: str = ""
    key_id: str = ""
    request_id: str = ""


class RecordedAct:
    """The act of the present context; see `orchestration.acts.Act`."""

    def __init__(self, who: Who, action: str, operation: str, about: tuple[str, str] = ("", "")) -> None:
        self.who = who
        self._action, self._operation, self._about = action, operation, about
        self._depth, self._notes = 0, list[Note]()
        self.entries = 0
        self.was_rolled_back = False
        self.reason = ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with transaction.atomic():
            # The outermost transaction records, as an inner one may be rolled back alone.
            if self._depth:
                yield
                return
            self._depth, self._notes = 1, []
            try:
                _mark()
                yield
                # An inner block failed and its error was caught: nothing of this will be stored.
                if transaction.get_rollback():
                    self.was_rolled_back = True
                else:
                    self._record()
            except DomainError as error:
                self.reason = str(error)
                raise
            finally:
                self._depth = 0

    def note(self, note: Note) -> None:
        self._notes.append(note)

    def refused(self, reason: str) -> None:
        """Record that the act was refused."""
        kind, object_id = self._about
        self._write([self._entry(Note(kind, object_id, refused=reason or "refused"))])

    def done(self) -> None:
        """Record that the act was done, although no recorded object changed."""
        kind, object_id = self._about
        self._write([self._entry(Note(kind, object_id))])

    def _write(self, entries: list[Entry]) -> None:
        with transaction.atomic():
            append(entries)
        self.entries += len(entries)

    def _record(self) -> None:
        notes = [*changed_objects(), *_named(self._notes)]
        # The mark ends with the transaction on PostgreSQL; on SQLite its row, committed, would mark all later ones.
        _unmark()
        if notes:
            append([self._entry(note) for note in notes])
            self.entries += len(notes)

    def _entry(self, note: Note) -> Entry:
        return Entry(
            # Cut to the lengths of the columns: an act is not refused because a value of its entry is long.
            actor=self.who.actor[:255],
            key_id=self.who.key_id[:255],
            address=self.who.address[:64],
            request_id=self.who.request_id[:64],
            entrance=self.who.entrance,
            action=self._action[:64],
            operation=self._operation[:255],
            object_kind=note.kind[:32],
            object_id=str(note.id)[:64],
            object_name=note.name[:255],
            before=_text(note.before),
            after=_text(note.after),
            result=Entry.Result.REFUSED if note.refused else Entry.Result.DONE,
            reason=note.refused[:1_000],
        )


@contextmanager
def acting(who: Who, action: str, operation: str, about: tuple[str, str] = ("", "")) -> Iterator[RecordedAct]:
    """Open an act. Within another act, the inner one is recorded."""
    act = RecordedAct(who, action, operation, about)
    token = current_act.set(act)
    try:
        yield act
    finally:
        current_act.reset(token)


def _text(fields: Mapping[str, Any] | None) -> str:
    if not fields:
        return ""
    # PostgreSQL cannot store NUL and lone surrogates; escaped, they are ordinary characters of JSON.
    return known.masked(json.dumps(shortened(fields), sort_keys=True, ensure_ascii=True, default=str))


def _mark() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT set_config(%s, '1', true)", [MARK])
        else:
            cursor.execute("INSERT INTO audit_mark DEFAULT VALUES")


def _unmark() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT set_config(%s, '', true)", [MARK])
        else:
            cursor.execute("DELETE FROM audit_mark")


def _named(notes: Sequence[Note]) -> list[Note]:
    """Return the notes with the names of their runs; for each run only the first old state and the last new one."""
    merged: dict[tuple[str, str], Note] = {}
    for note in notes:
        key = (note.kind, str(note.id))
        first = merged.get(key)
        merged[key] = Note(
            note.kind,
            note.id,
            name=note.name or (first.name if first else ""),
            before=first.before if first else note.before,
            after=note.after if note.after is not None or first is None else first.after,
            refused=note.refused,
        )
    for kind, model in _RUNS.items():
        nameless = {key: note for key, note in merged.items() if note.kind == kind and not note.name}
        if not nameless:
            continue
        # The entry of a deletion already has the name.
        found = model._default_manager.filter(pk__in=[note.id for note in nameless.values()])
        names = {str(pk): name for pk, name in found.values_list("pk", "name")}
        for key, note in nameless.items():
            merged[key] = replace(note, name=names.get(key[1], ""))
    return list(merged.values())
