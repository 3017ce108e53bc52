"""A source of results that were recorded before: what the calls of a flow run take up instead of running.

An attempt finds by itself what earlier attempts of its run did (`reuse`). A source is for what goes beyond that: a run
that is retried from one of its tasks, a run that continues another one, a run that is replayed from a file. Ordinary
attempts have none (`FlowRunContext.recorded` is None) and ask nothing.

A source is asked once for each call, when its keys are known. `key` is that of the task, or of the nested flow.
`dynamic_key` tells the calls of one key apart: the digest of the inputs and how many calls with the same inputs came
before (`3f…a0-0`), or only how many calls came before (`0`), where nobody keeps the result or the inputs cannot be
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.engine.run_calls import FlowCall, TaskCall
    from orionflow.wire import FlowRun


class Verdict(Enum):
    AGAIN = "again"


# The call runs, whatever a cache or an earlier attempt knows of it.
AGAIN: Final = Verdict.AGAIN
Again = Literal[Verdict.AGAIN]


class Recorded(Protocol):
    """Where the calls of one flow run find what was recorded for them."""

    def begins(self, call: TaskCall | FlowCall) -> None:
        """Look at a call before it is asked for, or its nested flow runs: it may be given another task or flow."""

    def of_call(self, key: str, dynamic_key: str, known: State[Any] | None) -> State[Any] | Again | None:
        """Return what a call of a task, a nested flow or a deployment takes up.

        A final state stands for the call, with its value in it or data that `read_record` reads; where that cannot be
        read, the call runs. AGAIN makes it run. With None it goes its usual way: it takes up what an earlier attempt of
        this run did, or runs. `known` is the state in which the API knows the call already.
        """

    def inside(self, key: str, dynamic_key: str, known: State[Any] | None) -> Recorded | None:
        """Return the source for the calls in a nested flow that is about to run; it may ask the API for it."""

    def ended(self, flow_run: FlowRun) -> str | None:
        """Take note that an attempt has made all its calls; returns a line for the log of the run, if there is one."""


_source: ContextVar[Recorded | None] = ContextVar("orion_recorded", default=None)


@contextmanager
def taking_up(source: Recorded) -> Iterator[None]:
    """Let flows that are called in this block, and in no other flow, find what `source` recorded."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def current_source() -> Recorded | None:
    """Return the source for a flow that is called here."""
    return _source.get()
