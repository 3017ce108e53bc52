"""Explanations as programs get them: the contract's, with states that can be asked for their values."""

from __future__ import annotations

from orionflow.contract import explanations as contract
from orionflow.wire.answer import AnyState


class Dependency(contract.Dependency):
    """One task run and the task runs it takes its inputs from."""

    state: AnyState = None  # type: ignore[assignment]


class Why(contract.Why):
    """Why a run is where it is."""

    state: AnyState = None  # type: ignore[assignment]
