"""Ids of rows, created by the process that creates the row: UUIDs of version 7 (RFC 9562), ascending in a process.

Only environments have other ids: digests of their content.

Rows that are written together are stored together on disk, in the order of their creation. A repeated request names the
same row.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from datetime import datetime
from threading import RLock
from time import time_ns
from typing import Any
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_RANDOM_BITS = 62

# The garbage collector may run code that creates an id in a thread that holds the lock.
_lock = RLock()
# Not the shared generator of `random`: a program that seeds it would repeat its ids in every process.
_bits = random.Random(os.urandom(32))
_last = 0


def uuid7() -> UUID:
    """Return a new id, greater than every id that this process created before.

    The twelve bits after the milliseconds contain their fraction, or are counted up when the clock stands still or
    steps back.
    """
    global _last
    now = _milliseconds_and_fraction(time_ns())
    with _lock:
        _last = now if now > _last else _last + 1
        moment, noise = _last, _bits.getrandbits(_RANDOM_BITS)
    return UUID(int=((moment >> 12) << 80) | ((moment & 0xFFF) << 64) | _VERSION_AND_VARIANT | noise)


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest id of this moment: every id of version 7 below it was created earlier.

    It is 0 for moments before 1970, as no id has an earlier time.
    """
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def _milliseconds_and_fraction(nanoseconds: int) -> int:
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    return (milliseconds << 12) | ((rest << 12) // 1_000_000)


def _reseed_after_fork() -> None:
    # The parent's threads may hold the lock at the moment of the fork, and its next random bits are known in the child.
    global _lock, _bits
    _lock = RLock()
    _bits = random.Random(os.urandom(32))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed_after_fork)


def environment_id(content: Mapping[str, Any]) -> UUID:
    """Return the id of an environment with this content: a digest of it, so that each distinct one is stored once."""
    import hashlib
    import json

    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return UUID(bytes=hashlib.sha256(text.encode()).digest()[:16])
