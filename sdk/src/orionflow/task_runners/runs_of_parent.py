"""The flow run and the task run for which a task runner calls a function in another process.

Each call sends them along. The child unpacks the flow run only for code that asks for it, such as a nested flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.engine import forks
from orionflow.errors import ApiError, NotFound
from orionflow.values.pickling import dumps, loads

if TYPE_CHECKING:
    from orionflow.client.transport import Patience
    from orionflow.engine.run_calls import TaskCall
    from orionflow.task_runners.child import RunOfChild
    from orionflow.wire import FlowRun

# Seconds without an answer of the API after which it is assumed to be that of the flow.
UNTIL_ASSUMED = 5.0
# Characters of a name that the names of runs below it repeat.
LONGEST_SHOWN = 255


@dataclass(frozen=True, slots=True)
class SentFlowRun:
    """A flow run and its attempt, in the form for other processes. Parameters are not sent, as they may be large."""

    flow_run: FlowRun
    flow_name: str
    is_async: bool
    attempt: int
    log_prints: bool
    keeps_results: bool
    is_repeated: bool
    parent: SentFlowRun | None


def packed_flow_run(context: FlowRunContext) -> bytes:
    """Return the flow run in bytes, which are made once for all of its calls."""
    packed = context.packed
    if packed is None or packed[0] is not context.flow_run:
        packed = context.packed = context.flow_run, dumps(_sent(context))
    return packed[1]


def _sent(context: FlowRunContext) -> SentFlowRun:
    # The job variables may contain secrets.
    left_out: dict[str, Any] = {"parameters": {}, "state": None, "job_variables": {}}
    return SentFlowRun(
        flow_run=context.flow_run.model_copy(update=left_out),
        flow_name=context.flow.name,
        is_async=context.flow.is_async,
        attempt=context.attempt,
        log_prints=context.log_prints,
        keeps_results=context.keeps_results,
        # A source of recorded results decides what is reused, and only the process of the flow has it.
        is_repeated=context.is_repeated and context.recorded is None,
        parent=None if context.parent is None else _sent(context.parent),
    )


class FlowRunOfParent(FlowRunContext):
    """The flow run around a task whose function this process calls. Nested flows refer to it as their parent."""

    is_of_parent = True
    _is_known: bool | None = None
    _shown = ""

    @classmethod
    def of(cls, sent: SentFlowRun) -> FlowRunOfParent:
        from orionflow.engine.api import current_api
        from orionflow.flows import Flow
        from orionflow.values.enclosed import Enclosed

        flow: Flow[[], None] = Flow(_in_parent, name=sent.flow_name, version=sent.flow_run.flow_version or "")
        flow.is_async = sent.is_async
        context = cls(
            flow=flow,
            flow_run=sent.flow_run,
            attempt=sent.attempt,
            parameters={},
            api=current_api(),
            task_runner=flow.task_runner,
            parent=None if sent.parent is None else cls.of(sent.parent),
            log_prints=sent.log_prints,
            loop=None,
            enclosed=Enclosed(),
            recorded=None,
        )
        context.keeps_results, context.is_repeated = sent.keeps_results, sent.is_repeated
        # Read when they are asked for.
        del context.parameters
        return context

    def __getattr__(self, name: str) -> Any:
        if name != "parameters":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._read(None)
        return self.parameters

    @property
    def is_known(self) -> bool:
        if self._is_known is None:
            from orionflow.client.transport import Patience

            try:
                self._read(Patience(budget_seconds=UNTIL_ASSUMED))
            except NotFound:
                self._is_known = False
            except ApiError:
                # What is sent next waits for the API as usual, or fails and says why.
                return True
        return self._is_known is not False

    def _read(self, patience: Patience | None) -> None:
        from orionflow.calls.flow_runs import read_flow_run

        self.parameters = self.client.send(read_flow_run(self.id), patience=patience).parameters
        self._is_known = True

    def number_by(self, run: RunOfChild, began: tuple[int, ...]) -> None:
        """Begin the numbers of calls with this task run, as other processes number calls for the same flow run.

        Further attempts of the flow run find the same task run. `began` is the position when the function was called.
        """
        again = f"{run.run_count}." if run.run_count > 1 else ""
        self._prefix = self._origin = f"{run.task_run_id}.{again}"
        self._shown = f"{run.names['task_run'][:LONGEST_SHOWN]}.{again}"
        self._forks = began
        if len(forks.position()) > len(began):
            # The function has forked this process.
            self.continue_in_child()

    def shown_key(self, key: str) -> str:
        return self._shown + key.removeprefix(self._prefix)


def _in_parent() -> None:
    """Stand for the function of the flow."""


class TaskRunOfParent(TaskRunContext):
    """The task run of the parent process whose function this process calls."""

    def __init__(self, run: RunOfChild, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        # Not as in the base: `call` is made for code that asks for it.
        self.of_parent = run
        self.log_prints = run.log_prints
        self.start_time = datetime.now(UTC)
        self._function = fn, args, kwargs
        self._began = forks.position()

    def __getattr__(self, name: str) -> Any:
        if name != "call":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made = vars(self).get("_call")
        # Threads that ask at the same time get the same one: they share the numbers of their calls.
        return vars(self).setdefault("_call", self._made_call()) if made is None else made

    def _made_call(self) -> TaskCall:
        from orionflow.engine.run_calls import TaskCall
        from orionflow.tasks import Task

        run, (fn, args, kwargs) = self.of_parent, self._function
        assert run is not None
        flow_run = FlowRunOfParent.of(loads(run.flow_run))
        flow_run.number_by(run, self._began)
        call = TaskCall(Task(fn, name=run.names["task"]), (), {}, flow_run)
        call.resolve_to(list(args), dict(kwargs))
        call.id, call.name, call.dynamic_key = run.task_run_id, run.names["task_run"], run.dynamic_key
        call.tags, call.run_count = run.tags, run.run_count
        return call
