"""Compare tables before and after a request with what the audit log says of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.urls import Resolver404, resolve

from orion_site.accounts.local_owner import OWNER_NAME
from orion_site.audit.entrances import form_action
from orion_site.audit.models import Entry
from orion_site.audit.subjects import subject_of, subjects
from runs.models import FlowRun, TaskRun

RUNS = {"flow-run": FlowRun, "task-run": TaskRun}
RUN_COLUMNS = ("id", "name", "state_name", "tags")
Rows = dict[tuple[str, str], tuple[Any, ...]]
Objects = set[tuple[str, str]]


@lru_cache(maxsize=1)
def listings() -> dict[str, tuple[str, QuerySet[Any, dict[str, Any]], tuple[str, Any]]]:
    """For all subjects and all runs, by what entries call their object: the column of its id, its rows, their SQL."""
    wanted = {
        one.table: (one.model, one.key, list(dict.fromkeys([one.key, *one.fields]))) for one in subjects().values()
    }
    wanted |= {kind: (model, "id", list(RUN_COLUMNS)) for kind, model in RUNS.items()}
    rows = {
        kind: (key, model._default_manager.order_by().values(*names)) for kind, (model, key, names) in wanted.items()
    }
    return {kind: (key, listed, listed.query.sql_with_params()) for kind, (key, listed) in rows.items()}


def version() -> object:
    """A value that differs after any change of rows, and where changes may have been rolled back since."""
    within = tuple(connection.savepoint_ids)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            return within, cursor.connection.total_changes, cursor.execute("PRAGMA data_version").fetchone()
        if not connection.in_atomic_block:
            return object()
        cursor.execute(
            "SELECT pg_current_xact_id(), SUM(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables"
        )
        return within, cursor.fetchone()


class KnownRows:
    """All rows by their kind and id. After a change those that differ are read again."""

    def __init__(self) -> None:
        self._version: object = None
        self._stored: dict[str, list[Any]] = {}
        self._by_kind: dict[str, Rows] = {}

    def now(self) -> Rows:
        if self._version != (at := version()):
            self._version = at
            self._read()
        return {key: row for rows in self._by_kind.values() for key, row in rows.items()}

    def _read(self) -> None:
        with connection.cursor() as cursor:
            for kind, (key, listed, statement) in listings().items():
                cursor.execute(*statement)
                if (found := cursor.fetchall()) != self._stored.get(kind):
                    self._stored[kind] = found
                    self._by_kind[kind] = {(kind, str(row[key])): tuple(row.items()) for row in listed.all()}


def changed(before: Rows, after: Rows) -> Objects:
    """The objects of which a row was made, changed or deleted."""
    whole = {**before, **after}
    return {_owner(key[0], row, whole) for key, row in whole.items() if before.get(key) != after.get(key)}


def _owner(table: str, row: tuple[Any, ...], rows: Rows) -> tuple[str, str]:
    if table in RUNS:
        return table, str(dict(row)["id"])
    subject = subjects()[table]
    if subject.part_of is None:
        return subject.kind, str(dict(row)[subject.key])
    above, column = subject_of(subject.part_of[0]), subject.part_of[1]
    return _owner(above.table, rows[(above.table, str(dict(row)[column]))], rows)


class AuditedClient(Client):
    """A browser whose forms must be found in the audit log, with every object that they change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Most hostile forms change nothing.
        self._rows = KnownRows()

    def post(self, path: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        last, before = Entry.objects.count(), self._rows.now()
        answer = super().post(path, *args, **kwargs)
        new = list(Entry.objects.order_by("day", "number")[last:])
        recorded = {(one.object_kind, one.object_id) for one in new}
        # Planned runs are covered by the entry of their deployment, and task runs by that of their flow run.
        missing = {one for one in changed(before, self._rows.now()) - recorded if one[0] not in RUNS}
        # The owner of this machine gets a row at the first request for the admin; no user created it.
        missing -= {("user", str(pk)) for pk in User.objects.filter(username=OWNER_NAME).values_list("pk", flat=True)}
        assert not missing, f"POST {path} changed {sorted(missing)}, and the log has {sorted(recorded)}"
        return answer


def is_recorded_form(path: str) -> bool:
    """Whether a POST to this address opens an act."""
    try:
        resolve(path)
    except Resolver404:
        return False
    return form_action("POST", path)[0] is not None
