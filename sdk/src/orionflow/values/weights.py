"""Estimates of the bytes that a value keeps alive, to limit what is kept only for convenience."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import Any

# In longer collections, parts are weighed without their content, and only this many of them completely.
SAMPLE = 20
DEPTH = 5
MANY = 100_000
_OF_UNKNOWN_SIZE = 1_000


TOO_MUCH = sys.maxsize

_WITHOUT_PARTS = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None)})


def weight_of(value: Any) -> int:
    """Return the estimated bytes of a value and its content, shared parts counted repeatedly; TOO_MUCH if it fails."""
    try:
        return _weight(value, DEPTH)
    except Exception:
        # Another thread may change a collection meanwhile, and methods of a user's class may raise.
        return TOO_MUCH


def _weight(value: Any, depth: int) -> int:
    weight = sys.getsizeof(value, _OF_UNKNOWN_SIZE)
    if type(value) in _WITHOUT_PARTS:
        return weight
    parts = _parts(value)
    if not parts or depth == 0:
        return weight
    if len(parts) <= SAMPLE:
        return weight + sum(_weight(part, depth - 1) for part in parts)
    return weight + _weight_of_many(parts, depth)


def _parts(value: Any) -> Collection[Any]:
    if isinstance(value, list | tuple | set | frozenset | deque):
        return value
    if isinstance(value, dict):
        return [*value.keys(), *value.values()] if len(value) <= MANY else value.values()
    fields = getattr(value, "__dict__", None)
    return list(fields.values()) if isinstance(fields, dict) and not isinstance(value, type) else ()


def _weight_of_many(parts: Collection[Any], depth: int) -> int:
    shallow = sum(map(sys.getsizeof, islice(parts, MANY)))
    shallow = shallow * len(parts) // min(len(parts), MANY)
    sample = list(islice(parts, 0, MANY, max(1, min(len(parts), MANY) // SAMPLE)))
    deeper = sum(_weight(part, depth - 1) - sys.getsizeof(part, _OF_UNKNOWN_SIZE) for part in sample)
    return shallow + deeper * len(parts) // len(sample)


def weight_of_frames(error: BaseException) -> int:
    """Estimate the bytes that the frames of an exception's traceback, and those of its causes, keep alive."""
    weight, seen, left = 0, set[int](), [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
        trace = one.__traceback__
        while trace is not None:
            frame, trace = trace.tb_frame, trace.tb_next
            # Reading the variables of a running frame would keep them alive, including the exception.
            if not frame.f_globals.get("__name__", "").startswith("orionflow."):
                weight += sum(weight_of(value) for value in list(frame.f_locals.values()))
    return weight
