"""Two runs as they are compared, and the differences between them: values, without rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.contract.states import CACHED


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run: Python, its packages, and the state of the code."""

    python: str = ""
    platform: str = ""
    commit: str = ""
    # A digest of the code's own files: if it differs within one commit, the changes were not committed.
    files: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComparedTask:
    """One task run of a compared run. `seconds` is the time that it ran."""

    id: UUID
    key: str
    dynamic_key: str
    name: str
    state_type: str = "COMPLETED"
    state_name: str = "Completed"
    seconds: float = 0.0
    attempts: int = 1
    error: str = ""

    @property
    def was_cached(self) -> bool:
        return self.state_name == CACHED

    @property
    def base_name(self) -> str:
        return self.name.rsplit("-", 1)[0]


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A flow run with everything that a comparison uses."""

    id: UUID
    name: str
    flow: str
    state_type: str | None = None
    state_name: str | None = None
    began: datetime | None = None
    seconds: float | None = None
    attempts: int = 0
    error: str = ""
    deployment: str = ""
    deployment_version: str = ""
    flow_version: str = ""
    queue: str = ""
    agent: str = ""
    host: str = ""
    tags: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment | None = None
    tasks: Sequence[ComparedTask] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that differs. `before` and `after` are its texts in the two runs, empty where it is absent."""

    subject: str
    name: str
    before: str
    after: str
    # How unusual the difference is, or what lies between.
    note: str = ""

    @property
    def text(self) -> str:
        what = {"parameter": f"parameter {self.name}", "package": self.name}.get(self.subject, self.name)
        if not self.before:
            change = f"{self.after} is new" if self.subject == "package" else f"{self.after} was not set before"
        elif not self.after:
            change = f"{self.before} is gone" if self.subject == "package" else f"{self.before} is no longer set"
        else:
            change = f"{self.before} → {self.after}"
        return f"{what} {change}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """A difference of one task run, or of all runs of a task that only one of the two runs has.

    `kinds` says in which ways: only_before, only_after, state, error, cache, attempts, duration.
    """

    key: str
    name: str
    kinds: Sequence[str]
    text: str
    before: ComparedTask | None = None
    after: ComparedTask | None = None
    number: int = 1


@dataclass(frozen=True, slots=True)
class LogDifference:
    """The first line of the later run that the earlier one did not write, and the line that it wrote instead."""

    line: str
    above: Sequence[str]
    instead: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that differs between two runs, the most informative first."""

    before: ComparedRun
    after: ComparedRun
    differences: Sequence[Difference]
    tasks: Sequence[TaskDifference] = ()
    tasks_alike: int = 0
    tasks_left_out: int = 0
    log: LogDifference | None = None
    # Sentences on what could not be compared.
    unknown: Sequence[str] = ()

    @property
    def of_same_flow(self) -> bool:
        return self.before.flow == self.after.flow
