"""`--on failed,late`: the states of which people want to be told, as types and names."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.query import STATE_GROUPS, STATE_NAMES, STATE_TYPES
from orionflow.spelling import near

USUAL = ("failed", "crashed")


def read_states(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Types (which cover all names of theirs) and names; both empty for any state."""
    types: list[str] = []
    names: list[str] = []
    for word in [one.strip() for given in words for one in given.split(",") if one.strip()]:
        if word.lower() == "any":
            return [], []
        found = STATE_GROUPS.get(word.lower()) or tuple(one for one in STATE_TYPES if one == word.upper())
        types += found
        names += [] if found else [_name(word)]
    return list(dict.fromkeys(types)), list(dict.fromkeys(names))


def _name(word: str) -> str:
    found = next((name for name in STATE_NAMES if name.lower() == word.lower()), None)
    if found is None:
        known = [*(one.lower() for one in STATE_TYPES), *STATE_GROUPS, *(name.lower() for name in STATE_NAMES), "any"]
        proposals = near(word, known)
        hint = f"did you mean {' or '.join(proposals)}?" if proposals else f"there are {', '.join(known)}."
        raise click.UsageError(f"There is no state {word!r}; {hint}")
    return found


def states_text(types: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join([*(one.lower() for one in types), *names]) or "any state"
