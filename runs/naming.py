"""Names for runs that were created without one, two words that are easy to say; and lists of names in sentences."""

from __future__ import annotations

import random
from collections.abc import Sequence

FIRST = """
    amber bold brisk calm clever copper crimson curious dapper eager early fabled gentle golden hazel honest jolly keen
    lively lucky mellow nimble noble olive patient placid polite proud quiet rapid rosy silver smooth solid sunny swift
    tidy upbeat vivid warm witty zesty
"""
SECOND = """
    badger beaver bison bobcat crane dingo dolphin eagle falcon ferret finch gecko gibbon hare heron ibex jackal kestrel
    koala lemur lynx marmot marten newt ocelot osprey otter owl panda pelican puffin quail raven robin salmon seal
    sparrow stoat swallow tapir tern toucan vole walrus weasel wombat wren
"""


def two_word_name() -> str:
    return f"{random.choice(FIRST.split())}-{random.choice(SECOND.split())}"


def is_two_word_name(name: str) -> bool:
    first, _, second = name.partition("-")
    return first in FIRST.split() and second in SECOND.split()


def listed(names: Sequence[str], most: int = 3) -> str:
    """Join names in a sentence: the first ones, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
