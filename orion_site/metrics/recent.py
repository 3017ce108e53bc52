"""Distributions of the last minute or two, instead of since the start of the process."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

from orchestration.measured import Distribution, Seen, claim_delay, report_delay
from orion_site.database.sqlite.gate import gates
from orion_site.http.thread_pools import pools
from orion_site.metrics import event_loop

EVERY_SECONDS, KEPT = 30.0, 3

_past: deque[tuple[float, dict[str, Seen]]] = deque(maxlen=KEPT)


def distributions() -> Iterator[tuple[str, Distribution]]:
    yield "claims", claim_delay
    yield "reports", report_delay
    yield "loop", event_loop.lateness
    for pool in pools:
        yield f"wait for {pool.name}", pool.waited
        yield f"work of {pool.name}", pool.worked
    for gate in gates():
        yield "gate", gate.waited


def remember() -> None:
    """Store the present distributions from time to time; called about once a second."""
    if not _past or time.monotonic() - _past[-1][0] >= EVERY_SECONDS:
        _past.append((time.monotonic(), {name: one.seen() for name, one in distributions()}))


def recently() -> dict[str, Seen]:
    """Return how each distribution has grown since the oldest stored moment; in a young process, since its start."""
    then = _past[0][1] if _past else {}
    return {name: _since(one.seen(), then.get(name)) for name, one in distributions()}


def _since(now: Seen, then: Seen | None) -> Seen:
    if then is None:
        return now
    up_to = [new - old for new, old in zip(now.up_to, then.up_to, strict=True)]
    return Seen(now.bounds, up_to, now.number - then.number, now.total - then.total)


def slowest(seen: Seen, share: float = 0.95) -> float:
    """Return a bound below which at least `share` of the values lie; 0 if there are too few values."""
    if seen.number < 20:
        return 0.0
    place = bisect_left(seen.up_to, share * seen.number)
    return seen.bounds[place] if place < len(seen.bounds) else 2 * seen.bounds[-1]
