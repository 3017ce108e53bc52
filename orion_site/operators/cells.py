"""Cells of the admin's lists other than plain columns."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models.functions import Left
from django.utils.safestring import SafeString

from runs.templatetags.states import state_badge

# Characters.
SHOWN = 200


class WithState:
    """Rows that have a copy of their state."""

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        return state_badge(row.state_type, row.state_name)


class Short:
    """The first characters of a long text; the database cuts it."""

    def __init__(self, column: str, description: str = "") -> None:
        self.column = column
        self.name = f"short_{column}"
        self.short_description = description or column.replace("_", " ").capitalize()
        # The admin names a column after the function that computes it.
        self.__name__ = self.name

    def __call__(self, row: Any) -> str:
        text = getattr(row, self.name) or "-"
        return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"

    @property
    def expression(self) -> Left:
        return Left(self.column, SHOWN + 1)
