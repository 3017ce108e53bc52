"""Recorded calls as programs get them: the contract's, with states that can be asked for their values."""

from __future__ import annotations

from orionflow.contract import retries as contract
from orionflow.wire.answer import AnyState


class RecordedCall(contract.RecordedCall):
    """A call of a task or nested flow, and the state in which it is."""

    state: AnyState = None  # type: ignore[assignment]


class RecordedCalls(contract.RecordedCalls):
    """A page of what an attempt of a retried run takes up."""

    calls: list[RecordedCall] = []  # type: ignore[assignment]
