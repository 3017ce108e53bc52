"""Fuel: a budget of work for one validation, measured by the size of its data, and so the same on every machine.

A unit is about ten nanoseconds on a slow machine. Calls of a library are paid for in advance.
"""

from __future__ import annotations

import re
import time
from typing import Any

from pydantic_core import SchemaError, SchemaValidator

FUEL = 50_000_000
PER_NODE = 20
CHARACTERS_PER_UNIT = 8
# Nested keywords. Python's own limit would be reached inside a library that does not survive it.
DEEPEST = 100
# A second limit, in case a library is slower than when its work was measured.
DEADLINE_SECONDS = 10.0
PER_LOOK_AT_THE_CLOCK = 2_000_000

# Longer patterns are not matched here but left to the run; much longer ones are rejected as patterns.
LONGEST_JUDGED = 1000
LONGEST_PATTERN = 10_000
LONGEST_MATCHED = 10_000
PER_PATTERN = 100
PER_CHARACTER_PARSED = 4000
# The cost of compiling is per atom. Unicode classes are large, and larger when case is ignored. The engine gives up at
# ten megabytes, which bounds the cost of one pattern.
PER_ATOM, PER_ATOM_OF_UNICODE, PER_ATOM_IN_ANY_CASE = 2_000, 20_000, 400_000
MOST_PER_PATTERN, MOST_PER_PATTERN_IN_ANY_CASE = 12_000_000, 50_000_000
_OF_UNICODE = re.compile(r"\\[wWdDsSpP]|[^\x00-\x7f]")
_REPEATED = re.compile(r"\{(\d{1,20})(?:,(\d{0,20}))?\}")
# Python expands character ranges one by one when case is ignored, so a few bytes can take minutes to compile.
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")


class TooMuchWork(Exception):
    """Values could not be validated in bounded time."""


class Work:
    """The fuel of one validation, and the patterns that it has compiled."""

    def __init__(self, fuel: int | None = None) -> None:
        self.left = fuel = FUEL if fuel is None else fuel
        # The cost of each schema visited in the search for evaluated parts.
        self.per_visit = PER_NODE
        self._depth = 0
        self._look_at = fuel - PER_LOOK_AT_THE_CLOCK
        self._deadline = time.monotonic() + DEADLINE_SECONDS
        self._searches: dict[str, tuple[SchemaValidator, int] | None] = {}

    def go_deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise RecursionError

    def come_back(self) -> None:
        self._depth -= 1

    def burn(self, amount: int) -> None:
        self.left -= amount
        if self.left < self._look_at:
            self._look_at = self.left - PER_LOOK_AT_THE_CLOCK
            if self.left < 0 or time.monotonic() > self._deadline:
                raise TooMuchWork
        elif self.left < 0:
            raise TooMuchWork

    def weigh(self, value: Any) -> int:
        """Pay for one pass through the value, and return the amount."""
        before, waiting = self.left, [value]
        while waiting:
            one = waiting.pop()
            match one:
                case list():
                    self.burn(PER_NODE + len(one))
                    waiting.extend(one)
                case dict():
                    self.burn(PER_NODE + len(one) + sum(len(str(name)) for name in one) // CHARACTERS_PER_UNIT)
                    waiting.extend(one.values())
                case str():
                    self.burn(PER_NODE + len(one) // CHARACTERS_PER_UNIT)
                case int():
                    self.burn(PER_NODE + one.bit_length() // CHARACTERS_PER_UNIT)
                case _:
                    self.burn(PER_NODE)
        return before - self.left

    def may_match(self, pattern: str, text: str) -> bool | None:
        """Whether the pattern occurs in the text; None if that cannot be decided in bounded time."""
        self.burn(PER_PATTERN)
        found = self.search(pattern) if len(text) <= LONGEST_MATCHED else None
        if found is None:
            return None
        search, atoms = found
        self.burn(atoms * len(text))
        return search.isinstance_python(text)

    def search(self, pattern: str) -> tuple[SchemaValidator, int] | None:
        """Return the compiled pattern and its number of atoms; None if it cannot be matched in linear time."""
        if pattern not in self._searches:
            self._searches[pattern] = self._compiled(pattern)
        return self._searches[pattern]

    def _compiled(self, pattern: str) -> tuple[SchemaValidator, int] | None:
        if len(pattern) > LONGEST_JUDGED:
            return None
        atoms = atoms_of(pattern)
        self.burn(_cost_of_compiling(pattern, atoms))
        try:
            return SchemaValidator({"type": "str", "pattern": pattern, "regex_engine": "rust-regex"}), atoms
        except SchemaError:
            return None

    def flaw_of_pattern(self, pattern: str) -> str | None:
        """Return why this is not a regular expression; None if it is, or if that cannot be decided in bounded time."""
        if len(pattern) > LONGEST_PATTERN:
            return f"a pattern of {len(pattern)} characters is longer than {LONGEST_PATTERN}"
        if self.search(pattern) is not None or _IGNORES_CASE.search(pattern):
            return None
        self.burn(len(pattern) * PER_CHARACTER_PARSED)
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            return f"{shown(pattern)} is not a 'regex' ({error})"
        return None


def _cost_of_compiling(pattern: str, atoms: int) -> int:
    if _IGNORES_CASE.search(pattern):
        return min(atoms * PER_ATOM_IN_ANY_CASE, MOST_PER_PATTERN_IN_ANY_CASE)
    per_atom = PER_ATOM_OF_UNICODE if _OF_UNICODE.search(pattern) else PER_ATOM
    return min(atoms * per_atom, MOST_PER_PATTERN)


def atoms_of(pattern: str) -> int:
    """Return an upper bound for the number of atoms in the pattern, with counted repetitions expanded."""
    total = [0]
    last = 0
    position = 0
    while position < len(pattern):
        one = pattern[position]
        if repeated := _REPEATED.match(pattern, position):
            times = max(int(number) for number in (repeated[1], repeated[2] or "0"))
            total[-1] += last * max(times - 1, 0)
            last *= max(times, 1)
            position = repeated.end()
            continue
        if one == "(":
            total.append(0)
        elif one == ")" and len(total) > 1:
            last = total.pop() + 1
            total[-1] += last
        else:
            last = 1
            total[-1] += 1
        position += 2 if one == "\\" else 1
    return sum(total) + 1


LONGEST_SHOWN = 10_000
MOST_SHOWN = 100


def shown(value: Any) -> str:
    """Return a value as messages show it, with long lists and texts truncated."""
    if isinstance(value, list | dict) and len(value) > MOST_SHOWN:
        some = value[:MOST_SHOWN] if isinstance(value, list) else list(value)[:MOST_SHOWN]
        return f"{cut(repr(some)[:-1])}, … {len(value) - MOST_SHOWN} more]"
    return cut(repr(value))


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
