"""How long generative, hostile and stormy tests go on: briefly, or as long as `ORION_CHAOS_ROUNDS` says.

A brief round meets every kind of case a few times; `make thorough` and `make chaos` meet each many times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

T = TypeVar("T")
U = TypeVar("U")

# The two databases take different cases in a brief round.
SIDE = 1 if os.environ.get("ORION_TEST_DATABASE") == "postgresql" else 0
ROUNDS = int(os.environ.get("ORION_CHAOS_ROUNDS", "0"))
THOROUGH = ROUNDS > 0


def rounds(few: int) -> int:
    """How often a storm comes: `few` times in a brief round."""
    return ROUNDS or few


def share(cases: Sequence[T], number: int, of: int) -> Sequence[T]:
    """One of so many shares in a brief round, as neighbours and the other database take the others; else all cases."""
    return cases if THOROUGH else cases[(number + SIDE * of // 2) % of :: of]


def in_turn(rows: Iterable[T], columns: Iterable[U]) -> list[Any]:
    """All pairs for `parametrize`; in a brief round each row meets every second column, and the next row the others."""
    return [
        pytest.param(row, column, marks=[pytest.mark.long] if (number + place) % 2 else [])
        for number, row in enumerate(rows)
        for place, column in enumerate(columns)
    ]


def by_database(cases: Iterable[Any]) -> list[Any]:
    """All cases for `parametrize`; in a brief round each database takes every second one, the other the rest."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=[pytest.mark.long] if (number + SIDE) % 2 else []
        )
        for number, case in enumerate(cases)
    ]


def examples(few: int, many: int | None = None) -> settings:
    """Hypothesis settings: `few` examples in a brief round; `many`, or ten times as many, in one of 40 rounds."""
    count = max(few, (many or 10 * few) * ROUNDS // 40)
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
