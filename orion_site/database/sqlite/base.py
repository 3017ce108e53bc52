"""The backend, which Django imports as `base`: a fair gate for writers, no unintended new files, binary ids."""

# The stubs lack the hooks below, which Django offers to its backends.
# mypy: disable-error-code="misc,attr-defined,no-any-return"

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.sqlite3 import base, creation, features, operations
from django.db.models.expressions import RawSQL
from django.db.utils import DatabaseError, OperationalError

from orion_site.database.sqlite.files import damaged, found_no_room, refuse_network_file_system
from orion_site.database.sqlite.gate import FairGate, gate_of

# The first version with RETURNING and UPDATE … FROM.
OLDEST_SQLITE = (3, 35, 0)


class DatabaseCreation(creation.DatabaseCreation):
    """Test databases may be new files; all others must exist."""

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        name = super()._create_test_db(verbosity, autoclobber, keepdb)
        if not self.is_in_memory_db(name):
            open(name, "ab").close()
        return name


class DatabaseFeatures(features.DatabaseFeatures):
    # Fields pass UUIDs unchanged, and the cursor converts them to sixteen bytes.
    has_native_uuid_field = True


class Cursor(base.SQLiteCursorWrapper):
    """Accepts UUIDs as values.

    An adapter of sqlite3 would apply to the whole process, which may be a user's program.
    """

    def execute(self, query: str, params: Any = None) -> Any:
        return super().execute(query, _bound(params) if params else params)


class DatabaseOperations(operations.DatabaseOperations):
    """Empties tables twice, because triggers write into some tables while others are emptied.

    Triggers also protect the audit log of days that are not marked as removed.
    """

    def get_db_converters(self, expression: Any) -> list[Any]:
        converters = super().get_db_converters(expression)
        if isinstance(expression, RawSQL) and expression.output_field.get_internal_type() == "Field":
            # For prefetched many-to-many relations Django reads the id of each row's owner as raw SQL without a type.
            converters.append(_id_among_others)
        return converters

    def convert_uuidfield_value(self, value: bytes | None, expression: Any, connection: Any) -> UUID | None:
        return None if value is None else UUID(bytes=value)

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        return super().last_executed_query(cursor, sql, _bound(params) if params else params)

    def sql_flush(self, style: Any, tables: Any, **options: Any) -> list[str]:
        days = ["UPDATE audit_day SET removed = day WHERE removed IS NULL"] if "audit_day" in tables else []
        # Django lists tables in arbitrary order; entries of the audit log must go before their days.
        each = sorted(super().sql_flush(style, tables, **options), key=lambda statement: '"audit_day"' in statement)
        return [*days, *each, *each]


class DatabaseWrapper(base.DatabaseWrapper):
    data_types = {**base.DatabaseWrapper.data_types, "UUIDField": "blob"}  # noqa: RUF012 (as Django declares it)
    features_class = DatabaseFeatures
    creation_class = DatabaseCreation
    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate: FairGate | None = None
        self._real_path = ""

    def get_connection_params(self) -> dict[str, Any]:
        _refuse_old_sqlite()
        params = super().get_connection_params()
        if not self.is_in_memory_db():
            path = os.path.abspath(params["database"])
            refuse_network_file_system(path)
            # mode=rw, because SQLite would otherwise create an empty database at a wrong path.
            params["database"] = f"file:{quote(path)}?mode=rw"
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # Other names of the same file have the same gate.
        self._real_path = os.path.realpath(str(self.settings_dict["NAME"]))
        try:
            connected = super().get_new_connection(conn_params)
            connected.create_function("orion_id", 1, _id_of_text, deterministic=True)
            return connected
        except base.Database.OperationalError as error:
            raise self._with_a_clear_text(error) from error
        except base.Database.DatabaseError as error:
            raise DatabaseError(damaged(str(self.settings_dict["NAME"]))) from error

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=Cursor)

    def _with_a_clear_text(self, error: Exception) -> OperationalError:
        path = str(self.settings_dict["NAME"])
        if "unable to open" in str(error) and not os.path.exists(path):
            return OperationalError(f"There is no database at {path}; create it with `orion database upgrade`.")
        if "unable to open" in str(error):
            return OperationalError(f"The database {path} cannot be opened; check its permissions and its folder's.")
        if found_no_room(error):
            return OperationalError(f"The disk below the database {path} is full; make room there.")
        return OperationalError(*error.args)

    def _start_transaction_under_autocommit(self) -> None:
        self._enter_gate()
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._leave_gate()
            raise

    def _enter_gate(self) -> None:
        if self.transaction_mode != "IMMEDIATE" or self.is_in_memory_db() or self._gate is not None:
            return
        patience = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        gate = gate_of(self._real_path)
        if not gate.acquire(patience):
            raise OperationalError(f"database is locked: no turn to write within {patience:g} s")
        self._gate = gate

    def _leave_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release()

    def _commit(self) -> None:
        # If the commit fails, keep the gate; the rollback that follows releases it.
        super()._commit()
        self._leave_gate()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._leave_gate()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._leave_gate()


def _id_among_others(value: Any, expression: Any, connection: Any) -> Any:
    return UUID(bytes=value) if type(value) is bytes and len(value) == 16 else value


def _bound(params: Any) -> Any:
    """Return the values of a statement in the form that sqlite3 accepts."""
    if isinstance(params, Mapping):
        return {name: one.bytes if type(one) is UUID else one for name, one in params.items()}
    return [one.bytes if type(one) is UUID else one for one in params]


def _id_of_text(text: str | None) -> bytes | None:
    """Return an id within a text in the form of id columns, for SQL; null if the text is not an id."""
    try:
        return UUID(text).bytes if text else None
    except ValueError:
        return None


def _refuse_old_sqlite() -> None:
    if base.Database.sqlite_version_info < OLDEST_SQLITE:
        raise ImproperlyConfigured(
            f"Orion needs SQLite 3.35 or newer and found {base.Database.sqlite_version}; "
            "use a newer Python, or PostgreSQL through ORION_DATABASE_URL."
        )
