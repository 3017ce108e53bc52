"""Errors of schedules, in a sentence for the one who wrote the schedule."""

from __future__ import annotations


class ScheduleError(ValueError):
    """A definition that means nothing; the sentence says why, `field` where."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field
