"""Explanations as programs get them: the contract's models, with states whose values can be read."""

from __future__ import annotations

from orionflow.contract import explanations as contract
from orionflow.wire.answer import AnyState


class Dependency(contract.Dependency):
    """One task run, and the task runs that its inputs come from."""

    state: AnyState = None  # type: ignore[assignment]


class Why(contract.Why):
    """Why a run is in its state."""

    state: AnyState = None  # type: ignore[assignment]
