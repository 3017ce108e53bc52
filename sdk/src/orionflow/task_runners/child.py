"""The child's side of the process runner: receives a packed call, returns its outcome, sends log lines separately."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextvars import copy_context
from multiprocessing.util import Finalize
from typing import Any
from uuid import UUID

from orionflow import tracing
from orionflow.attempt import Attempt, attempt_for_children, begin_attempt
from orionflow.code.fetched_modules import know_folders, known_folders
from orionflow.contract.credentials import RUN_TOKEN_BEGINS
from orionflow.contract.traces import TRACEPARENT
from orionflow.engine.forked_children import LeftByChild, ParentContinues, exit_child
from orionflow.engine.time_limits import LimitReached, limited
from orionflow.errors import UnserializableError
from orionflow.processes import own_identity
from orionflow.recordable import as_text
from orionflow.task_runners.child_lines import (
    Collector,
    Lines,
    collected,
    late_lines,
    open_calls,
    send_lines_to,
    show_lines,
)
from orionflow.task_runners.log_pipe import LogWriter, log_pipe
from orionflow.values.pickling import dumps, loads

# How long a process that ends or may be killed waits for an API that does not answer.
LONGEST_DELIVERY_SECONDS = 5.0


def pack(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None) -> bytes:
    """Return a call as bytes, with its run; raise UnserializableError that names what cannot be sent."""
    try:
        return dumps((fn, tuple(args), dict(kwargs), seconds, _present_run(), known_folders()), by_reference=True)
    except Exception as error:
        raise UnserializableError(_why_not_packed(fn, args, kwargs, error)) from None


def _why_not_packed(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], error: Exception) -> str:
    named = [*((f"argument {n + 1}", value) for n, value in enumerate(args)), *kwargs.items()]
    culprit = next((f"its {name} ({type(value).__name__})" for name, value in named if not _travels(value)), "it")
    return (
        f"Task function {getattr(fn, '__name__', fn)!r} cannot run in another process, as {culprit} cannot be pickled "
        f"({as_text(error)}); create such a thing inside of the task, or use ConcurrentTaskRunner."
    )


def _travels(value: Any) -> bool:
    try:
        dumps(value)
    except Exception:
        return False
    return True


class RunOfChild:
    """The run that a child process works for, as far as the child needs it, and its token if it has one."""

    token: str | None = None
    traceparent: str | None = None
    # Loggers whose lines belong to the run, too.
    extra_loggers: tuple[str, ...] = ()
    # Its flow run, as `packed_flow_run` returns it.
    flow_run = b""
    dynamic_key = ""
    run_count = 1
    tags: frozenset[str] = frozenset()
    # The tags of runs that its function creates.
    tags_inside: frozenset[str] = frozenset()

    def __init__(self, flow_run_id: UUID, task_run_id: UUID, names: dict[str, Any], log_prints: bool) -> None:
        self.flow_run_id = flow_run_id
        self.task_run_id = task_run_id
        self.names = names
        self.log_prints = log_prints


def _present_run() -> RunOfChild | None:
    from orionflow.context import TaskRunContext, current_tags
    from orionflow.settings import current_settings
    from orionflow.task_runners.runs_of_parent import packed_flow_run

    context = TaskRunContext.get()
    if context is None:
        return None
    call = context.call
    names = {"flow": call.flow_run.flow.name, "flow_run": call.flow_run.flow_run.name, "task": call.task.name}
    run = RunOfChild(call.flow_run.id, call.id, {**names, "task_run": call.name}, context.log_prints)
    run.flow_run, run.dynamic_key, run.run_count = packed_flow_run(call.flow_run), call.dynamic_key, call.run_count
    run.tags, run.tags_inside = call.tags, current_tags()
    settings = current_settings()
    if settings.logging_extra_loggers and settings.logging_to_api:
        run.extra_loggers = settings.logging_extra_loggers
    key = settings.api_key
    # Keys of users and agents are not passed on.
    if key is not None and key.startswith(RUN_TOKEN_BEGINS):
        run.token = key
    if (carried := tracing.carried()) is not None:
        run.traceparent = carried[TRACEPARENT]
    return run


def call_in_child(payload: bytes) -> bytes:
    """Execute a packed call in the child, and return the packed outcome."""
    try:
        fn, args, kwargs, seconds, run, folders = loads(payload)
        if folders:
            know_folders(folders)
        with ParentContinues():
            # What a function sets in its context is not there for the next one.
            value = copy_context().run(_call, fn, args, kwargs, seconds, run)
            outcome: tuple[str, Any, str] = ("returned", value, "")
    except LeftByChild as left:
        # It would send the outcome in its parent's place, and wait for more calls.
        exit_child(left.reason)
    except LimitReached:
        outcome = ("time up", None, "")
    except BaseException as error:
        if not isinstance(error, Exception) and not _ends_runs(error):
            raise
        outcome = ("raised", error, traceback.format_exc())
    return _packed(outcome)


def _ends_runs(error: BaseException) -> bool:
    """Whether a flow that the function called ends for a reason that ends the runs around it as well."""
    # Loaded by the first run.
    commands = sys.modules.get("orionflow.engine.commands")
    return commands is not None and isinstance(error, commands.Stopped)


def _deliver(*, ends: bool) -> None:
    """Deliver what runs that began in this process reported. It ends now, or may be killed at any time."""
    # Loaded by the first run.
    if (current := sys.modules.get("orionflow.reporting.current")) is not None:
        try:
            keep = current.keep_reports if ends else current.keep_steps
            keep(LONGEST_DELIVERY_SECONDS)
        except Exception:
            traceback.print_exc()


def _call(fn: Any, args: Any, kwargs: Any, seconds: float | None, run: RunOfChild | None) -> Any:
    import asyncio
    import inspect

    from orionflow.task_runners.child_context import working_for

    def call() -> Any:
        value = fn(*args, **kwargs)
        if inspect.isgenerator(value):
            return list(value)
        if inspect.isasyncgen(value):
            value = _listed(value)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value

    if (lines := collected.get()) is not None:
        lines.run = run
    with working_for(run, fn, args, kwargs):
        return call() if seconds is None else limited(call, seconds)


async def _listed(parts: AsyncIterable[Any]) -> list[Any]:
    return [part async for part in parts]


async def _awaited(value: Any) -> Any:
    with ParentContinues():
        return await value


def _packed(outcome: tuple[str, Any, str]) -> bytes:
    kind, value, trace = outcome
    try:
        packed = dumps(outcome)
        loads(packed)
    except Exception as error:
        what = f"returned a {type(value).__name__}" if kind == "returned" else f"raised a {type(value).__name__}"
        unpacked = UnserializableError(f"The task {what}, which cannot come back from its process ({as_text(error)}).")
        packed = dumps(("raised", unpacked, trace))
    return packed


class RemoteTraceback(Exception):
    """The traceback in the child process, as text; it becomes the cause of the exception from there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def unpack_outcome(outcome: bytes) -> Any:
    """Return the value of a call in a child, or its exception raised here."""
    kind, value, trace = loads(outcome)
    match kind:
        case "time up":
            raise LimitReached
        case "raised":
            raise value from RemoteTraceback(trace)
    return value


def begin(writer: LogWriter, attempt: Attempt | None) -> None:
    """Prepare a child that works for one parent, and ends with it. It writes as the attempt of its parent."""
    send_lines_to(writer)
    if attempt is not None:
        begin_attempt(attempt)
    # A forked process runs no code of `atexit`. Threads that a task left behind go on after this; what they report then
    # is sent as long as they work.
    Finalize(None, _deliver, kwargs={"ends": True}, exitpriority=0)
    threading.Thread(target=_end_with_parent, name="orion-parent", daemon=True).start()


def _end_with_parent() -> None:
    # A parent that is killed closes nothing: this process would wait for the next call forever. A run that began here
    # may be tried again elsewhere, so its function must not go on either.
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


class LogShipping:
    """Transfers log lines of children to the parent's loggers while the children work."""

    def __init__(self) -> None:
        self._reader, self._writer = log_pipe()
        self._thread = threading.Thread(target=self._listen, name="orion-child-logs", daemon=True)
        self._thread.start()

    def initializer(self) -> dict[str, Any]:
        """Return the arguments with which a process pool starts its children."""
        return {"initializer": begin, "initargs": (self._writer, attempt_for_children())}

    def _listen(self) -> None:
        for packed in self._reader.packed_lines():
            try:
                show_lines([loads(packed)])
            except Exception:
                # As a handler does. Without this thread, the children would soon wait for ever.
                traceback.print_exc()

    def close(self) -> None:
        """Wait for lines that are on their way; the children have ended."""
        self._writer.close()
        self._reader.end()
        self._thread.join(timeout=5)


def this_process() -> tuple[int, str | None]:
    """Return what distinguishes this process from others: its id is that of another one in another container."""
    return os.getpid(), own_identity()


def call_with_lines(payload: bytes) -> tuple[bytes, list[logging.LogRecord]]:
    """Call a packed function. Return its packed outcome and the lines that it logged."""
    send_lines_to(Collector())
    lines = Lines()
    token = collected.set(lines)
    open_calls[id(lines)] = lines
    try:
        outcome = call_in_child(payload)
    finally:
        collected.reset(token)
        del open_calls[id(lines)]
    if lines.run is not None:
        lines.extend(late_lines.pop(lines.run.flow_run_id, ()))
    # The process may be killed from now on.
    _deliver(ends=False)
    _forget_token(lines.run)
    return outcome, list(lines)


def _forget_token(run: RunOfChild | None) -> None:
    """Close what reports with the token of a run, unless another call for this run goes on."""
    if run is None or run.token is None or (current := sys.modules.get("orionflow.reporting.current")) is None:
        return
    if all(lines.run is None or lines.run.token != run.token for lines in list(open_calls.values())):
        current.close_reporters_of(run.token)
