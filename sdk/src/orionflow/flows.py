"""Flows: the `@flow` decorator, its options, and how flows are called."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from orionflow.code.sources import (
    key_of_function,
    name_of_function,
    version_of_file,
)
from orionflow.errors import UsageError
from orionflow.options.checks import checked_name, warn_of_unreadable
from orionflow.options.declared import Declared, as_given, option
from orionflow.options.deployable import Deployable
from orionflow.options.hooks import hooks_from
from orionflow.options.names import checked_name_option, run_name
from orionflow.options.parameters import Signature, note_names_around, parameter_model, validated
from orionflow.options.retries import checked_delays, flow_retries
from orionflow.recordable import CONTROL, REPLACEMENT, recordable_version
from orionflow.task_runners import ConcurrentTaskRunner, TaskRunner

if TYPE_CHECKING:
    from typing import Unpack

    from pydantic import BaseModel

    from orionflow.options.keywords import FlowOptions

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Q = ParamSpec("Q")
T = TypeVar("T")
S = TypeVar("S")

Overlap = Literal["allow", "queue", "skip", "cancel_new", "cancel_old"]
OVERLAPS = ("allow", "queue", "skip", "cancel_new", "cancel_old")
BAD_IN_NAMES = frozenset("/%&><")


def _checked_overlap(overlap: str, argument: str) -> str:
    if overlap not in OVERLAPS:
        raise UsageError(f"{argument}={overlap!r} is unknown; use one of {', '.join(OVERLAPS)}.")
    return overlap


def _runner(chosen: TaskRunner | type[TaskRunner] | None, argument: str) -> TaskRunner:
    if chosen is None:
        return ConcurrentTaskRunner()
    runner = chosen() if isinstance(chosen, type) else chosen
    if not isinstance(runner, TaskRunner):
        raise UsageError(f"{argument} must be a TaskRunner such as ConcurrentTaskRunner(), not {chosen!r}.")
    return runner


@cache
def _engine() -> ModuleType:
    """Return the module that calls flows, imported at the first call.

    The collector of cyclic garbage is off meanwhile: it would search the loaded modules sixty times, in vain.
    """
    was_enabled = gc.isenabled()
    if was_enabled:
        # Not otherwise: another thread may import it, too, and switch the collector on just before it is disabled here.
        gc.disable()
    try:
        return import_module("orionflow.engine.invoke")
    finally:
        if was_enabled:
            gc.enable()


class Flow(Declared[P, R], Deployable):
    """A function whose calls are flow runs. Made by `@flow`, which lists the options.

    Call it like the function. `fn` is the decorated function itself: call it in a unit test that records nothing. The
    calls of a generator function run to their end and return the list of everything that it yielded.

    Calls take two arguments in addition to those of the function. With `return_state=True` they return the final state,
    and never raise an exception of the function. `wait_for` is a list of futures that must have completed before.

    Raises `UsageError` if an option is unknown or does not fit, and `ParameterError` if a call does not fit the
    function.
    """

    _kind = "flow"

    flow_run_name = option(checked_name_option)
    retries = option(flow_retries)
    task_runner = option(_runner)
    validate_parameters: bool = option(as_given, True)
    submit_calls: bool = option(as_given, False)
    strict: bool = option(as_given, False)
    overlap = option(_checked_overlap, "allow")
    on_cancellation = option(hooks_from)
    on_crashed = option(hooks_from)
    on_running = option(hooks_from)

    _model: type[BaseModel] | None = None

    def __init__(self, fn: Callable[P, R], **options: Unpack[FlowOptions]) -> None:
        function = self._wrap(fn, options)
        note_names_around(function)
        named = checked_name(options.get("name"), name_of_function(function).replace("_", "-"))
        self.name: str = _fit_for_paths(named)
        self._version = recordable_version(options.get("version"))
        self.flow_key = key_of_function(function)
        self.signature = Signature(function, self.name)
        self.retry_delay_seconds = _one_delay(options.get("retry_delay_seconds"), self.retries)
        self._refuse_lost_results(f"Flow {self.name!r}", "result")

    @property
    def version(self) -> str | None:
        """The version that the program sets, or a digest of the file that defines the flow."""
        if self._version is None:
            # Computed on first use, because an import should not read the file.
            self._version = version_of_file(self.fn) or ""
        return self._version or None

    @property
    def keeps_results_of_children(self) -> bool:
        """Whether results of task runs and subflow runs must outlive this attempt, because the next one reads them."""
        return self.retries > 0 or self.crash_retries > 0

    @property
    def policy(self) -> dict[str, Any]:
        """The policy of the flow's runs: their retries, and what happens when two of them overlap."""
        policy: dict[str, Any] = {}
        if self.retries:
            policy |= {"retries": self.retries, "retry_delay": self.retry_delay_seconds}
        if self.crash_retries:
            policy["crash_retries"] = self.crash_retries
        if self.overlap != "allow":
            policy["overlap"] = self.overlap
        return policy

    def stores_results(self, *, wanted_by_parent: bool, by_default: bool) -> bool:
        """Whether the result must be readable later or by other processes."""
        if self.persist_result is not None:
            return self.persist_result
        return wanted_by_parent or not self.cache_result_in_memory or by_default

    def validated(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters coerced by the annotations; raise a ParameterError that says which do not fit."""
        if not self.validate_parameters or not parameters:
            return parameters
        if self._model is None:
            self._model = parameter_model(self.fn, self.signature.inspected)
        return validated(self.name, parameters, self._model, defaults=self.signature.inspected)

    def name_for(self, parameters: Mapping[str, Any]) -> str | None:
        """Return the name of a run with these parameters; None leaves it to the server."""
        return None if self.flow_run_name is None else run_name(self.flow_run_name, parameters, "flow_run_name")

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any] | None, return_state: bool
    ) -> Any:
        """Run the flow. A call of an async flow returns a coroutine, unless a sync flow makes it."""
        return _engine().call_flow(self, args, kwargs, wait_for, return_state)

    def with_options(self, **options: Any) -> Flow[P, R]:
        """Return a copy of the flow with some options changed: `etl.with_options(retries=2)()`.

        - `options`: options of `@flow`. All others stay as they are.

        Raises `UsageError` for an option that flows do not have.
        """
        self._check_names(options)
        kept = {name: getattr(self, name) for name in self.option_names if name != "version"}
        changed: Flow[P, R] = Flow(self._binding(self.fn), **{**kept, "version": self._version, **options})
        changed.fetched_from = self.fetched_from
        return changed

    # A class method is bound to the class and a usual method to the instance; a static method is not bound.
    @overload
    def __get__(self: Flow[Concatenate[type[S], Q], T], instance: S | None, owner: type[S]) -> Flow[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Flow[Concatenate[S, Q], T], instance: S, owner: type | None = None) -> Flow[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the flow as a method: called on an object, the flow gets the object as its first argument."""
        method = self._as_method(instance, owner)
        if method is not self:
            # The model has one field for each parameter, and the function has one parameter more.
            method._model = None
        return method

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"


def _fit_for_paths(name: str) -> str:
    if bad := BAD_IN_NAMES.intersection(name):
        raise UsageError(f"The flow name {name!r} has {' '.join(sorted(bad))} in it; choose one without {'/%&><'!r}.")
    name = CONTROL.sub(REPLACEMENT, name)
    warn_of_unreadable(name, "flow")
    return name


def _one_delay(delay: float | timedelta | None, retries: int) -> float:
    checked = checked_delays(delay, retries, "flow")
    if isinstance(checked, list):
        raise UsageError("retry_delay_seconds of a flow is one number; only tasks take a list.")
    return checked


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: each call is a flow run, whose states are recorded.

    ```python
    from orionflow import flow

    @flow(name="import", flow_run_name="import-{table}", retries=2, retry_delay_seconds=0.1, timeout_seconds=60)
    def import_table(table: str) -> int:
        return len(table)

    assert import_table("users") == 5
    ```

    Write `@flow` or `@flow(…)`; `fn` is the decorated function. All options have to be named:

    - `name`, `description`: by default the name of the function, with dashes, and its docstring. Functions with the
      same flow name share one flow.
    - `version`: a text that is stored with each run; by default a digest of the file.
    - `tags`: texts that each run gets.
    - `flow_run_name`: the name of a run: a template over the parameters, such as `"load-{table}"`, or a function
      without arguments that returns it. By default two random words.
    - `retries`: how often a failed run is tried again (default: 0, or ORION_FLOW_DEFAULT_RETRIES). Task runs that
      completed with the same inputs do not run again. `retry_delay_seconds`: seconds, or a `timedelta`, before each
      retry.
    - `crash_retries`: how often a run is tried again after its process died (default: 0); counted separately.
    - `task_runner`: where submitted tasks run. By default in threads: `ConcurrentTaskRunner()`.
    - `submit_calls`: with `True`, plain calls of tasks are submitted and return futures (default: `False`).
    - `strict`: with `True`, every step waits for the decision of the rules, instead of being reported in the
      background (default: `False`).
    - `overlap`: what to do if another run of the flow is running: `"allow"` (default), `"queue"` waits, `"skip"` and
      `"cancel_new"` end the new run, `"cancel_old"` ends the other one.
    - `timeout_seconds`: the longest time of a run, in seconds or as a `timedelta` (default: no limit). Outside of the
      main thread the function ends at its next line of Python.
    - `validate_parameters`: whether arguments are converted and checked by their annotations (default: `True`).
    - `persist_result`: whether the value is stored. By default it is if a retry or a caller needs it.
      `cache_result_in_memory`: whether it stays in memory (default: `True`).
    - `result_storage`: a folder or the name of a location. `result_serializer`: `"json"`, `"pickle"`,
      `"compressed/json"`, `"compressed/pickle"` or an object of yours; by default JSON where that restores the value
      exactly, and otherwise a pickle. `result_expiration`: a `timedelta` after which the value may be deleted.
    - `log_prints`: whether `print` also writes to the run's log; by default as in the enclosing flow.
    - `on_running`, `on_completion`, `on_failure`, `on_cancellation`, `on_crashed`: lists of functions that are called
      with the flow, the flow run and the state.

    Raises `UsageError` for an option that is unknown or does not fit.
    """
    Flow._check_names(options)
    if fn is None:
        return lambda fn: flow(fn, **options)
    if not callable(fn) and not isinstance(fn, classmethod | staticmethod):
        raise UsageError(f"@flow decorates a function, not {fn!r}; give options by name, as in @flow(name='etl').")
    return Flow(fn, **options)


# Also on the decorator, for programs that import only that: `flow.from_source(…)`.
flow.from_source = Flow.from_source  # type: ignore[attr-defined]
