"""Transitions and log lines as an engine would report them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.contract.ids import uuid7
from orionflow.reporting import LogLine, Reporter, Transition
from orionflow.states import State, StateType

FLOW_RUN = uuid7()


def state(kind: str, *, data: Any = None) -> State:
    return State(type=StateType(kind), name=kind.title(), timestamp=datetime.now(UTC), id=uuid7(), data=data)


def step(kind: str = "RUNNING", *, run: UUID | None = None, flow_run: UUID = FLOW_RUN, data: Any = None) -> Transition:
    return Transition(run or uuid7(), None, state(kind, data=data), flow_run_id=flow_run)


def task_of_three_steps(number: int, *, flow_run: UUID = FLOW_RUN) -> list[Transition]:
    run = uuid7()
    create = {"flow_run_id": flow_run, "task_key": "tests.task", "dynamic_key": str(number), "name": f"task-{number}"}
    first = Transition(run, create, state("PENDING"))
    return [first, step("RUNNING", run=run, flow_run=flow_run), step("COMPLETED", run=run, flow_run=flow_run)]


def ids_of(items: list[Transition]) -> list[str]:
    return [str(item.state.id) for item in items if item.state]


def line(text: str, *, flow_run: UUID | None = FLOW_RUN, level: int = 20) -> LogLine:
    return LogLine("tests", level, text, datetime.now(UTC), flow_run)


def stream_all(reporter: Reporter, items: list[Transition]) -> None:
    for item in items:
        reporter.stream(item)


def spool_files(home: Path) -> list[Path]:
    return sorted((home / "spool").glob("*.jsonl"))


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
