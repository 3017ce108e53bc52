"""`task.map`: submits one run for each element of the iterable arguments."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sized
from itertools import count
from typing import TYPE_CHECKING, Any

from orionflow.annotations import Mark, allow_failure, quote, unmapped
from orionflow.context import FlowRunContext
from orionflow.engine.drivers import drive_async, drive_in_sight
from orionflow.engine.effects import Steps, WaitFor
from orionflow.engine.event_loops import running_loop
from orionflow.engine.inputs import Found, resolved
from orionflow.engine.invoke import submit_task, waited_for
from orionflow.errors import ParameterError
from orionflow.futures import Future, FutureList
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.engine.lineage import Lineage
    from orionflow.tasks import Task


_NO_MORE = object()


def map_task(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    return_state: bool,
) -> Any:
    """Submit the runs. Futures among the arguments are waited for, as their values determine the number of runs."""
    task.signature.check(args, kwargs)
    given = task.signature.spread(args, kwargs)
    steps = _mapped(task, given, flow_run, waited_for(wait_for))
    if _must_await(given, flow_run):
        return _awaited(steps, return_state)
    futures: FutureList[Any] = drive_in_sight(steps)
    return futures.wait() if return_state else futures


def _must_await(given: dict[str, Any], flow_run: FlowRunContext) -> bool:
    loop = running_loop()
    if loop is None or loop is not flow_run.loop:
        return False
    # Blocking here would stop the loop in which these futures become done.
    return any(isinstance(part, Future) and part.loop is loop and not part.is_done for part in _tops(given))


async def _awaited(steps: Steps[FutureList[Any]], return_state: bool) -> Any:
    futures = await drive_async(steps)
    return await futures.wait() if return_state else futures


def _tops(given: dict[str, Any]) -> Iterable[Any]:
    for value in given.values():
        yield value.value if isinstance(value, Mark) else value


def _mapped(
    task: Task[Any, Any], given: dict[str, Any], flow_run: FlowRunContext, wait_for: list[Any] | None
) -> Steps[FutureList[Any]]:
    sources = _sources(given, flow_run.lineage)
    iterated = [part for part in _tops(given) if isinstance(part, Future)]
    if pending := [future for future in iterated if not future.is_done]:
        yield WaitFor(pending)
    columns, whole = _sorted_out(task, given)
    futures: FutureList[Any] = FutureList()
    for parts in zip(*columns.values(), strict=True):
        row = dict(zip(columns, parts, strict=True)) | whole
        args, kwargs = task.signature.split({name: row[name] for name in given})
        own = {name: [*found] for name, found in sources.items() if name in columns}
        futures.append(submit_task(task, args, kwargs, flow_run, wait_for, sources=own or None))
    return futures


def _sources(given: dict[str, Any], links: Lineage) -> dict[str, list[dict[str, Any]]]:
    """Return the runs that whole lists came from. Elements have sources of their own and do not show these."""
    found = Found(links)
    for name, value in zip(given, _tops(given), strict=True):
        found.add_source_of(name, value)
    return found.sources


def _sorted_out(task: Task[Any, Any], given: dict[str, Any]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the arguments to iterate over, and those that are passed to each run unchanged."""
    iterables: dict[str, tuple[Iterable[Any], allow_failure[Any] | quote[Any] | None]] = {}
    whole: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, unmapped):
            whole[name] = value.value
            continue
        mark = value if isinstance(value, allow_failure | quote) else None
        plain = _iterable_value(value if isinstance(value, allow_failure) else mark.value if mark else value)
        if not _is_iterable(plain):
            whole[name] = value
        else:
            iterables[name] = plain, mark
    if not iterables:
        raise ParameterError(
            f"{task.name}.map() got nothing to iterate over ({', '.join(given) or 'no arguments'}); "
            f"pass a list, or use {task.name}.submit()."
        )
    parts = _parts_of(task, {name: plain for name, (plain, _) in iterables.items()})
    marks = {name: mark for name, (_, mark) in iterables.items()}
    columns = {name: [_marked(part, marks[name]) for part in column] for name, column in parts.items()}
    return columns, whole


def _marked(part: Any, mark: allow_failure[Any] | quote[Any] | None) -> Any:
    return part if mark is None else mark.rewrap(part)


def _parts_of(task: Task[Any, Any], iterables: dict[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """Read the iterables, which must have one length.

    Iterators are read side by side, as some may have no end, until one of all has no more.
    """
    columns = {name: list(one) if isinstance(one, Sized) else [] for name, one in iterables.items()}
    iterators = {name: iter(one) for name, one in iterables.items() if not isinstance(one, Sized)}
    _refuse_shared(task, iterators)
    shortest = min((len(columns[name]) for name in columns if name not in iterators), default=None)
    more: dict[str, Any] = {}
    for read in count() if iterators else ():
        more = {name: part for name, one in iterators.items() if (part := next(one, _NO_MORE)) is not _NO_MORE}
        for name, part in more.items():
            columns[name].append(part)
        if len(more) < len(iterators) or read == shortest:
            break
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise _different_lengths(
            task, {name: f"more than {n - 1}" if name in more else n for name, n in lengths.items()}
        )
    return columns


def _refuse_shared(task: Task[Any, Any], iterators: dict[str, Iterator[Any]]) -> None:
    names: dict[int, str] = {}
    for name, one in iterators.items():
        if (other := names.setdefault(id(one), name)) != name:
            raise ParameterError(
                f"{task.name}.map() got one iterator as {other} and as {name}, which would share its elements; "
                "make a list of it first."
            )


def _different_lengths(task: Task[Any, Any], lengths: dict[str, Any]) -> ParameterError:
    shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
    return ParameterError(
        f"{task.name}.map() got iterables of different lengths ({shown}); use unmapped() for those that go to each run."
    )


def _iterable_value(value: Any) -> Any:
    """Return the value to iterate over. Only an outermost future is resolved; inner ones stay inputs of the runs."""
    inner = value.value if isinstance(value, allow_failure) else value
    return resolved(value) if isinstance(inner, Future | State) else inner


def _is_iterable(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | io.IOBase | Mark)
