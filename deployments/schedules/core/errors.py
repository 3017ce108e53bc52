"""Errors of schedules, with messages for the user who wrote the schedule."""

from __future__ import annotations


class ScheduleError(ValueError):
    """An invalid definition. The message says why, `field` says where."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field
