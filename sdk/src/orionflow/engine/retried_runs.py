"""The source of a run that is retried from a task: the API knows which results it reuses.

For an earlier attempt of the run itself, the API answers each call with the state; only the ids of states that must not
be reused are read. The records of another run (one that this run continues, or the last run of a nested flow) are read
completely before the first call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

from orionflow.calls.retries import read_recorded, report_retry
from orionflow.client import OrionClient
from orionflow.contract.states import NOT_READY
from orionflow.engine.recorded import AGAIN, Again, Recorded
from orionflow.engine.reuse import is_value_alone
from orionflow.engine.run_calls import FlowCall, TaskCall
from orionflow.errors import ApiError, ApiUnreachable, NotFound
from orionflow.results import UNPERSISTED
from orionflow.states import State
from orionflow.wire import FlowRun, RecordedCalls

Key = tuple[str, str]


_counting = threading.Lock()


def _renew_lock() -> None:
    # A thread of the parent may have held it during the fork.
    global _counting
    _counting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Tally:
    """The number of calls of an attempt that reused a recorded result, ran again, or are new."""

    def __init__(self) -> None:
        self.reused = self.again = self.new = 0

    def count(self, *, is_taken: bool, is_known: bool) -> None:
        with _counting:
            if is_taken:
                self.reused += 1
            elif is_known:
                self.again += 1
            else:
                self.new += 1


class RetriedRun:
    """The `Recorded` source of one flow run: the one that is retried, or one that is nested in it."""

    def __init__(self, api: _Retry, calls: dict[Key, State[Any]], *, is_whole: bool = False) -> None:
        self._api = api
        self._calls: Final = calls
        # Whether everything runs again; recorded results are then only counted.
        self._is_whole = is_whole

    def begins(self, call: TaskCall | FlowCall) -> None:
        """Let the call run unchanged."""

    def of_call(self, key: str, dynamic_key: str, known: State[Any] | None) -> State[Any] | Again | None:
        """Return the recorded result for the call, AGAIN, or None if the API's own answer decides.

        `known` is its state in an earlier attempt of this run; `before` that in the run that this one continues.
        """
        before = self._calls.get((key, dynamic_key))
        if self._is_whole:
            found: State[Any] | Again | None = None if before is None else AGAIN
        else:
            found = self._judged(key, before, known)
        is_taken = isinstance(found, State) or (found is None and _can_be_taken(key, known))
        # The API has no state of a new call.
        self._api.tally.count(is_taken=is_taken, is_known=_has_started(before) or _has_started(known))
        return found

    def _judged(self, key: str, before: State[Any] | None, known: State[Any] | None) -> State[Any] | Again | None:
        aside = self._api.set_aside
        if known is not None:
            if known.id in aside:
                return AGAIN
            if _can_be_taken(key, known):
                return None
        if before is None:
            return None
        if before.id in aside:
            return AGAIN
        return before if _can_be_taken(key, before) else None

    def inside(self, key: str, dynamic_key: str, known: State[Any] | None) -> Recorded | None:
        """Return the source of a nested flow: the calls of its last run, all of which run again if the flow runs."""
        last = known if known is not None and known.state_details.child_flow_run_id else None
        last = last or self._calls.get((key, dynamic_key))
        child = last.state_details.child_flow_run_id if last is not None else None
        if last is None or child is None:
            return RetriedRun(self._api, {})
        return RetriedRun(self._api, self._api.calls_of(child), is_whole=self._is_whole or last.id in self._api.again)

    def ended(self, flow_run: FlowRun) -> str | None:
        """Report the numbers of an attempt of the retried run, and return a line for its log."""
        if flow_run.id != self._api.run_id:
            return None
        tally, self._api.tally = self._api.tally, Tally()
        numbers = {"reused": tally.reused, "again": tally.again, "new": tally.new}
        try:
            self._api.client.send(report_retry(flow_run.id, attempt=flow_run.run_count, **numbers))
        except ApiUnreachable:
            raise
        except ApiError as error:
            return f"How many results were reused could not be reported: {error}"
        return f"Of its calls {tally.reused} reused a result, {tally.again} ran again, and {tally.new} were new."


def _has_started(state: State[Any] | None) -> bool:
    """Whether this is the state of a call whose inputs were available."""
    return state is not None and state.name != NOT_READY


def _can_be_taken(key: str, state: State[Any] | None) -> bool:
    """Whether a result can replace the call. For a run of a deployment, the run itself is the result."""
    if state is None or not state.is_completed():
        return False
    is_elsewhere = key.startswith("deployment-") and state.state_details.child_flow_run_id is not None
    data = state.data
    # A store that failed may have received the value later, but that is not relied on.
    is_stored = data is not None and data != UNPERSISTED and not (isinstance(data, dict) and "unstored" in data)
    return is_elsewhere or (is_stored and not is_value_alone(state))


class _Retry:
    """The common part of all sources of one attempt: the API, states that are not reused, and numbers of calls."""

    def __init__(self, client: OrionClient, run_id: UUID) -> None:
        self.client, self.run_id = client, run_id
        self.tally = Tally()
        # Ids of states that are not reused: those of calls that run again completely, and in addition those of nested
        # flows of which a part runs again.
        self.again: frozenset[UUID] = frozenset()
        self.set_aside: frozenset[UUID] = frozenset()

    def calls_of(self, source_id: UUID) -> dict[Key, State[Any]]:
        try:
            return dict(_read(self._pages(source_id)))
        except NotFound:
            # The run was deleted, so everything in it runs.
            return {}

    def _pages(self, source_id: UUID | None) -> Iterator[RecordedCalls]:
        after: UUID | None = None
        while True:
            page = self.client.send(read_recorded(self.run_id, source_id=source_id, after=after))
            yield page
            if page.after is None:
                return
            source_id, after = page.source_id, page.after

    def root(self) -> RetriedRun:
        """Read which states are not reused, and return the source for the calls of the retried run itself."""
        pages = list(self._pages(None))
        self.again = frozenset(one for page in pages for one in page.again)
        self.set_aside = self.again.union(one for page in pages for one in page.entered)
        return RetriedRun(self, dict(_read(pages)))


def _read(pages: Iterable[RecordedCalls]) -> Iterator[tuple[Key, State[Any]]]:
    for page in pages:
        for call in page.calls:
            if call.state is not None:
                yield (call.task_key, call.dynamic_key), call.state


def source_of(client: OrionClient, run_id: UUID) -> RetriedRun:
    """Read which results an attempt of a retried run reuses."""
    return _Retry(client, run_id).root()
