"""The ids of traces and spans of runs. They follow from the records, so that nobody has to store or to carry them.

A run belongs to the trace that its `context` names (`traceparent`, as W3C Trace Context has it), else to one of its
own, whose id is the run's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID

TRACEPARENT = "traceparent"
_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def named_trace(context: Mapping[str, Any]) -> tuple[str, str, bool] | None:
    """Return the trace and the span that a run was started by, and whether it is recorded; None where none is named."""
    said = context.get(TRACEPARENT)
    match = _FORM.fullmatch(said) if isinstance(said, str) else None
    return (match[1], match[2], bool(int(match[3], 16) & 1)) if match else None


def trace_id_of(run_id: UUID, context: Mapping[str, Any]) -> str:
    """Return the trace of a flow run, in hex."""
    named = named_trace(context)
    return named[0] if named else run_id.hex


def span_id_of(run_id: UUID, attempt: int) -> str:
    """Return the span of one attempt of a run, in hex."""
    return blake2b(run_id.bytes + attempt.to_bytes(4, "big"), digest_size=8).hexdigest()


def traceparent_of(trace_id: str, span_id: str, *, is_sampled: bool = True) -> str:
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"
