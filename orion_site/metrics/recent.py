"""Distributions and claims of the last minute or two, instead of since the start of the process."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.measured import Distribution, Seen, claim_attempts, claim_delay, report_delay
from orion_site.database.sqlite.gate import gates
from orion_site.http.thread_pools import pools
from orion_site.metrics import event_loop, siblings

EVERY_SECONDS, KEPT = 30.0, 3


@dataclass(frozen=True, slots=True)
class Claims:
    """Runs that all processes of this server have tried to claim for agents within so many seconds."""

    seconds: float = 0.0
    claimed: int = 0
    # Another server, or another process, had them first.
    taken: int = 0


@dataclass(frozen=True, slots=True)
class _Moment:
    """The figures since the start, at a time of the monotonic clock."""

    at: float
    distributions: dict[str, Seen]
    # By process of this server.
    attempts: dict[str, Counter[str]]


_past: deque[_Moment] = deque(maxlen=KEPT)
_began = time.monotonic()


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
    """Store the present figures from time to time; called about once a second."""
    if not _past or time.monotonic() - _past[-1].at >= EVERY_SECONDS:
        _past.append(_Moment(time.monotonic(), {name: one.seen() for name, one in distributions()}, _attempts_of_all()))


def recently() -> dict[str, Seen]:
    """Return how each distribution has grown since the oldest stored moment; in a young process, since its start."""
    then = _past[0].distributions if _past else {}
    return {name: _since(one.seen(), then.get(name)) for name, one in distributions()}


def recent_claims() -> Claims:
    """Return the claims since the oldest stored moment; in a young process, since its start."""
    then, began = (_past[0].attempts, _past[0].at) if _past else ({}, _began)
    grown = Counter[str]()
    for process, attempts in _attempts_of_all().items():
        grown += _grown(attempts, then.get(process, Counter()))
    return Claims(time.monotonic() - began, grown["claimed"], grown["taken"])


def _attempts_of_all() -> dict[str, Counter[str]]:
    found = {siblings.siblings.name: Counter(claim_attempts.seen())}
    for sample in siblings.siblings.counts_of_others("orion_claim_attempts_total"):
        found.setdefault(sample.labels["process"], Counter())[sample.labels["status"]] += int(sample.value)
    return found


def _grown(now: Counter[str], then: Counter[str]) -> Counter[str]:
    # The counts of a process that was restarted begin again.
    return now - then if now >= then else now


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
