"""The current context: the flow run and the task run that code belongs to, and the tags in force.

Each is a context variable, so threads started by a runner and coroutines see their own.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from uuid import UUID

from orionflow.engine import forks
from orionflow.engine.exits import reset
from orionflow.engine.lineage import Lineage
from orionflow.engine.state_counts import StateCounts
from orionflow.errors import MissingContext
from orionflow.recordable import recordable_tag
from orionflow.settings import current_settings

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from orionflow.client import OrionClient
    from orionflow.engine.api import Api
    from orionflow.engine.interruption import Hold, Reason
    from orionflow.engine.loops import LoopThread
    from orionflow.engine.recorded import Recorded
    from orionflow.engine.run_calls import TaskCall
    from orionflow.errors import StorageFailed
    from orionflow.flows import Flow
    from orionflow.futures import Future
    from orionflow.reporting import Reporter
    from orionflow.results.storing_again import Unstored
    from orionflow.task_runners import TaskRunner
    from orionflow.task_runners.child import RunOfChild
    from orionflow.tasks import Task
    from orionflow.values.enclosed import Enclosed
    from orionflow.wire import FlowRun, TaskRun

_flow_run: ContextVar[FlowRunContext | None] = ContextVar("orion_flow_run", default=None)
_task_run: ContextVar[TaskRunContext | None] = ContextVar("orion_task_run", default=None)
_tags: ContextVar[frozenset[str]] = ContextVar("orion_tags", default=frozenset())


class Open(Protocol):
    """A call or nested run that has not ended while the flow around it runs."""

    @property
    def name(self) -> str:
        """The name that people read."""

    @property
    def inner_context(self) -> FlowRunContext | None:
        """The context of the attempt, if this is a flow run."""

    def abandon(self, reason: Reason) -> None:
        """Record a final state for a run that does not report one itself."""


@dataclass(kw_only=True, eq=False, repr=False)
class FlowRunContext:
    """One attempt of a flow run, as seen by its code and its tasks."""

    # Whether the attempt is in another process, which this one works for.
    is_of_parent: ClassVar[bool] = False

    flow: Flow[Any, Any]
    flow_run: FlowRun
    # The number of this attempt, for traces; a pause within the attempt raises `run_count`.
    attempt: int
    parameters: dict[str, Any]
    api: Api
    task_runner: TaskRunner
    parent: FlowRunContext | None
    log_prints: bool
    loop: AbstractEventLoop | None
    # Functions count as unchanged in each attempt of this run, even if the variables that they enclose change.
    enclosed: Enclosed
    # The source in which calls look for recorded outcomes, in a retry from tasks or a replay.
    recorded: Recorded | None

    start_time: datetime = field(default_factory=partial(datetime.now, UTC), init=False)
    state_counts: StateCounts = field(default_factory=StateCounts, init=False)
    lineage: Lineage = field(default_factory=Lineage, init=False)
    # The ids of earlier runs that calls of this attempt reuse, by the ids that the calls had before.
    stored_ids: dict[UUID, UUID] = field(default_factory=dict, init=False)
    unfinished: dict[Future[Any], TaskCall] = field(default_factory=dict, init=False)
    # An event loop references its tasks weakly; this set keeps those of submitted runs alive.
    coroutines: set[Any] = field(default_factory=set, init=False)
    # Calls whose caller waits here until the run has reported its end.
    called: set[TaskCall] = field(default_factory=set, init=False)
    # Work with a thread or a coroutine of its own: submitted tasks that have started, coroutines, nested runs.
    open: dict[Open, Hold] = field(default_factory=dict, init=False)
    # Whether the user's function has returned and all that it submitted has ended.
    is_over: bool = field(default=False, init=False)
    last_in_order: Future[Any] | None = field(default=None, init=False)
    # Values whose stores failed.
    unstored: Unstored | None = field(default=None, init=False)
    stopped_by: BaseException | None = field(default=None, init=False)
    # The run, and its form for other processes.
    packed: tuple[FlowRun, bytes] | None = field(default=None, init=False)
    _runner_started: bool = field(default=False, init=False)
    _runner_trouble: Exception | None = field(default=None, init=False)
    _warned_of_plain_calls: bool = field(default=False, init=False)
    _own_loop: LoopThread | None = field(default=None, init=False)
    _keys: dict[str, itertools.count[int]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.id: UUID = self.flow_run.id
        self.submit_calls = self.flow.submit_calls
        self.strict = self.flow.strict
        self.keeps_results = self.flow.keeps_results_of_children
        self.persists_by_default = current_settings().results_persist_by_default
        # A later attempt, or a run that was paused, must get the outcome of the steps taken before.
        self.is_repeated = self.flow_run.run_count > 1
        # The process of the run. One that user code forks numbers its calls itself, under the number of the fork.
        self._forks = forks.position()
        # What all keys of this run, and those of this process, begin with.
        self._prefix = self._origin = ""
        _contexts.add(self)

    @property
    def reporter(self) -> Reporter:
        return self.api.reporter

    @property
    def client(self) -> OrionClient:
        return self.api.client

    @property
    def is_known(self) -> bool:
        """Whether the API that this process uses knows the run. A worker may use another API than the flow."""
        return True

    def next_key(self, task_key: str) -> str:
        """Return the number of earlier calls under this key in this attempt and process: `3`, or `fork1.3`."""
        return f"{self._origin}{self._count(task_key)}"

    def shown_key(self, key: str) -> str:
        """Return a number of `next_key` in the form for names of runs."""
        return key

    def _count(self, key: str) -> int:
        counter = self._keys.get(key)
        if counter is None:
            # One step of the interpreter, so it needs no lock.
            counter = self._keys.setdefault(key, itertools.count())
        return next(counter)

    def continue_in_child(self) -> None:
        """Take this copy of the context over in a forked process, without the numbers, locks and threads of its parent.

        Only at the fork does no other thread of the child use it.
        """
        self._origin = f"{self._prefix}fork{'.'.join(map(str, forks.forks_since(self._forks)))}."
        self._keys = {}
        self._lock = threading.Lock()
        # Kept, because pools that are collected wake the threads of the parent.
        self._runner_of_parent = self.task_runner
        self.task_runner = self.task_runner.duplicate()
        self._runner_started, self._runner_trouble = False, None
        self.lineage.renew_lock()
        self.state_counts.renew_lock()

    @property
    def is_in_child(self) -> bool:
        """Whether calls are made by a process that user code forked. It may end at any time, by `os._exit`."""
        return self._origin != self._prefix

    def keep_unstored(self, failed: StorageFailed) -> None:
        """Try to store a value again when this attempt ends."""
        from orionflow.results.storing_again import Unstored

        with self._lock:
            self.unstored = self.unstored or Unstored()
        self.unstored.add(failed)

    def stored_sources(self, sources: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Return the task runs that inputs came from, with the ids by which the API knows them."""
        if not self.stored_ids:
            return sources
        stored = self.stored_ids
        return {
            name: [{**one, "id": stored.get(one["id"], one["id"])} for one in found] for name, found in sources.items()
        }

    def next_pause_key(self) -> str:
        """Return the number of the next pause. A later attempt skips the pauses that were resumed, by these numbers."""
        return str(self._count("pause") + 1)

    @property
    def still_open(self) -> list[Open]:
        """Return the calls that have not ended yet, whether they have started or not."""
        return list(dict.fromkeys([*self.unfinished.values(), *self.open]))

    def forget_future(self, future: Future[Any]) -> None:
        """Remove the future of a submitted task run that has ended."""
        self.unfinished.pop(future, None)

    def warn_of_plain_calls(self, name: str) -> None:
        """Log once that plain calls run in this process: users of a runner for other processes may expect otherwise."""
        if self._warned_of_plain_calls:
            return
        self._warned_of_plain_calls = True
        from orionflow.logging import flow_run_logger

        flow_run_logger(self).info(
            "Task %r is called here, not through %r: a plain call waits for its value. Use %s.submit(...), or "
            "@flow(submit_calls=True) to have every call submitted.",
            name, self.task_runner, name,
        )  # fmt: skip

    def running_task_runner(self) -> TaskRunner:
        """Return the task runner of this attempt; start it when the first task is submitted."""
        if not self._runner_started:
            with self._lock:
                self._start_task_runner()
        return self.task_runner

    def _start_task_runner(self) -> None:
        if self._runner_started:
            return
        if self._runner_trouble is not None:
            # The failed start may have taken long, and each further task would wait as long.
            raise self._runner_trouble
        try:
            self.task_runner.start()
        except Exception as error:
            self._runner_trouble = error
            raise
        self._runner_started = True

    def stop_task_runner(self, *, wait: bool) -> None:
        with self._lock:
            started, self._runner_started = self._runner_started, False
        if started:
            self.task_runner.stop(wait=wait)

    def own_loop(self) -> LoopThread:
        """Return the event loop for the coroutines of a sync flow; borrow it when the first one is called."""
        from orionflow.engine.loops import loops

        with self._lock:
            if self._own_loop is None or not self._own_loop.is_alive:
                self._own_loop = loops().borrow()
            return self._own_loop

    def give_loop_back(self) -> None:
        """Hand the borrowed event loop back when this attempt ends."""
        from orionflow.engine.loops import loops

        with self._lock:
            own, self._own_loop = self._own_loop, None
        if own is not None:
            loops().give_back(own)

    @staticmethod
    def get() -> FlowRunContext | None:
        """Return the flow run that this code belongs to, if any."""
        found = _flow_run.get()
        if found is None and (task_run := _task_run.get()) is not None:
            # In a process of a task runner, it is only made for code that asks for it.
            return task_run.flow_run
        return found

    @staticmethod
    def known() -> FlowRunContext | None:
        """Return the flow run that this code belongs to, if the API that this process uses knows it."""
        found = FlowRunContext.get()
        return found if found is not None and found.is_known else None


class TaskRunContext:
    """One run of a task, as its code sees it."""

    __slots__ = ("call", "log_prints", "start_time")
    # The run as its process sent it, in another process that calls the function.
    of_parent: RunOfChild | None = None

    def __init__(self, call: TaskCall, log_prints: bool) -> None:
        self.call = call
        self.log_prints = log_prints
        self.start_time = datetime.now(UTC)

    @property
    def task(self) -> Task[Any, Any]:
        return self.call.task

    @property
    def id(self) -> UUID:
        return self.call.id

    @property
    def task_run(self) -> TaskRun:
        return self.call.as_task_run()

    @property
    def parameters(self) -> dict[str, Any]:
        return self.call.parameters

    @property
    def flow_run(self) -> FlowRunContext:
        return self.call.flow_run

    @staticmethod
    def get() -> TaskRunContext | None:
        """Return the task run that this code belongs to, if any."""
        return _task_run.get()


# Of this process. Runs that have ended are left out as soon as nothing refers to their contexts.
_contexts: weakref.WeakSet[FlowRunContext] = weakref.WeakSet()


def _continue_all_in_child() -> None:
    for context in list(_contexts):
        context.continue_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_continue_all_in_child)


def run_of_parent() -> RunOfChild | None:
    """Return the run of the parent process that this code belongs to; None in runs that began in this process."""
    task_run = _task_run.get()
    return None if task_run is None else task_run.of_parent


def get_run_context() -> FlowRunContext | TaskRunContext:
    """Return the context of the current task run, or else of the current flow run.

    It has the `id` and the `parameters` of the run, and its `task` or `flow`.

    Raises `MissingContext` outside of flows and tasks.
    """
    found = _task_run.get() or _flow_run.get()
    if found is None:
        raise MissingContext("There is no run here; call this inside a function decorated with @flow or @task.")
    return found


def current_tags() -> frozenset[str]:
    """Return the tags of runs that are created here."""
    return _tags.get()


@contextmanager
def tags(*new_tags: str) -> Iterator[frozenset[str]]:
    """Add tags to all runs that are created in this block: `with tags("nightly"): etl()`.

    - `new_tags`: texts, in addition to the tags of enclosing blocks.
    """
    token = _tags.set(_tags.get() | frozenset(map(recordable_tag, new_tags)))
    try:
        yield _tags.get()
    finally:
        reset(_tags, token)


@contextmanager
def in_flow_run(context: FlowRunContext) -> Iterator[FlowRunContext]:
    """Let code in this block belong to the flow run, and to no task run."""
    token, task_token = _flow_run.set(context), _task_run.set(None)
    try:
        yield context
    finally:
        reset(_task_run, task_token)
        reset(_flow_run, token)


@contextmanager
def in_task_run(context: TaskRunContext) -> Iterator[TaskRunContext]:
    """Let code in this block belong to the task run."""
    token = _task_run.set(context)
    try:
        yield context
    finally:
        reset(_task_run, token)
