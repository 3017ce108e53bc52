"""Fuel: a count of the work that one validation may do, by the size of what it handles, and the same on every machine.

A unit is about ten nanoseconds of a slow machine. Where a library is called, its work is paid for before the call.
"""

from __future__ import annotations

import re
import time
from typing import Any

from pydantic_core import SchemaError, SchemaValidator

FUEL = 50_000_000
PER_NODE = 20
CHARACTERS_PER_UNIT = 8
# Keywords within keywords; Python's own limit would be met inside of a library that does not survive it.
DEEPEST = 100
# The second line of defence, should a library be slower than it was when its work was measured.
DEADLINE_SECONDS = 10.0
PER_LOOK_AT_THE_CLOCK = 2_000_000

# Longer ones are left to the run to match, and far longer ones are taken for no patterns.
LONGEST_JUDGED = 1000
LONGEST_PATTERN = 10_000
LONGEST_MATCHED = 10_000
PER_PATTERN = 100
PER_CHARACTER_PARSED = 4000
# Compiling costs by the atom: classes of Unicode are large, and larger where case is ignored. The engine itself gives
# up at ten megabytes, which bounds what one pattern can cost.
PER_ATOM, PER_ATOM_OF_UNICODE, PER_ATOM_IN_ANY_CASE = 2_000, 20_000, 400_000
MOST_PER_PATTERN, MOST_PER_PATTERN_IN_ANY_CASE = 12_000_000, 50_000_000
_OF_UNICODE = re.compile(r"\\[wWdDsSpP]|[^\x00-\x7f]")
_REPEATED = re.compile(r"\{(\d{1,20})(?:,(\d{0,20}))?\}")
# Python expands every range of characters one by one where case is ignored: a few bytes can take minutes to compile.
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")


class TooMuchWork(Exception):
    """Values could not be held to a schema in bounded time."""


class Work:
    """The fuel of one validation, and the patterns that it compiled."""

    def __init__(self, fuel: int | None = None) -> None:
        self.left = fuel = FUEL if fuel is None else fuel
        # For a schema that is visited in the search for what was evaluated.
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
        """Pay for one walk through the value; the amount."""
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
        """Whether the pattern is found in the text; None if nobody can say in bounded time."""
        self.burn(PER_PATTERN)
        found = self.search(pattern) if len(text) <= LONGEST_MATCHED else None
        if found is None:
            return None
        search, atoms = found
        self.burn(atoms * len(text))
        return search.isinstance_python(text)

    def search(self, pattern: str) -> tuple[SchemaValidator, int] | None:
        """The compiled pattern and how many atoms it has; None if it cannot be matched in linear time."""
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
        """Why this is no regular expression; None if it is one, or if that cannot be said in bounded time."""
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
    """An upper bound of the characters that the pattern stands for, its counted repetitions written out."""
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
    """A value as messages show it: long lists and texts are cut."""
    if isinstance(value, list | dict) and len(value) > MOST_SHOWN:
        some = value[:MOST_SHOWN] if isinstance(value, list) else list(value)[:MOST_SHOWN]
        return f"{cut(repr(some)[:-1])}, … {len(value) - MOST_SHOWN} more]"
    return cut(repr(value))


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
