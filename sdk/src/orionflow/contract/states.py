"""States as both sides know them: types and sets of types, the names that Orion writes, and details.

A new name is one line of `NAMES`: the query language of lists, the filters and symbols of pages, `orion help states`
and docs/reference/rules.md read it from there. Constructors are only for convenience: the server's are in
`orchestration.core.states`, those of programs in `orionflow.states`. A new field of `StateDetails` is one line as well:
validation, storage and answers follow from its annotation and default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

from orionflow.contract.kinds import CauseFields, Moment, at_most


class StateType(StrEnum):
    """The type of a state, which is its meaning for the rules. The name of a state is only for users."""

    # The server stores the position of a type in this list (`orchestration.core.folding`): new types go to the end.
    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


ANY = frozenset(StateType)
TERMINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
UNFINISHED = ANY - TERMINAL
# A run in one of these states holds a slot of its work queue, its pool and its deployment.
HOLDING = frozenset({StateType.PENDING, StateType.RUNNING, StateType.CANCELLING})
# User code has started and has not ended: a task run in one of these states keeps the slots of its tags.
EXECUTING = HOLDING - {StateType.PENDING}
BAD = frozenset({StateType.FAILED, StateType.CRASHED})


def in_order(types: frozenset[StateType]) -> tuple[str, ...]:
    """Return the values of some types in the order of their declaration, as in indexes and SQL statements."""
    return tuple(one.value for one in StateType if one in types)


class StateName(NamedTuple):
    """A name of states: its meaning for users, its symbol on pages, and whether lists offer it as a choice.

    A name without a symbol has the symbol of its type.
    """

    meaning: str
    icon: str | None = None
    is_choice: bool = False
    # Whether an attempt has failed and the next one has not begun.
    is_between_attempts: bool = False


# Names that code asks for.
LATE, NOT_READY, CACHED, SKIPPED = "Late", "NotReady", "Cached", "Skipped"
# The names that Orion itself writes, by type, the default one first. Users add their own.
NAMES: Mapping[StateType, Mapping[str, StateName]] = {
    StateType.SCHEDULED: {
        "Scheduled": StateName("will run at a time"),
        LATE: StateName("its time has passed", "late", is_choice=True),
        "AwaitingRetry": StateName("waits for its next attempt", "retry", is_choice=True, is_between_attempts=True),
        "Resuming": StateName("was resumed and is about to continue"),
    },
    StateType.PENDING: {
        "Pending": StateName("about to start; its parameters and inputs are being prepared"),
        NOT_READY: StateName("a task whose input did not complete"),
    },
    StateType.RUNNING: {
        "Running": StateName("user code runs"),
        "Retrying": StateName("another attempt", "retrying", is_choice=True),
        "Rerunning": StateName("started again after it had ended", "retrying"),
    },
    StateType.PAUSED: {
        "Paused": StateName("waits until it is resumed"),
        "Suspended": StateName("paused, and its process has ended"),
        NOT_READY: StateName("a task of a paused flow"),
    },
    StateType.CANCELLING: {"Cancelling": StateName("was asked to stop and has not stopped yet")},
    StateType.COMPLETED: {
        "Completed": StateName("succeeded"),
        CACHED: StateName("a stored result was used instead of running", "cached"),
        SKIPPED: StateName("skipped because another run was active"),
    },
    StateType.FAILED: {
        "Failed": StateName("user code raised an error and no retry was left"),
        "TimedOut": StateName("took too long", "timed-out", is_choice=True),
    },
    StateType.CRASHED: {"Crashed": StateName("its process or machine died")},
    StateType.CANCELLED: {"Cancelled": StateName("stopped on request")},
}


# The default name of each type.
USUAL_NAMES: Mapping[StateType, str] = {one: next(iter(names)) for one, names in NAMES.items()}
BETWEEN_ATTEMPTS = frozenset(name for names in NAMES.values() for name, one in names.items() if one.is_between_attempts)


def _cause_may_be_absent(schema: dict[str, Any]) -> None:
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name != "cause"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDetails:
    """The details of a state, in addition to its type, that rules read and write.

    Unknown fields are ignored, as newer clients send more.
    """

    # Answers contain all fields, even those with their default.
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "json_schema_serialization_defaults_required": True,
        "json_schema_extra": _cause_may_be_absent,
    }

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: Moment | None = None
    cache_key: str | None = field(default=None, metadata=at_most(2000))
    cache_expiration: Moment | None = None
    untrackable_result: bool = False
    pause_timeout: Moment | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None
    # The cause of a failure (`contract.fingerprints`). Answers contain it only if there is one.
    cause: CauseFields | None = None

    def revised(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, in half the time of `dataclasses.replace`."""
        copy = object.__new__(type(self))
        for write, value in zip(_WRITERS, _values(self), strict=True):
            write(copy, value)
        for name, value in changes.items():
            object.__setattr__(copy, name, value)
        return copy

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name. The cause of a failure is Orion's own field, and is omitted if there is none."""
        named = dict(zip(DETAIL_NAMES, _values(self), strict=True))
        if self.cause is None:
            del named["cause"]
        return named

    def given_fields(self) -> dict[str, Any]:
        """Return the fields that differ from their default, as requests and rows contain them."""
        values = _values(self)
        if values == _DEFAULTS:
            return {}
        return {
            name: value
            for name, value, default in zip(DETAIL_NAMES, values, _DEFAULTS, strict=True)
            if value != default
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> StateDetails:
        """Read the output of `given_fields` from JSON. Written by hand, as it is called for every state."""
        known = {name: given[name] for name in DETAIL_NAMES if given.get(name) is not None}
        if not known:
            return NO_DETAILS
        for name in known.keys() & _READERS.keys():
            if isinstance(known[name], str):
                known[name] = _READERS[name](known[name])
        return cls(**known)


DETAIL_NAMES = tuple(one.name for one in fields(StateDetails))
_values = attrgetter(*DETAIL_NAMES)
_WRITERS = tuple(getattr(StateDetails, name).__set__ for name in DETAIL_NAMES)
_DEFAULTS = tuple(one.default for one in fields(StateDetails))
_KINDS = {"UUID": UUID, "Moment": datetime.fromisoformat}
# JSON has no ids or moments; the annotation of a field says how to read its text. Annotations are texts in this module.
_READERS: Mapping[str, Any] = {
    one.name: _KINDS[kind] for one in fields(StateDetails) if (kind := str(one.type).partition(" ")[0]) in _KINDS
}
MOMENTS = frozenset(name for name, read in _READERS.items() if read is not UUID)
NO_DETAILS = StateDetails()
