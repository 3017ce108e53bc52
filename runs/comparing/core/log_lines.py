"""The first line of a log that another log does not have, ignoring the times and ids in both.

Tasks that run at the same time write in any order. So lines are not compared by position: each line of the later run is
matched with an equal line of the earlier one, as often as that wrote it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from runs.comparing.core.compared import LogDifference

LINES_ABOVE = 3
PASSING = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (
        re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z| ?UTC|[+-]\d\d:?\d\d)?)?"),
        "<time>",
    ),
    (re.compile(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?\b"), "<time>"),
    (re.compile(r"\b\d+(?:\.\d+)?(?:e-?\d+)? ?(?:ns|µs|us|ms|s|sec|secs|seconds|min|minutes)\b"), "<period>"),
    (re.compile(r"\b(pid|port|process)([ =:#]+)\d+\b", re.IGNORECASE), r"\1\2<number>"),
)


def normal(line: str, own_names: Sequence[str] = ()) -> str:
    """Return the line without text that differs from run to run: times, periods, ids, addresses, the run's own name."""
    for name in own_names:
        line = line.replace(name, "<run>")
    for pattern, word in PASSING:
        line = pattern.sub(word, line)
    return line


def first_difference(
    before: Sequence[str], after: Sequence[str], *, names_before: Sequence[str] = (), names_after: Sequence[str] = ()
) -> LogDifference | None:
    """Find the first line of `after` that `before` does not have, or has less often, with the lines above it."""
    written = [normal(line, names_before) for line in before]
    left = Counter(written)
    for place, line in enumerate(after):
        meant = normal(line, names_after)
        if left[meant]:
            left[meant] -= 1
            continue
        above = list(after[max(0, place - LINES_ABOVE) : place])
        return LogDifference(line, above, _instead(before, written, after[:place], names_after))
    return None


def _instead(before: Sequence[str], written: Sequence[str], common: Sequence[str], names: Sequence[str]) -> str:
    """Find the first line of `before` that the common lines do not have."""
    seen = Counter(normal(line, names) for line in common)
    for line, meant in zip(before, written, strict=True):
        if not seen[meant]:
            return line
        seen[meant] -= 1
    return ""
