"""The ids of traces and spans of runs. They are derived from the records, so they need not be stored or passed on.

A run belongs to the trace that its `context` names (`traceparent` of W3C Trace Context), or otherwise to a trace of its
own with the run's id.
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
    """Return the trace and the span that started a run, and whether the trace is recorded; None if none is named."""
    value = context.get(TRACEPARENT)
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    return (match[1], match[2], bool(int(match[3], 16) & 1)) if match else None


def trace_id_of(run_id: UUID, context: Mapping[str, Any]) -> str:
    """Return the id of a flow run's trace, in hex."""
    named = named_trace(context)
    return named[0] if named else run_id.hex


def span_id_of(run_id: UUID, attempt: int) -> str:
    """Return the id of the span of one attempt of a run, in hex."""
    return blake2b(run_id.bytes + attempt.to_bytes(4, "big"), digest_size=8).hexdigest()


def traceparent_of(trace_id: str, span_id: str, *, is_sampled: bool = True) -> str:
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"
