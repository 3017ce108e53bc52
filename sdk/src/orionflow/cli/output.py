"""The output of commands: a table for users, the API's own objects for programs.

JSON, JSON lines and YAML contain exactly the API's answer and are stable; tables may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.safe_text import as_json, cleaned, one_line
from orionflow.cli.tables import Cell, render_fields, render_table
from orionflow.cli.terminal import Terminal, current_terminal
from orionflow.cli.yaml_text import as_yaml
from orionflow.contract.spreadsheets import as_cell
from orionflow.spelling import did_you_mean

TABLES = frozenset({"table", "wide", "csv"})
FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name", "csv")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: `text` is what users read; `field` is the plain value behind it, for CSV."""

    title: str
    text: Callable[[Row], str]
    field: str = ""
    wide: bool = False
    paint: Callable[[str, Row], str] | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """The output format that -o, --json and --columns request."""

    format: str
    columns: tuple[str, ...]
    terminal: Terminal

    @property
    def is_for_people(self) -> bool:
        return self.format in ("table", "wide")

    def show_many(self, rows: Sequence[Row], columns: Sequence[Column], *, name: str = "name") -> None:
        """Show a list, as a table or as an array of the API's objects."""
        self._refuse_unknown_columns(rows, columns)
        match self.format:
            case "table" | "wide":
                self._table(rows, self._chosen(columns))
            case "csv":
                self._csv(rows, self._chosen(columns))
            case "name":
                self._lines(one_line(str(row.get(name) or row.get("id"))) for row in rows)
            case "jsonl":
                self._lines(as_json(self._picked(row)) for row in rows)
            case _:
                self._structure([self._picked(row) for row in rows])

    def show_one(self, thing: Row, fields: Sequence[Column] | None = None, *, name: str = "name") -> None:
        """Show one object, as a list of its fields or as the API's object."""
        shown = fields or [field_column(key) for key in thing]
        self._refuse_unknown_columns([thing], shown)
        match self.format:
            case "table" | "wide":
                wanted = self._chosen(shown, every=True)
                cells = [(column.title, self._cell(column, thing)) for column in wanted]
                self.terminal.out(render_fields(cells))
            case "json" | "yaml":
                self._structure(self._picked(thing))
            case _:
                self.show_many([thing], shown, name=name)

    def _chosen(self, columns: Sequence[Column], *, every: bool = False) -> list[Column]:
        if self.columns:
            known = {_key(column.title): column for column in columns}
            return [known.get(_key(wanted)) or plain_column(wanted) for wanted in self.columns]
        return [column for column in columns if every or self.format != "table" or not column.wide]

    def _refuse_unknown_columns(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Refuse a column that neither the table nor the objects have, as it would look empty."""
        titles = list(dict.fromkeys(_key(column.title) for column in columns)) if self.format in TABLES else []
        fields = list(dict.fromkeys(name for row in rows for name in row)) or [
            column.field for column in columns if column.field
        ]
        for wanted in self.columns:
            if _key(wanted) in titles or wanted.partition(".")[0] in {field.partition(".")[0] for field in fields}:
                continue
            known = list(dict.fromkeys([*titles, *fields]))
            hint = did_you_mean(wanted, known, f"there are {', '.join(known)}")
            raise CommandFailed(ExitCode.USAGE, f"There is no column {wanted!r}.", fix=hint)

    def _table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        cells = [[self._cell(column, row) for column in columns] for row in rows]
        if text := render_table([column.title for column in columns], cells, self.terminal):
            self.terminal.out(text)

    def _cell(self, column: Column, row: Row) -> Cell:
        # Cleaned before it is measured, because escapes take more room.
        text = cleaned(column.text(row))
        return Cell(text, column.paint(text, row) if column.paint else text)

    def _csv(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        import csv
        import io

        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([column.title.lower().replace(" ", "_") for column in columns])
        writer.writerows([_plain(row, column) for column in columns] for row in rows)
        self.terminal.out(buffer.getvalue().rstrip("\n"))

    def _picked(self, row: Row) -> Row:
        return {wanted: dig(row, wanted) for wanted in self.columns} if self.columns else row

    def _structure(self, thing: Any) -> None:
        text = as_yaml(thing) if self.format == "yaml" else as_json(thing, indent=2)
        self.terminal.out(text)

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.terminal.out(line)


def dig(row: Row, path: str) -> Any:
    """Return the value at a dotted path (`state.message`), or None."""
    found: Any = row
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _key(title: str) -> str:
    """Return the key of a column: `LAST RUN`, `last run` and `last_run` are the same one."""
    return title.lower().replace(" ", "_").replace("-", "_")


def plain_column(path: str) -> Column:
    return Column(path.upper(), lambda row: as_text(dig(row, path)), field=path)


def field_column(key: str) -> Column:
    return Column(key.replace("_", " "), lambda row: as_text(row.get(key)), field=key)


def as_text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case str():
            return value
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(value) or "-"
        case dict() | list() | bool():
            return as_json(value)
    return str(value)


def _plain(row: Row, column: Column) -> str:
    value = dig(row, column.field) if column.field else column.text(row)
    # Tables show a dash for an empty value.
    if value is None or (value == "-" and not column.field):
        return ""
    text = as_text(value)
    return text if isinstance(value, int | float) else as_cell(text)


def chosen_output(format: str, as_json: bool, columns: str | None) -> Output:
    wanted = tuple(part.strip() for part in columns.split(",") if part.strip()) if columns else ()
    return Output("json" if as_json else format, wanted, current_terminal())


def output_params() -> list[click.Parameter]:
    """Return the options for the output format of a command."""
    return [
        click.Option(
            ["-o", "--output", "format"], type=click.Choice(FORMATS), default="table", show_default=True,
            help="The output format; json is the API's object.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Short for -o json."),
        click.Option(["--columns"], metavar="A,B", help="Only these columns or fields, such as name,state.message."),
    ]  # fmt: skip
