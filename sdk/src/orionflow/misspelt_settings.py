"""Settings that nobody reads although they look like one that is: without a word the usual value would be in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

# The server, tests and users have variables of their own: only what is nearly one of ours is a slip.
CLOSE = 0.9


def misspelt_variables(given: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that is nearly a known one, with a question after that one."""
    names = sorted(known)
    for variable in sorted(set(given) - set(names)):
        if near := get_close_matches(variable, names, 1, CLOSE):
            yield f"{variable} is unknown", f"did you mean {near[0]}?"


def unknown_settings(
    layers: Iterable[tuple[str, Mapping[str, object]]], known: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield each setting of a file that does not exist, with what to do."""
    names = sorted(known)
    for origin, values in layers:
        for name in sorted(set(values) - set(names)):
            near = get_close_matches(name, names, 1)
            meant = f"did you mean {near[0]}?" if near else "take it out; docs/settings.md has all settings"
            yield f"{origin}: {name} is unknown", meant
