"""A source of recorded results, which the calls of a flow run reuse instead of running.

An attempt finds the results of earlier attempts of its run by itself (`reuse`). A source serves further cases: a run
that is retried from one of its tasks, a run that continues another one, and a run that is replayed from a file.
Ordinary attempts have no source (`FlowRunContext.recorded` is None).

The source is asked once for each call, when its keys are known. `key` is that of the task or of the nested flow.
`dynamic_key` distinguishes the calls of one key: it is the digest of the inputs and the number of earlier calls with
the same inputs (`3f…a0-0`), or only the number of earlier calls (`0`) if the result is not kept or the inputs cannot be
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from orionflow.engine.exits import reset
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.engine.run_calls import FlowCall, TaskCall
    from orionflow.wire import FlowRun


class Verdict(Enum):
    AGAIN = "again"


# The call runs, whatever a cache or an earlier attempt has.
AGAIN: Final = Verdict.AGAIN
Again = Literal[Verdict.AGAIN]


class Recorded(Protocol):
    """A source in which the calls of one flow run look for their recorded results."""

    def begins(self, call: TaskCall | FlowCall) -> None:
        """Examine a call before the source is asked for it or for its nested flow runs; its code may be replaced."""

    def of_call(self, key: str, dynamic_key: str, known: State[Any] | None) -> State[Any] | Again | None:
        """Return the recorded result for a call of a task, a nested flow or a deployment.

        A final state replaces the call; it contains the value, or data for `read_record`. If the data cannot be read,
        the call runs. AGAIN makes the call run. With None the call behaves as usual: it reuses the result of an earlier
        attempt of this run, or runs. `known` is the state in which the API already has the call.
        """

    def inside(self, key: str, dynamic_key: str, known: State[Any] | None) -> Recorded | None:
        """Return the source for the calls in a nested flow that is about to run; this may ask the API."""

    def ended(self, flow_run: FlowRun) -> str | None:
        """Note that an attempt has made all its calls; return a line for the run's log, if there is one."""


_source: ContextVar[Recorded | None] = ContextVar("orion_recorded", default=None)


@contextmanager
def taking_up(source: Recorded) -> Iterator[None]:
    """Let flows that are called in this block, but not in an inner flow, find the results in `source`."""
    token = _source.set(source)
    try:
        yield
    finally:
        reset(_source, token)


def current_source() -> Recorded | None:
    """Return the source for a flow that is called here."""
    return _source.get()
