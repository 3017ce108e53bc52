"""Columns as data: a title, the field of the API's object, and the formatting of its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orionflow.cli.backend import Json
from orionflow.cli.output import Column, as_text, dig
from orionflow.cli.style import first_line
from orionflow.cli.times import Clock, duration

Look = Callable[[Any, Clock], str]


def plain(value: Any, clock: Clock) -> str:
    return "-" if value in (None, "") else as_text(value)


def ago(value: Any, clock: Clock) -> str:
    return clock.ago(value)


def near(value: Any, clock: Clock) -> str:
    return clock.near(value)


def absolute(value: Any, clock: Clock) -> str:
    return clock.absolute(value)


def took(value: Any, clock: Clock) -> str:
    return duration(value)


def line(limit: int, empty: str = "") -> Look:
    """Show the first line of a text, up to `limit` characters."""
    return lambda value, clock: first_line(value, limit) or empty


def yes_or(other: str) -> Look:
    return lambda value, clock: "yes" if value else other


@dataclass(frozen=True, slots=True)
class Col:
    """One column. `row` returns a text that combines several fields; `field` is the field for CSV."""

    title: str
    field: str = ""
    look: Look = plain
    row: Callable[[Json], str] | None = None
    wide: bool = False


ID = Col("ID", "id", wide=True)
Columns = Sequence[Col | Column]


def columns_for(clock: Clock, columns: Columns, *, texts: bool = False) -> list[Column]:
    """Return the columns of a table for one call of a command; with `texts`, CSV has the formatted texts as well."""

    def made(one: Col) -> Column:
        text = one.row or (lambda row: one.look(dig(row, one.field), clock))
        return Column(one.title, text, "" if texts else one.field, one.wide)

    return [made(one) if isinstance(one, Col) else one for one in columns]
