"""Numbers with their nouns: `1 run`, `3 runs`, `2 queries`."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
