"""Flows whose attempts differ, and what of their work was really done."""

from __future__ import annotations

from typing import Any

from orionflow import task


class Attempts:
    """The differences from attempt to attempt, and the work that was really done."""

    def __init__(self, *plans: Any) -> None:
        self.plans = list(plans)
        self.begun = 0
        self.done: list[Any] = []

    def next(self) -> Any:
        self.begun += 1
        return self.plans[min(self.begun, len(self.plans)) - 1]

    @property
    def is_last(self) -> bool:
        return self.begun >= len(self.plans)

    def end(self) -> None:
        if not self.is_last:
            raise RuntimeError(f"attempt {self.begun} fails")


def upper(attempts: Attempts, **options: Any) -> Any:
    @task(name="upper", **options)
    def upper(x: Any) -> Any:
        attempts.done.append(x)
        return x, str(x).upper()

    return upper
