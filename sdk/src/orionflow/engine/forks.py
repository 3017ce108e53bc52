"""The processes that user code forks in a run, numbered: a child numbers the calls that it makes itself.

How a child leaves the function in which it was forked is a matter of `forked_children`.
"""

from __future__ import annotations

import itertools
import os
import threading

# How many forks lie between this process and the one that imported this module, and the number of each of them in the
# process that made it.
generation = 0
_path: tuple[int, ...] = ()
_made = 0
_numbers = itertools.count(1)
# Two threads may fork at the same moment: each knows the number of its own child.
_of_thread = threading.local()


def position() -> tuple[int, ...]:
    """Return the numbers of the forks that led to this process, and how many it has made itself."""
    return (*_path, _made)


def forks_since(began: tuple[int, ...]) -> tuple[int, ...]:
    """Return the forks between a position and this process, which descends from that one.

    They are numbered from there, so that they are the same in each attempt of a run that forks in the same order.
    """
    own = _path[len(began) - 1 :]
    return (own[0] - began[-1], *own[1:])


def _number_child() -> None:
    global _made
    _made = _of_thread.number = next(_numbers)


def _count_in_child() -> None:
    global generation, _path, _made, _numbers
    generation += 1
    _path, _made, _numbers = (*_path, _of_thread.number), 0, itertools.count(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_number_child, after_in_child=_count_in_child)
