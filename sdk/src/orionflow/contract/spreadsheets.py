"""Texts in CSV: a spreadsheet would execute one that begins as a formula, and anybody who starts a run names it."""

from __future__ import annotations

import re

# Where a cell may begin: at the start, and wherever the text is split by a spreadsheet that separates cells by `;` or
# tabs, as it does in countries with a decimal comma, or that ends rows at line breaks.
_BEGINS_A_FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r])")


def as_cell(text: str) -> str:
    """Return the text with a `'` before each part that a spreadsheet would execute. One character is no formula."""
    return _BEGINS_A_FORMULA.sub(r"\1'", text) if text[1:] else text
