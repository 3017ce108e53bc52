"""Names for runs that were created without one: two words that people can say to each other."""

from __future__ import annotations

import random

_FIRST = """
    amber bold brisk calm clever copper crimson curious dapper eager early fabled gentle golden hazel honest jolly keen
    lively lucky mellow nimble noble olive patient placid polite proud quiet rapid rosy silver smooth solid sunny swift
    tidy upbeat vivid warm witty zesty
"""
_SECOND = """
    badger beaver bison bobcat crane dingo dolphin eagle falcon ferret finch gecko gibbon hare heron ibex jackal kestrel
    koala lemur lynx marmot marten newt ocelot osprey otter owl panda pelican puffin quail raven robin salmon seal
    sparrow stoat swallow tapir tern toucan vole walrus weasel wombat wren
"""


def two_word_name() -> str:
    return f"{random.choice(_FIRST.split())}-{random.choice(_SECOND.split())}"
