"""Caching: a task whose cache key is known does not run again."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from orchestration.core.decide import ANYWHERE, TO_RUNNING, Facts, Transition
from orchestration.core.effects import RememberResult
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import ACCEPT, Accept, Amend, Reject, Verdict
from orionflow.contract.states import CACHED


class CacheFacts(Facts, Protocol):
    def cached_state(self, cache_key: str) -> State | None:
        """Return the newest unexpired state that a task run with this key left in the cache."""


class ReuseCachedResults:
    """A task run with a cache key completes as Cached if an unexpired result with the same key exists, and takes that
    result. With `refresh_cache` it runs."""

    number = 1
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: CacheFacts) -> Verdict:
        details = transition.proposed.details
        if details.cache_key is None:
            return ACCEPT
        if details.refresh_cache:
            return Amend("the cache is to be refreshed")
        cached = facts.cached_state(details.cache_key)
        if cached is None:
            return Amend(f"no unexpired result has the cache key {_short(details.cache_key)}")
        # The copy is a new state: services give it an id, a timestamp and the ids of this run.
        copy = replace(cached, name=CACHED, id=None, timestamp=None)
        return Reject(f"a result with the cache key {_short(details.cache_key)} is known", state=copy)


class RememberResultsByCacheKey:
    """When a task run with a cache key completes, its state is stored for later runs with the same key, until it
    expires."""

    number = 11
    leaving = ANYWHERE
    entering = frozenset({StateType.COMPLETED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        details = transition.proposed.details
        if details.cache_key is None:
            return ACCEPT
        effect = RememberResult(details.cache_key, details.cache_expiration)
        until = f" until {details.cache_expiration.isoformat()}" if details.cache_expiration else ""
        return Accept(f"kept in the cache{until}", effects=(effect,))


def _short(cache_key: str) -> str:
    return repr(cache_key if len(cache_key) <= 60 else f"{cache_key[:57]}…")
