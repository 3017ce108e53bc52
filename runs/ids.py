"""Identifiers that sort by time: rows written together lie together on disk, in the order of their making."""

from __future__ import annotations

import os
from time import time_ns
from uuid import UUID

_VERSION_AND_VARIANT = (7 << 76) | (2 << 62)
_RANDOM_BITS = (1 << 62) - 1

_last = 0


def uuid7() -> UUID:
    """A UUID of version 7, greater than those that its thread made before.

    48 bits of milliseconds, 12 of their fraction (RFC 9562, section 6.2, method 3), 62 of chance. The fraction counts
    on when the clock stands still or steps back.
    """
    global _last
    now = time_ns() * 512 // 125_000  # 4096 parts of a millisecond
    # Without a lock, which a fork could leave closed: what keeps ids apart is chance.
    _last = moment = max(now, _last + 1)
    random = int.from_bytes(os.urandom(8)) & _RANDOM_BITS
    return UUID(int=((moment >> 12) << 80) | ((moment & 0xFFF) << 64) | _VERSION_AND_VARIANT | random)
