"""Reports that runs leave in logs and termination messages. They are untrusted, as any code may have written them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Report = dict[str, Any]
TEXTS = ("type", "name", "message", "error")
FACTS = ("is_out_of_touch",)
SHOWN_LINES, LONGEST_TAIL, LONGEST_LINE = 12, 1500, 20_000


def read_report(text: str) -> Report | None:
    """Return the known fields of a report; None if the text is not a report."""
    if len(text) > LONGEST_LINE:
        return None
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict):
        return None
    texts = {name: report[name] for name in TEXTS if isinstance(report.get(name), str)}
    return {**texts, **{name: True for name in FACTS if report.get(name) is True}}


def last_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][-SHOWN_LINES:]


def shown(tail: Sequence[str]) -> str:
    text = "\n".join(tail)
    if len(text) > LONGEST_TAIL:
        # Cut at the start of a line, if there is one: a secret whose first half is missing would not be masked.
        cut = text[-LONGEST_TAIL:]
        text = cut.partition("\n")[2] or cut
    return f" Its last lines:\n{text}" if text else ""
