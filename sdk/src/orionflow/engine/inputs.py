"""The inputs in the arguments of a call: futures to wait for, task runs they came from, and finally their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.annotations import Mark, allow_failure, quote, unmapped
from orionflow.errors import UpstreamFailed
from orionflow.futures import Future
from orionflow.states import State
from orionflow.values.traversal import PLAIN, each, visit

if TYPE_CHECKING:
    from orionflow.engine.lineage import Lineage


class Found:
    """The futures in some arguments, and the task runs that the arguments came from."""

    __slots__ = ("_links", "futures", "sources")

    def __init__(self, links: Lineage) -> None:
        self._links = links
        self.futures: list[Future[Any]] = []
        self.sources: dict[str, list[dict[str, Any]]] = {}

    def look_through(self, name: str, value: Any) -> None:
        """Search one argument, which belongs to the parameter `name`."""
        if type(value) in PLAIN:
            self.add_source_of(name, value)
            return
        ids: dict[UUID, None] = {}

        def look(part: Any) -> None:
            if (source := self._source_of(part)) is not None:
                ids[source] = None

        each(value, look)
        if ids:
            self._add(name, ids)

    def add_source_of(self, name: str, value: Any) -> None:
        """Note the source of the value as a whole, whatever it contains."""
        if (source := self._source_of(value)) is not None:
            self._add(name, [source])

    def _source_of(self, part: Any) -> UUID | None:
        if isinstance(part, Future):
            self.futures.append(part)
            return part.task_run_id
        if isinstance(part, State):
            return part.state_details.task_run_id
        return self._links.source_of(part)

    def _add(self, name: str, ids: Iterable[UUID]) -> None:
        known = {one["id"] for one in self.sources.get(name, ())}
        new = [{"input_type": "task_run", "id": id} for id in ids if id not in known]
        self.sources.setdefault(name, []).extend(new)

    @property
    def pending(self) -> list[Future[Any]]:
        return [future for future in self.futures if not future.is_done]


def resolved(value: Any) -> Any:
    """Return `value` with futures and states replaced by the values of their runs, which must have ended.

    Raise UpstreamFailed for a run that did not complete, unless it is marked with `allow_failure`.
    """
    try:
        return visit(value, _value_of)
    except UpstreamFailed as error:
        # The traceback through the value, with a few frames for each list around a future, does not help the user.
        raise error.with_traceback(None) from None


def resolved_all(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    return [resolved(value) for value in args], {name: resolved(value) for name, value in kwargs.items()}


def _value_of(part: Any) -> Any:
    if isinstance(part, Mark):
        return _unmarked(part)
    if isinstance(part, Future):
        return _completed_value(part.final_state, repr(part.name))
    if isinstance(part, State):
        return _completed_value(part, str(part.state_details.task_run_id or part.state_details.flow_run_id))
    return part


def _unmarked(mark: Mark[Any]) -> Any:
    if isinstance(mark, allow_failure):
        return visit(mark.value, _value_even_if_failed)
    if isinstance(mark, quote):
        return mark.value
    if isinstance(mark, unmapped):
        return resolved(mark.value)
    return mark


def _value_even_if_failed(part: Any) -> Any:
    state = part.final_state if isinstance(part, Future) else part
    if not isinstance(state, State):
        return part
    if not state.is_final():
        # An input of that run failed in turn: return the exception for that.
        return state._why_unfinished()
    return state.result(raise_on_failure=False)


def _completed_value(state: State[Any], run: str) -> Any:
    if not state.is_completed():
        raise UpstreamFailed(
            f"The upstream run {run} is {state.name}{': ' + state.message if state.message else ''}; "
            "mark the argument with allow_failure() to run all the same.",
            cause=state.state_details.cause,
        )
    return state.result()
