"""The grid of the last runs of a flow and their tasks: the state of each task in each run.

A run may have 40,000 task runs, so no run is read entirely. The unique index of task runs leads from one task of a run
to the next; of each, only a few task runs are read. Where there are more, failures are looked up by their time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from orchestration.reading import reader
from orchestration.tables import TASK_RUNS, dialect
from orionflow.contract.states import BAD, StateType, in_order
from runs.models import FlowRun
from runs.pages.selectors.task_keys import OF_TASK, with_task_keys
from runs.pages.selectors.timeline import WORST_FIRST

RUNS_SHOWN, KEYS_SHOWN = 50, 30
# Of each run, so many tasks are looked at, in the order of their keys; and so many task runs of each.
KEYS_READ, TASK_RUNS_READ = 40, 10
# Failures of all flows that are looked at for a run with more task runs than that, and how far clocks may differ.
FAILURES_READ, CLOCKS_DIFFER = 200, timedelta(minutes=1)
# In the joined states, which have spaces between them.
NO_STATE = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """The task runs of one task in one run, as far as they were read. If it is cut, there are more."""

    by_type: Mapping[str, int]
    is_cut: bool

    @property
    def state_type(self) -> str:
        """The worst state."""
        return next((one for one in WORST_FIRST if one in self.by_type), StateType.COMPLETED.value)


@dataclass(frozen=True, slots=True)
class GridRow:
    """A task with its cells, one for each run; None where the run has no task run of it."""

    key: str
    name: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True, slots=True)
class TaskGrid:
    """Runs, oldest first, and tasks in the order in which the newest run started them."""

    runs: Sequence[FlowRun]
    rows: Sequence[GridRow]
    left_out: int
    # Whether a run has more tasks than were looked at.
    is_cut: bool


_JOINED = {"sqlite": "group_concat(s.state, ' ')", "postgresql": "string_agg(s.state, ' ')"}
_ID = {"sqlite": "%s", "postgresql": "%s::uuid"}


def task_grid(runs: Sequence[FlowRun]) -> TaskGrid | None:
    """Return the grid of these runs, which are given oldest first; None if they have no task runs.

    One query, and another if a run has more task runs of a task than are read.
    """
    shown = runs[-RUNS_SHOWN:]
    found = _read(shown) if shown else []
    if not found:
        return None
    cells: dict[str, list[Cell | None]] = {}
    # For each task the number of the newest run that has it, and when it began there.
    order: dict[str, tuple[int, datetime | None, str]] = {}
    names: dict[str, str] = {}
    keys = Counter[int]()
    failures = _failures({row[0]: shown[row[0]] for row in found if len(row[2].split()) > TASK_RUNS_READ})
    for number, key, states, name, began in found:
        keys[number] += 1
        cells.setdefault(key, [None] * len(shown))[number] = _cell(states.split(), failures[number, key])
        if key not in order or number >= -order[key][0]:
            order[key], names[key] = (-number, began, key), name.rsplit("-", 1)[0] or key
    ordered = sorted(order, key=lambda key: (order[key][0], str(order[key][1] or ""), key))
    rows = [GridRow(key, names[key], cells[key]) for key in ordered[:KEYS_SHOWN]]
    return TaskGrid(shown, rows, max(0, len(ordered) - KEYS_SHOWN), max(keys.values()) == KEYS_READ)


def _cell(states: Sequence[str], failures: Counter[str]) -> Cell:
    read = Counter("" if one == NO_STATE else one for one in states[:TASK_RUNS_READ])
    # The failures include those among the first task runs.
    return Cell(read | failures, len(states) > TASK_RUNS_READ)


def _read(runs: Sequence[FlowRun]) -> list[tuple[int, str, str, str, Any]]:
    """Return the number of the run, the key, the states, and name and start of one task run, for each task."""
    db, vendor = dialect(), connection.vendor
    asked = ", ".join(f"({number}, {_ID[vendor]})" for number in range(len(runs)))
    first = f"{OF_TASK} ORDER BY t.dynamic_key LIMIT 1"
    states = f"SELECT COALESCE(t.state_type, '{NO_STATE}') AS state {OF_TASK} LIMIT {TASK_RUNS_READ + 1}"
    with reader().cursor() as cursor:
        cursor.execute(
            with_task_keys(f"VALUES {asked}", KEYS_READ)
            + f"SELECT w.number, w.task_key, (SELECT {_JOINED[vendor]} FROM ({states}) s), (SELECT t.name {first}), "
            f"(SELECT t.expected_start_time {first}) FROM walked w WHERE w.task_key IS NOT NULL",
            [db.uuid(run.pk) for run in runs],
        )
        return list(cursor.fetchall())


def _failures(runs: Mapping[int, FlowRun]) -> defaultdict[tuple[int, str], Counter[str]]:
    """Return the failures by number of the run and key of the task, among the first of the time of each run."""
    found: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    db, parts, values = dialect(), [], list[Any]()
    for number, run in runs.items():
        for state_type in in_order(BAD):
            if run.start_time is None:
                continue
            # The type is a literal, so that SQLite uses the partial index of failures.
            ended = "AND t.expected_start_time <= %s " if run.end_time else ""
            parts.append(
                f"SELECT {number} AS number, f.task_key, f.state_type FROM (SELECT t.flow_run_id, t.task_key, "
                f"t.state_type FROM {TASK_RUNS.runs} t WHERE t.state_type = '{state_type}' "
                f"AND t.expected_start_time >= %s {ended}ORDER BY t.expected_start_time LIMIT {FAILURES_READ}) f "
                "WHERE f.flow_run_id = %s"
            )
            values.append(db.moment(run.start_time - CLOCKS_DIFFER))
            values += [db.moment(run.end_time + CLOCKS_DIFFER)] if run.end_time else []
            values.append(db.uuid(run.pk))
    if parts:
        with reader().cursor() as cursor:
            failed = f"SELECT number, task_key, state_type FROM ({' UNION ALL '.join(parts)}) failed"
            cursor.execute(failed, values)
            for number, key, state_type in cursor.fetchall():
                found[number, key][state_type] += 1
    return found
