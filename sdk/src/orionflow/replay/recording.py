"""The source of recorded results for a replayed run, which also observes the outcome of each call.

A call belongs to a recorded run if the key of the task and the digest of the inputs are equal. If no digest was
recorded, because the result was not kept, the order of the calls decides. `Seen` says which.
"""

from __future__ import annotations

import builtins
import copy
import dis
import inspect
import re
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionflow.contract.seals import without_seal
from orionflow.engine.commands import CancelRequested
from orionflow.engine.recorded import AGAIN, Again
from orionflow.engine.run_calls import FlowCall, TaskCall
from orionflow.errors import FailedRun, MissingResult
from orionflow.options.hooks import hooks_from
from orionflow.recordable import as_text
from orionflow.replay.capsule import LARGEST_CONTENT
from orionflow.replay.debugging import await_stopped, call_stopped
from orionflow.replay.records import FlowRunRecords, RecordedResult, Records, TaskRunRecord
from orionflow.serializers import COMPRESSED, serializer_of
from orionflow.states import State, StateType

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.wire import FlowRun

# A number, in a forked process under those of its forks (`fork1.2.0`), and before it a digest of the inputs, if known.
_DYNAMIC_KEY = re.compile(r"^((?:[0-9a-f]{40}-)?(?:fork(?:\d+\.)+)?\d+)(?:-[0-9a-f]{32})?$")
_RAISED = re.compile(r"raised (\w+)(?:: (.*))?\Z", re.DOTALL)
# Characters of an exception or a value that are reported.
LONGEST = 400


@dataclass(slots=True)
class Seen:
    """One call of a task in the replay: the recorded run that it belongs to, and its outcome now."""

    name: str
    task: str
    # "inputs", "order", or "" if no run is recorded.
    matched_by: str = ""
    # "recorded" if the recorded result replaced the call, "ran" if its function ran.
    now: str = "not reached"
    note: str = ""
    then_state: str = ""
    then_error: str = ""
    then_seconds: float | None = None
    now_state: str = ""
    now_error: str = ""
    now_seconds: float | None = None
    # None if there is nothing to compare.
    same_value: bool | None = None


@dataclass(slots=True)
class Replay:
    """One replay: the records, the choice of what runs, and the observations."""

    records: Records
    results: Path
    chosen: frozenset[str] = frozenset()
    # Ids of recorded task runs, or functions of tasks that the run did not reach.
    debugged: str | None = None
    until: str | None = None
    seen: list[Seen] = field(default_factory=list)
    is_over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self) -> Recording:
        """Return the source for the calls of the flow itself."""
        return Recording(self, self.records.root)

    def report(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.seen]

    def value_of(self, result: RecordedResult) -> Any:
        """Return the recorded value. Reading a pickle runs code that its writer put there, to which the user agreed."""
        if result.file is None:
            return result.literal
        content = (self.results / Path(result.file).name).read_bytes()
        content = without_seal(content)
        if (kind := result.serializer or "").startswith(COMPRESSED):
            content, kind = unpacked(content), kind.removeprefix(COMPRESSED)
        return serializer_of(kind or None).loads(content)


def unpacked(content: bytes) -> bytes:
    """Return the content of a compressed result, up to a limit, as it may be a zip bomb."""
    whole = zlib.decompressobj().decompress(content, LARGEST_CONTENT + 1)
    if len(whole) > LARGEST_CONTENT:
        raise MissingResult("It is larger than 1 GB.")
    return whole


class Recording:
    """The records of the calls of one flow run; the engine asks for each call."""

    def __init__(self, replay: Replay, own: FlowRunRecords | None) -> None:
        self._replay = replay
        self._own = own
        self._left: dict[str, list[TaskRunRecord]] = defaultdict(list)
        for one in own.task_runs if own is not None else ():
            self._left[one.task_key].append(one)
        self._all = {key: list(runs) for key, runs in self._left.items()}
        self._calls: Counter[str] = Counter()
        # Calls of functions that return nothing, whose results therefore are known to be None.
        self._silent: list[Seen] = []
        self._pairs: dict[tuple[str, str], tuple[TaskRunRecord | None, Seen]] = {}

    def of_call(self, key: str, dynamic_key: str, known: State[Any] | None) -> State[Any] | Again | None:
        """Return the recorded end of a call, or None if it must run."""
        self._refuse_beyond()
        replay = self._replay
        record, seen = self._paired(key, dynamic_key)
        if record is None:
            seen.note = "not reached then"
            return None
        is_other = seen.matched_by == "other"
        if is_other:
            seen.matched_by, seen.note = "order", "its inputs or its code are others than then"
        if is_other or record.id in replay.chosen or self._holds_chosen(record):
            return AGAIN
        return self._recorded_end(record, seen)

    def _recorded_end(self, record: TaskRunRecord, seen: Seen) -> State[Any] | None:
        result = self._own.results.get(record.id) if self._own else None
        if record.type == "COMPLETED" and result is not None:
            if not result.is_there and not (result.may_be_none and any(seen is one for one in self._silent)):
                seen.note = result.missing or ""
                return None
            if result.inputs_changed:
                seen.note = "it changed its arguments, which its value does not repeat"
                return None
            try:
                value = self._replay.value_of(result)
            except Exception as error:
                seen.note = f"its result cannot be read here: {type(error).__name__}: {as_text(error)}"[:LONGEST]
                return None
            seen.now, seen.now_state = "recorded", "Completed"
            self._has_ended(record, seen)
            return State(type=StateType.COMPLETED, value=value, message="The recorded result.")
        if record.type == "FAILED":
            seen.now, seen.now_state, seen.now_error = "recorded", seen.then_state, seen.then_error
            self._has_ended(record, seen)
            return State(type=StateType.FAILED, message=record.message, value=exception_again(record.message))
        seen.note = "it did not come to an end then"
        return None

    def inside(self, key: str, dynamic_key: str, known: State[Any] | None) -> Recording:
        """Return the source for the calls in a nested flow."""
        record, seen = self._paired(key, dynamic_key)
        seen.now, seen.note = "ran", seen.note or "its tasks take what was recorded"
        return Recording(self._replay, self._replay.records.below(record.id) if record else None)

    def begins(self, call: TaskCall | FlowCall) -> None:
        """Let a call run without retries, time limits and hooks, and observe it."""
        if not isinstance(call, TaskCall):
            call.flow = without_earnest(call.flow)
            return
        self._refuse_beyond()
        record, seen = self._paired(call.task.task_key, call.dynamic_key)
        if returns_nothing(call.task.fn):
            self._silent.append(seen)
        task = copy.copy(call.task)
        is_stopped = _is_meant(self._replay.debugged, record, seen)
        task.fn = self._observed(task.fn, task.is_async, record, seen, is_stopped=is_stopped)
        task.retry_condition_fn = lambda *_: False
        task.timeout_seconds, task.crash_retries = None, 0
        task.on_completion, task.on_failure = hooks_from(None, "on_completion"), hooks_from(None, "on_failure")
        call.task, call.place = task, None

    def _refuse_beyond(self) -> None:
        if self._replay.is_over:
            raise CancelRequested("The replay goes no further, as it was asked to.")

    def ended(self, flow_run: FlowRun) -> str | None:
        """Return nothing for the log, as the outcome of the calls is the output of the command."""

    def _paired(self, key: str, dynamic_key: str) -> tuple[TaskRunRecord | None, Seen]:
        """Pair a call with a recorded run, once."""
        with self._replay.lock:
            known = self._pairs.get((key, dynamic_key))
            if known is None:
                record, how = self._match(key, dynamic_key)
                known = self._pairs[(key, dynamic_key)] = record, self._seen(key, record, how)
            return known

    def _match(self, key: str, dynamic_key: str) -> tuple[TaskRunRecord | None, str]:
        if key not in self._left:
            # The same function, in a module with another name.
            function = key.rpartition("-")[0]
            others = [one for one in self._left if one.rpartition("-")[0] == function]
            key = others[0] if len(others) == 1 else key
        left, number = self._left.get(key, []), self._calls[key]
        self._calls[key] += 1
        base, has_digest = _base(dynamic_key), "-" in _base(dynamic_key)
        # If a run was tried several times, the last task run of a key counts.
        same = [one for one in left if _base(one.dynamic_key) == base]
        if same:
            record = same[-1]
            for one in same:
                left.remove(one)
            return record, "inputs" if has_digest else "order"
        if not left:
            return None, ""
        # A later call may belong to another record, so the record at the same position is tried first.
        there = self._all[key][number : number + 1]
        record = there[0] if there and there[0] in left else left[0]
        left.remove(record)
        return record, "other" if has_digest and "-" in _base(record.dynamic_key) else "order"

    def _seen(self, key: str, record: TaskRunRecord | None, how: str) -> Seen:
        function = key.rpartition("-")[0] or key
        if record is None:
            seen = Seen(function, function)
        else:
            seen = Seen(record.name or function, function, how)
            seen.then_state = (record.state.name if record.state else "") or record.type.capitalize()
            seen.then_error = "" if record.type == "COMPLETED" else record.message[:LONGEST]
            seen.then_seconds = record.total_run_time if record.start_time else None
        self._replay.seen.append(seen)
        return seen

    def _holds_chosen(self, record: TaskRunRecord) -> bool:
        below = self._replay.records.below(record.id)
        if below is None:
            return False
        return any(
            one.id in self._replay.chosen or one.id == self._replay.until or self._holds_chosen(one)
            for one in below.task_runs
        )

    def _has_ended(self, record: TaskRunRecord | None, seen: Seen) -> None:
        if _is_meant(self._replay.until, record, seen):
            self._replay.is_over = True

    def _observed(
        self, fn: Callable[..., Any], is_async: bool, record: TaskRunRecord | None, seen: Seen, *, is_stopped: bool
    ) -> Callable[..., Any]:
        """Return the function with an observer of its outcome."""

        if is_async:

            @wraps(fn)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                began, seen.now = time.monotonic(), "ran"
                try:
                    if inspect.isasyncgenfunction(fn):
                        value: Any = [part async for part in fn(*args, **kwargs)]
                    elif is_stopped:
                        value = await await_stopped(seen.name, fn, args, kwargs)
                    else:
                        value = await fn(*args, **kwargs)
                except BaseException as error:
                    self._raised(seen, record, error, began)
                    raise
                return self._returned(seen, record, value, began)

            return awaited

        @wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            began, seen.now = time.monotonic(), "ran"
            try:
                value = call_stopped(seen.name, fn, args, kwargs) if is_stopped else fn(*args, **kwargs)
                if inspect.isgenerator(value):
                    value = list(value)
            except BaseException as error:
                self._raised(seen, record, error, began)
                raise
            return self._returned(seen, record, value, began)

        return called

    def _raised(self, seen: Seen, record: TaskRunRecord | None, error: BaseException, began: float) -> None:
        seen.now_seconds = time.monotonic() - began
        seen.now_state = "Failed" if isinstance(error, Exception) else "Cancelled"
        seen.now_error = f"{type(error).__name__}: {as_text(error)}"[:LONGEST]
        self._has_ended(record, seen)

    def _returned(self, seen: Seen, record: TaskRunRecord | None, value: Any, began: float) -> Any:
        seen.now_seconds, seen.now_state = time.monotonic() - began, "Completed"
        result = self._own.results.get(record.id) if self._own and record else None
        if result is not None and result.is_there:
            seen.same_value = self._is_same(result, value)
        self._has_ended(record, seen)
        return value

    def _is_same(self, result: RecordedResult, value: Any) -> bool | None:
        from orionflow.values.digests import digest_of

        try:
            return digest_of(self._replay.value_of(result)) == digest_of(value)
        except Exception:
            # The value cannot be compared, or not be read here.
            return None


def without_earnest(flow: Flow[Any, Any]) -> Flow[Any, Any]:
    """Return the flow without retries, time limits and hooks: a replay runs once, and sends no messages."""
    hooks = dict.fromkeys(("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed"), ())
    return flow.with_options(retries=0, crash_retries=0, timeout_seconds=None, overlap="allow", **hooks)


def returns_nothing(fn: Any) -> bool:
    """Whether every return statement of a function returns None."""
    code = getattr(fn, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return False
    last: dis.Instruction | None = None
    for one in dis.get_instructions(code):
        if one.opname == "RETURN_CONST" and one.argval is not None:
            return False
        if one.opname == "RETURN_VALUE" and (last is None or last.opname != "LOAD_CONST" or last.argval is not None):
            return False
        last = one
    return True


def _is_meant(target: str | None, record: TaskRunRecord | None, seen: Seen) -> bool:
    if target is None:
        return False
    return target in (seen.task, seen.task.rpartition(".")[2]) if record is None else target == record.id


def _base(dynamic_key: str) -> str:
    """Return the dynamic key without the suffix for another run of the same call."""
    found = _DYNAMIC_KEY.match(dynamic_key)
    return found[1] if found else dynamic_key


def exception_again(message: str) -> Exception:
    """Return the exception that a failure message names, if Python has it; otherwise one with the message."""
    found = _RAISED.search(message)
    kind = getattr(builtins, found[1], None) if found else None
    if found and isinstance(kind, type) and issubclass(kind, Exception):
        try:
            again: Exception = kind(found[2] or "")
        except TypeError:
            return FailedRun(message)
        return again
    return FailedRun(message)
