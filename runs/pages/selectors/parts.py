"""Rows of a file in parts that fit into memory, because messages can be long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CHARACTERS_PER_PART = 1_000_000


def in_parts(rows: Sequence[T], lengths: Iterable[int]) -> Iterator[Sequence[T]]:
    """Yield the rows in parts with at most CHARACTERS_PER_PART characters, or with one row.

    `lengths` are the numbers of characters of the rows. Without rows there is one empty part.
    """
    start = characters = 0
    for number, length in enumerate(lengths):
        if number > start and characters + length > CHARACTERS_PER_PART:
            yield rows[start:number]
            start, characters = number, 0
        characters += length
    yield rows[start:]
