"""The cause of a run's failure, from its exception or from the runs that made it fail. Loaded when a run fails."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from orionflow.contract.fingerprints import cause_of
from orionflow.contract.states import BAD
from orionflow.errors import OrionError, UpstreamFailed
from orionflow.recordable import as_text
from orionflow.states import State

OURS = str(Path(__file__).parent.parent)
FOREIGN = ("/site-packages/", "/dist-packages/", "<frozen ")
STANDARD = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")})
# Frames of a traceback that are examined; only a recursion has more.
DEEPEST = 2_000
_CAUSE = "__orion_cause__"
_LINE = re.compile(r'^ *File "(.+?)", line \d+, in (.+)$', re.MULTILINE)

Frame = tuple[str, str]


def note_cause(state: State[Any], function: Callable[..., Any]) -> None:
    """Write the cause of a bad state into its details; `function` is the user's function that ran.

    If the cause cannot be determined, the server derives one from the state's message.
    """
    # Exceptions and functions belong to the user, and any access to them may raise.
    with suppress(Exception):
        if found := _cause_of_value(state.value, function, state.name):
            state.amend_details(cause=found)


def _cause_of_value(value: Any, function: Callable[..., Any], name: str) -> dict[str, str] | None:
    if isinstance(value, BaseException):
        return _cause_of_exception(value, function, name)
    if isinstance(value, State):
        return value.state_details.cause
    if isinstance(value, list | tuple | set | frozenset):
        return _first_cause(value)
    return None


def _first_cause(states: Iterable[Any]) -> dict[str, str] | None:
    """Return the cause of the first failed run, as the other failures may be its consequences."""
    for state in states:
        if isinstance(state, State) and state.type in BAD and state.state_details.cause:
            return state.state_details.cause
    return None


def _cause_of_exception(error: BaseException, function: Callable[..., Any], name: str) -> dict[str, str]:
    # The exception of a task propagates to its flow and to the flow around that, and has one cause in all of them.
    if noted := _noted(error):
        return noted
    # A task that could not start has the cause of its failed input.
    if type(error) is UpstreamFailed and error.cause:
        return error.cause
    kind, first, trace = type(error).__name__, error, error.__traceback__
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
        trace = first.__traceback__ or trace
    frames = own_frames(first, trace, _folder_of(function))
    if not frames and isinstance(error, OrionError):
        # Orion raised it about this function: a time limit, a value that cannot be stored, a process that died.
        frames = _frames_of(function)
        kind = name if isinstance(error, TimeoutError) else kind
    words = as_text(first) if first is error else f"{type(first).__name__}: {as_text(first)}"
    found = cause_of(kind, words, frames).as_dict()
    # Some exceptions do not accept attributes; their cause is computed again each time.
    with suppress(Exception):
        setattr(error, _CAUSE, found)
    return found


def _noted(error: BaseException) -> dict[str, str] | None:
    # Bypass a `__getattr__` of the user's class.
    try:
        noted: dict[str, str] = object.__getattribute__(error, _CAUSE)
    except AttributeError:
        return None
    return noted


def _frames_of(function: Callable[..., Any]) -> list[Frame]:
    code = getattr(function, "__code__", None)
    return [] if code is None else [(code.co_filename, code.co_name)]


def _folder_of(function: Callable[..., Any]) -> str:
    """Return the folder of the user's code, which counts as the user's even if it is installed as a library."""
    return next((str(Path(file).parent) + os.sep for file, _ in _frames_of(function) if os.sep in file), OURS)


def own_frames(error: BaseException, trace: TracebackType | None, folder: str) -> list[Frame]:
    """Return the user's functions that the exception passed through, the outermost first.

    For an exception of a task, return only the frames within the task, so that its cause is the same in the flow.
    """
    frames = list(_frames(trace))
    if not any(_is_own(file) or file.startswith(folder) for file, _ in frames):
        frames = _frames_as_text(error.__cause__)
    inner: list[Frame] = []
    outer: list[Frame] = []
    for frame in frames:
        if frame[0].startswith(OURS):
            outer, inner = inner or outer, []
        elif _is_own(frame[0]) or frame[0].startswith(folder):
            inner.append(frame)
    return inner or outer


def _frames_as_text(cause: BaseException | None) -> list[Frame]:
    """Return the frames of an exception from another process, which sent its traceback as text."""
    return _LINE.findall(as_text(cause)) if type(cause).__name__.endswith("RemoteTraceback") else []


def _frames(trace: TracebackType | None) -> Iterator[Frame]:
    for _ in range(DEEPEST):
        if trace is None:
            return
        code = trace.tb_frame.f_code
        yield code.co_filename, code.co_name
        trace = trace.tb_next


@lru_cache(maxsize=1024)
def _is_own(file: str) -> bool:
    """Whether the code is the user's: not Python's, Orion's or an installed library's."""
    # The folder of an environment may lie inside Python's own, and a project inside the folder of an environment.
    if file.startswith(OURS) or any(part in file for part in FOREIGN):
        return False
    return not file.startswith(STANDARD)
