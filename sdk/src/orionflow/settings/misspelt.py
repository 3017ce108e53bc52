"""Misspelt settings: without a warning they would be ignored, and the default would apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orionflow.spelling import did_you_mean, distance

# The server, tests and users have variables of their own: only a name that differs from one of Orion's in one letter of
# ten counts as misspelt.
LETTERS_TO_A_SLIP = 10


def misspelt_variables(given: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each variable whose name is nearly that of a known one, with a question that suggests that one."""
    names = sorted(known)
    for variable in sorted(set(given) - set(names)):
        allowed = max(1, len(variable) // LETTERS_TO_A_SLIP)
        slips, meant = min((distance(variable, name, allowed), name) for name in names)
        if slips <= allowed:
            yield f"{variable} is unknown", f"did you mean {meant}?"


def unknown_settings(
    layers: Iterable[tuple[str, Mapping[str, object]]], known: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield each unknown setting in a file, with what to do."""
    names = sorted(known)
    for origin, values in layers:
        for name in sorted(set(values) - set(names)):
            otherwise = "take it out; docs/reference/settings.md has all settings"
            yield f"{origin}: {name} is unknown", did_you_mean(name, names, otherwise, most=1)
