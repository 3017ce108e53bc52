"""The columns of the list of flow runs: `?columns=state,run,tags,duration` in its address, always in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from runs.models import FlowRun


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can be shown. `reads` are columns of the table that the list does not read otherwise."""

    name: str
    title: str
    reads: tuple[str, ...] = ()
    is_number: bool = False


# Each list of runs begins with these.
FIXED = ("state", "run")
COLUMNS = (
    Column("deployment", "Deployment"),
    Column("tags", "Tags"),
    Column("queue", "Queue", ("work_queue_name",)),
    Column("version", "Version", ("deployment_version", "flow_version")),
    Column("made-by", "Made by", ("created_by", "auto_scheduled")),
    Column("expected", "Expected"),
    Column("started", "Started"),
    Column("ended", "Ended"),
    Column("attempts", "Attempts", ("empirical_policy",), is_number=True),
    Column("duration", "Duration", is_number=True),
)
USUAL = tuple(column for column in COLUMNS if column.name in {"tags", "started", "duration"})


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that an address asks for, besides those that are always there."""

    shown: tuple[Column, ...] = USUAL
    # What is wrong with the address.
    problem: str = ""
    all: Sequence[Column] = COLUMNS

    @property
    def names(self) -> frozenset[str]:
        return frozenset(column.name for column in self.shown)

    @property
    def text(self) -> str:
        """The value in an address; empty for the usual columns."""
        return "" if self.shown == USUAL else ",".join((*FIXED, *(column.name for column in self.shown)))

    @property
    def kept(self) -> dict[str, str]:
        """The parameter of an address; none for the usual columns."""
        return {"columns": self.text} if self.text else {}

    @property
    def fixed(self) -> str:
        """The value that the form always sends, so that no tick at all differs from no choice."""
        return ",".join(FIXED)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(name for column in self.shown for name in column.reads)


def read_columns(query: QueryDict) -> Columns:
    """Return the columns that the address names, in the order of the list; without any, the usual ones."""
    named = {name.strip() for text in query.getlist("columns") for name in text.split(",")} - {""}
    if not named:
        return Columns()
    shown = tuple(column for column in COLUMNS if column.name in named)
    unknown = sorted(named - {column.name for column in COLUMNS} - set(FIXED))
    problem = f"There is no column {unknown[0][:60]!r}." if unknown else ""
    return Columns(problem=problem) if len(unknown) == len(named) else Columns(shown, problem)


def address_in_short(query: QueryDict, columns: Columns) -> str | None:
    """Return the parameters with the columns as one value, if a form sent them one by one; otherwise None.

    The usual columns are left out, so that the list has one address.
    """
    if columns.problem or (query.get("columns", "") == columns.text and len(query.getlist("columns")) < 2):
        return None
    kept = query.copy()
    kept.pop("columns", None)
    if columns.text:
        kept["columns"] = columns.text
    elif not kept:
        # Without any parameter, an address opens the default view.
        kept["view"] = "all"
    return "?" + kept.urlencode()


def maker_of(run: FlowRun) -> str:
    """Return who made a run, or that a schedule did."""
    made_by: dict[str, Any] = run.created_by or {}
    return "schedule" if run.auto_scheduled else str(made_by.get("display_value") or "")
