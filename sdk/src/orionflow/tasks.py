"""Tasks: the `@task` decorator, its options, and how tasks are called, submitted and mapped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from orionflow.code.sources import key_of_function, name_of_function
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.errors import MissingContext, UsageError
from orionflow.options.checks import checked_callable, checked_expiration, checked_jitter, checked_name
from orionflow.options.declared import Declared, as_given, option
from orionflow.options.names import checked_name_option, run_name, storage_key
from orionflow.options.parameters import Signature
from orionflow.options.retries import checked_delays, task_retries
from orionflow.recordable import recordable_version
from orionflow.states import State

if TYPE_CHECKING:
    from typing import Unpack

    from orionflow.engine.run_calls import TaskCall
    from orionflow.futures import Future, FutureList
    from orionflow.options.keywords import TaskOptions
    from orionflow.wire import TaskRun

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Q = ParamSpec("Q")
T = TypeVar("T")
S = TypeVar("S")

CacheKeyFunction = Callable[[TaskRunContext, dict[str, Any]], str | None | Awaitable[str | None]]
RetryCondition = Callable[["Task[..., Any]", "TaskRun", State[Any]], bool | Awaitable[bool]]


class Task(Declared[P, R]):
    """A function whose calls inside flows are task runs. Made by `@task`, which lists the options.

    Call it like the function. `submit` runs it at the same time as others, and `map` runs it once for each element.
    `fn` is the function itself, for calls outside of flows and in unit tests.

    The calls of a generator function run to their end and return the list of everything that it yielded.

    Calls take two arguments in addition to those of the function. With `return_state=True` they return the final state,
    and never raise an exception of the function. `wait_for` is a list of futures that must have completed before.

    Raises `UsageError` if an option is unknown or does not fit, `MissingContext` if it is called outside of a flow or
    inside another task, and `ParameterError` if a call does not fit the function.
    """

    _kind = "task"

    task_run_name = option(checked_name_option)
    retries = option(task_retries)
    retry_jitter_factor = option(checked_jitter)
    retry_condition_fn: RetryCondition | None = option(checked_callable)
    cache_key_fn: CacheKeyFunction | None = option(checked_callable)
    cache_expiration = option(checked_expiration)
    refresh_cache: bool | None = option(as_given)
    result_storage_key: str | None = option(as_given)
    viz_return_value: Any = option(as_given)

    def __init__(self, fn: Callable[P, R], **options: Unpack[TaskOptions]) -> None:
        function = self._wrap(fn, options)
        self.name: str = checked_name(options.get("name"), name_of_function(function))
        self.version = recordable_version(options.get("version"))
        self.task_key: str = key_of_function(function)
        self.signature = Signature(function, self.name)
        self.retry_delay_seconds = checked_delays(options.get("retry_delay_seconds"), self.retries, "task")
        self._check_persistence()
        self.policy = self._policy()
        self.run_template = self._template()

    def _check_persistence(self) -> None:
        if self.persist_result is False and self.cache_key_fn is not None:
            raise UsageError(
                f"Task {self.name!r} is cached, which needs its results stored; drop persist_result=False."
            )
        self._refuse_lost_results(f"Task {self.name!r}", "results")

    def _policy(self) -> dict[str, Any]:
        """Return the policy of the task's runs: how they are retried."""
        policy: dict[str, Any] = {}
        if self.retries:
            policy["retries"] = self.retries
            policy["retry_delay"] = self.retry_delay_seconds
            if self.retry_jitter_factor is not None:
                policy["retry_jitter_factor"] = self.retry_jitter_factor
        if self.crash_retries:
            policy["crash_retries"] = self.crash_retries
        return policy

    def _template(self) -> dict[str, Any]:
        """Return the part of a new run's fields that is the same for each run."""
        template: dict[str, Any] = {"task_key": self.task_key}
        if self.policy:
            template["empirical_policy"] = self.policy
        if self.version is not None:
            template["task_version"] = self.version
        return template

    def stores_results(self, cache_key: str | None, flow_run: FlowRunContext) -> bool:
        """Whether a result must be readable later or by other processes."""
        if self.persist_result is not None:
            return self.persist_result
        return (
            cache_key is not None
            or flow_run.keeps_results
            or not self.cache_result_in_memory
            or self.result_storage_key is not None
            or flow_run.persists_by_default
        )

    def may_store_results(self, flow_run: FlowRunContext) -> bool:
        """Whether a later attempt of the flow run may find a stored result of this task."""
        return self.stores_results(None if self.cache_key_fn is None else "some", flow_run)

    def name_for(self, parameters: Mapping[str, Any]) -> str | None:
        """Return the name of a run with these parameters, for tasks with a `task_run_name`; None: the default name."""
        assert self.task_run_name is not None
        return run_name(self.task_run_name, parameters, "task_run_name")

    def storage_key_for(self, call: TaskCall) -> str:
        """Return the storage key of a run's result, as `result_storage_key` gives it."""
        assert self.result_storage_key is not None
        names = {"parameters": call.parameters, "task_run": call.as_task_run(), "flow_run": call.flow_run.flow_run}
        return storage_key(self.result_storage_key, {**call.parameters, **names}, "result_storage_key")

    # Calls

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any] | None, return_state: bool
    ) -> Any:
        """Run the task. In a flow with `submit_calls=True` the call is submitted and returns a future."""
        flow_run = self._flow_run()
        if flow_run.submit_calls and not return_state:
            return self.submit(*args, wait_for=wait_for, **kwargs)
        from orionflow.engine.invoke import call_task

        if flow_run.task_runner.call is not None and not return_state:
            flow_run.warn_of_plain_calls(self.name)
        return call_task(self, args, kwargs, flow_run, wait_for, return_state)

    # A future may stand for any argument, so arguments are not checked against the types of the function.
    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Future[T]: ...
    @overload
    def submit(
        self, /, *args: Any, return_state: Literal[False] = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Future[R]: ...
    @overload
    def submit(
        self, /, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State[R]: ...
    def submit(
        self, /, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Start the task and return a future at once. The flow's task runner decides where it runs.

        ```python
        from orionflow import flow, task

        @task
        def double(number: int) -> int:
            return 2 * number

        @flow
        def both() -> int:
            first, second = double.submit(1), double.submit(2)
            return first.result() + second.result()

        assert both() == 6
        ```

        - `args`, `kwargs`: the arguments of the function. The task waits for futures among them, also inside lists,
          dicts and models, and receives their values.
        - `return_state`: with `True`, wait and return the final state in place of the future.
        - `wait_for`: futures that must have completed before the task starts, and whose values it does not need.

        Raises `MissingContext` outside of a flow and inside another task, and `ParameterError` if the arguments do not
        fit the function. An exception of the function is raised by `Future.result`.
        """
        from orionflow.engine.invoke import submit_task

        return submit_task(self, args, kwargs, self._flow_run(), wait_for, return_state)

    def map(
        self, /, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> FutureList[R]:
        """Start the task once for each element of its arguments. Return a list of futures, in order, with `result()`
        and `wait()` for all of them.

        ```python
        from orionflow import flow, task, unmapped

        @task
        def power(base: int, exponent: int) -> int:
            return base**exponent

        @flow
        def squares() -> list[int]:
            return power.map([1, 2, 3], unmapped(2)).result()

        assert squares() == [1, 4, 9]
        ```

        - `args`, `kwargs`: the arguments of the function. Lists and other iterables are taken element by element, and
          must be equally long. Everything else goes to each run unchanged; a text counts as one value, and
          `unmapped(values)` passes a whole list. A future of a list is waited for first.
        - `return_state`: with `True`, wait and return the list of final states in place of the futures.
        - `wait_for`: futures that must have completed before any of the runs starts.

        Raises `MissingContext` outside of a flow and inside another task, and `ParameterError` if lengths differ, if
        nothing can be iterated over, or if the arguments do not fit the function.
        """
        from orionflow.engine.mapping import map_task

        futures: FutureList[R] = map_task(self, args, kwargs, self._flow_run(), wait_for, return_state)
        return futures

    def _flow_run(self) -> FlowRunContext:
        flow_run = FlowRunContext.get()
        if flow_run is None:
            raise MissingContext(
                f"Task {self.name!r} was called outside of a flow; call it in a function decorated with @flow, "
                f"or call {self.name}.fn(...) to run only the function."
            )
        if (outer := TaskRunContext.get()) is not None:
            raise MissingContext(
                f"Task {self.name!r} was called inside of task {outer.task.name!r}; call it from the flow, "
                f"make {outer.task.name!r} a flow, or call {self.name}.fn(...) to run only the function."
            )
        return flow_run

    # Variations

    def with_options(self, **options: Any) -> Task[P, R]:
        """Return a copy of the task with some options changed: `load.with_options(retries=3)(table)`.

        - `options`: options of `@task`. All others stay as they are.

        Raises `UsageError` for an option that tasks do not have.
        """
        self._check_names(options)
        kept = {name: getattr(self, name) for name in self.option_names}
        if not self.retries:
            kept["retry_delay_seconds"] = None
        return Task(self._binding(self.fn), **{**kept, **options})

    # A class method is bound to the class and a usual method to the instance; a static method is not bound.
    @overload
    def __get__(self: Task[Concatenate[type[S], Q], T], instance: S | None, owner: type[S]) -> Task[Q, T]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Task[Concatenate[S, Q], T], instance: S, owner: type | None = None) -> Task[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the task as a method: called on an object, the task gets the object as its first argument."""
        return self._as_method(instance, owner)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task: each call in a flow is a task run, which is retried, cached and recorded by itself.

    ```python
    from datetime import timedelta

    from orionflow import flow, task, task_input_hash

    @task(retries=2, retry_delay_seconds=[0.1, 1], cache_key_fn=task_input_hash, cache_expiration=timedelta(days=1))
    def fetch(url: str) -> str:
        return f"the page at {url}"

    @flow
    def crawl() -> str:
        return fetch("here")

    assert crawl() == "the page at here"
    ```

    Write `@task` or `@task(…)`; `fn` is the decorated function. All options have to be named:

    - `name`, `description`: by default the name of the function and its docstring.
    - `tags`: texts that each run gets. Tags may have concurrency limits.
    - `version`: a text that is stored with each run, and is part of its cache key.
    - `task_run_name`: the name of a run: a template over the parameters, such as `"load-{table}"`, or a function
      without arguments that returns it.
    - `retries`: how often a failed run is tried again (default: 0, or ORION_TASK_DEFAULT_RETRIES).
      `retry_delay_seconds`: seconds, a `timedelta`, a list with one number for each retry, or a function of the number
      of retries that returns such a list (`exponential_backoff(2)`). `retry_jitter_factor`: how far the delays are
      spread at random, as a share of each.
    - `retry_condition_fn`: a function of the task, the task run and the state, which returns whether this failure is
      worth a retry. It may be async.
    - `crash_retries`: how often a run is tried again after its process died (default: 0); counted separately.
    - `cache_key_fn`: a function of the context and a dict of the arguments, which returns a text and may be async. Runs
      with the same text share the value of the first one, until `cache_expiration`, a `timedelta`, has passed (default:
      never). `refresh_cache`: with `True`, the task runs anyway, and its value replaces the cached one.
    - `persist_result`: whether values are stored. By default they are if a cache or a retry of the flow needs them.
      `cache_result_in_memory`: whether they stay in memory (default: `True`).
    - `result_storage`: a folder or the name of a location. `result_storage_key`: the name of the file, a template over
      the parameters. `result_serializer`: `"json"`, `"pickle"`, `"compressed/json"`, `"compressed/pickle"` or an object
      of yours. `result_expiration`: a `timedelta` after which values may be deleted.
    - `timeout_seconds`: the longest time of a run, in seconds or as a `timedelta` (default: no limit). In threads and
      processes the function ends at its next line of Python.
    - `log_prints`: whether `print` also writes to the run's log; by default as in the flow.
    - `on_completion`, `on_failure`: lists of functions that are called with the task, the task run and the state.
    - `viz_return_value`: accepted for compatibility with Prefect, and not used.

    Raises `UsageError` for an option that is unknown or does not fit.
    """
    Task._check_names(options)
    if fn is None:
        return lambda fn: task(fn, **options)
    if not callable(fn) and not isinstance(fn, classmethod | staticmethod):
        raise UsageError(f"@task decorates a function, not {fn!r}; give options by name, as in @task(name='load').")
    return Task(fn, **options)
