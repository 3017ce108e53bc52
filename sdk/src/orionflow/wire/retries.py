"""Recorded calls as programs get them: the contract's models, with states whose values can be read."""

from __future__ import annotations

from orionflow.contract import retries as contract
from orionflow.wire.answer import AnyState


class RecordedCall(contract.RecordedCall):
    """A call of a task or nested flow, and its state."""

    state: AnyState = None  # type: ignore[assignment]


class RecordedCalls(contract.RecordedCalls):
    """A page of the recorded calls that an attempt of a retried run reuses."""

    calls: list[RecordedCall] = []  # type: ignore[assignment]
