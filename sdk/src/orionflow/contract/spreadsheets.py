"""Texts in CSV: a spreadsheet would execute one that begins as a formula, and anybody who starts a run names it."""

from __future__ import annotations

import re

# Where a cell may begin: at the start, and wherever the text is split by a spreadsheet that separates cells by `;` or
# tabs, as it does in countries with a decimal comma, or that ends rows at line breaks.
_BEGINS = "=+-@\t\r"
# Without an alternative for the start, which would be tried at each character of a long text.
_BEFORE_A_FORMULA = re.compile(rf"[;\t\r\n](?=[{re.escape(_BEGINS)}])")


def as_cell(text: str) -> str:
    """Return the text with a `'` before each part that a spreadsheet would execute. One character is no formula."""
    if not text[1:]:
        return text
    escaped = _BEFORE_A_FORMULA.sub(r"\g<0>'", text)
    return f"'{escaped}" if text[0] in _BEGINS else escaped
