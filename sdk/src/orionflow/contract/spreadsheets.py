"""Texts in CSV: a spreadsheet would execute one that begins as a formula, and anybody who starts a run names it."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_cell(text: str) -> str:
    """Return the text with a `'` in front if a spreadsheet would take it for a formula. One character is none."""
    return f"'{text}" if text[1:] and text.startswith(FORMULA) else text
