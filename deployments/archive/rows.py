"""Conversion of model rows to rows of Parquet and back, whatever columns the models have.

Ids are UUIDs of 16 bytes, datetimes are microseconds in UTC, timedeltas are microseconds, and JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Model, QuerySet

from deployments.archive.place import needed

M = TypeVar("M", bound=Model)
ROWS_AT_ONCE = 10_000
ZSTD_LEVEL = 12
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type in Arrow, and the conversion of its values."""

    name: str
    kind: str
    write: Callable[[Any], Any] | None = None

    def type(self, arrow: Any) -> Any:
        return {
            "id": arrow.uuid(),
            "moment": arrow.timestamp("us", tz="UTC"),
            "integer": arrow.int64(),
            "boolean": arrow.bool_(),
            "real": arrow.float64(),
            "bytes": arrow.binary(),
            "text": arrow.string(),
            "texts": arrow.list_(arrow.string()),
        }[self.kind]

    def array(self, arrow: Any, values: Iterable[Any]) -> Any:
        written = [None if one is None else self.write(one) if self.write else one for one in values]
        if self.kind == "id":
            return arrow.ExtensionArray.from_storage(arrow.uuid(), arrow.array(written, arrow.binary(16)))
        return arrow.array(written, self.type(arrow))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def column_of(field: models.Field[Any, Any]) -> Column:
    """Return the column of the archive for a field. A reference is stored as the id that it contains."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    name = field.attname
    match target:
        case models.UUIDField():
            return Column(name, "id", lambda value: value.bytes)
        case models.DateTimeField():
            return Column(name, "moment")
        case models.DurationField():
            return Column(name, "integer", lambda value: value // _MICROSECOND)
        case models.JSONField():
            return Column(name, "text", _json)
        case models.BooleanField():
            return Column(name, "boolean")
        case models.FloatField():
            return Column(name, "real")
        case models.IntegerField():
            return Column(name, "integer")
        case models.BinaryField():
            return Column(name, "bytes", bytes)
        case _:
            return Column(name, "text")


def columns_of(model: type[Model]) -> list[Column]:
    return [column_of(field) for field in model._meta.concrete_fields]


class Writer:
    """A Parquet file to which rows are added, some thousands at a time."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._arrow, self._parquet = needed("pyarrow"), needed("pyarrow.parquet")
        self.columns, self.rows, self.path = columns, 0, path
        self._schema = self._arrow.schema([(one.name, one.type(self._arrow)) for one in columns])
        # Ids and times of neighbouring rows differ in few bytes, and names repeat.
        encodings = {one.name: "DELTA_BYTE_ARRAY" for one in columns if one.kind == "id"}
        encodings |= {one.name: "DELTA_BINARY_PACKED" for one in columns if one.kind == "moment"}
        self._writer = self._parquet.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=[
                one.name for one in columns if one.name not in encodings and one.kind not in ("texts", "bytes")
            ],
            column_encoding=encodings,
            # Only these columns are searched.
            write_statistics=[one.name for one in columns if one.kind in ("id", "moment")],
        )

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        values = zip(*rows, strict=True)
        arrays = [column.array(self._arrow, each) for column, each in zip(self.columns, values, strict=True)]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self.rows += len(rows)

    def close(self) -> None:
        self._writer.close()


def add_rows(writer: Writer, rows: QuerySet[Any, Any], names: Sequence[str]) -> None:
    """Add the rows of a queryset in chunks, each sorted by id."""
    chunk: list[Any] = []
    # Do not order in SQL: the database might then scan the whole table in the order of the ids.
    for row in rows.order_by().values_list(*names).iterator(chunk_size=ROWS_AT_ONCE):
        chunk.append(row)
        if len(chunk) >= ROWS_AT_ONCE:
            writer.add(sorted(chunk, key=_id_of))
            chunk = []
    writer.add(sorted(chunk, key=_id_of))


def _id_of(row: Sequence[Any]) -> Any:
    return row[0]


def as_model(model: type[M], row: Mapping[str, Any]) -> M:
    """Return a row of the archive as an unsaved object of the model, without columns that the model does not have."""
    values = {}
    for field in model._meta.concrete_fields:
        if field.attname in row:
            values[field.attname] = _read(field, row[field.attname])
    return model(**values)


def _read(field: models.Field[Any, Any], value: Any) -> Any:
    if value is None:
        return None
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    match target:
        case models.UUIDField():
            return as_id(value)
        case models.DateTimeField():
            return in_utc(value)
        case models.DurationField():
            return value * _MICROSECOND
        case models.JSONField():
            return json.loads(value)
        case _:
            return value


def as_id(value: UUID | str | bytes) -> UUID:
    """Return an id in the form of Arrow, DuckDB or a model as a UUID."""
    match value:
        case UUID():
            return value
        case str():
            return UUID(value)
        case _:
            return UUID(bytes=bytes(value))


def in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
