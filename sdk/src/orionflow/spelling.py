"""Suggestions for misspelled names: known names that differ from the typed one by a few letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Shorter parts of names are too similar to each other to be suggested.
SHORTEST_PART = 4
_PARTS = re.compile(r"[-_/. ]+")


def near(typed: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the known names closest to the typed one, the nearest first; empty if none is close."""
    wanted = typed.casefold().replace("_", "-")
    allowed = max(1, len(wanted) // 3)
    ranked = sorted(
        (slips, place, name)
        for place, name in enumerate(dict.fromkeys(known))
        if (slips := _slips(wanted, name.casefold().replace("_", "-"), allowed)) <= allowed
    )
    return [name for _, _, name in ranked[:most]]


def did_you_mean(typed: str, known: Iterable[str], otherwise: str = "", *, most: int = 3, before: str = "") -> str:
    """Return a suggestion of similar names, with the text `before` each; if none is similar, return `otherwise`."""
    meant = " or ".join(f"{before}{name}" for name in near(typed, known, most=most))
    return f"did you mean {meant}?" if meant else otherwise


def _slips(typed: str, name: str, allowed: int) -> int:
    """Return the distance of two names; a match with a part of a longer one (`queue` in `work-queue`) costs 1 more."""
    whole = distance(typed, name, allowed)
    if whole <= 1 or len(typed) < SHORTEST_PART:
        return whole
    parts = [distance(typed, part, allowed) for part in _PARTS.split(name) if len(part) >= SHORTEST_PART]
    begun = 1 if name.startswith(typed) else allowed + 1
    return min([whole, begun, *(1 + part for part in parts)])


def distance(one: str, other: str, allowed: int) -> int:
    """Return the number of letters to insert, remove, replace or swap; if above `allowed`, it may be inexact."""
    if abs(len(one) - len(other)) > allowed:
        return allowed + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        earlier, before, row = before, row, [place]
        for column, against in enumerate(other, 1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != against))
            if place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == against:
                cost = min(cost, earlier[column - 2] + 1)
            row.append(cost)
        if min(row) > allowed:
            return allowed + 1
    return row[-1]
