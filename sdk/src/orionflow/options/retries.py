"""Retries of runs: validation of their options, and growing delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from orionflow.errors import UsageError
from orionflow.settings import current_settings

Delays = float | int | timedelta | Sequence[float] | Callable[[int], list[float]] | None
MOST_DELAYS = 50
# The largest values that the API accepts.
MOST_RETRIES = 2**31 - 1
LONGEST_DELAY_SECONDS = 1e9


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Return delays that double: `@task(retries=3, retry_delay_seconds=exponential_backoff(2))` waits 2, 4 and 8 s.

    - `backoff_factor`: the first delay, in seconds.
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**attempt for attempt in range(retries)]

    return delays


def flow_retries(retries: int | None, argument: str) -> int:
    return current_settings().flow_default_retries if retries is None else checked_count(retries, argument)


def task_retries(retries: int | None, argument: str) -> int:
    return current_settings().task_default_retries if retries is None else checked_count(retries, argument)


def checked_count(retries: int, argument: str) -> int:
    """Return the number of retries, as far as the API accepts it."""
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise UsageError(f"{argument}={retries!r} must be a whole number, zero or more.")
    return min(retries, MOST_RETRIES)


def checked_delays(delays: Delays, retries: int, kind: str) -> float | list[float]:
    """Return the delays in seconds: one number, or one for each retry."""
    if delays is None:
        settings = current_settings()
        of_tasks, of_flows = settings.task_default_retry_delay_seconds, settings.flow_default_retry_delay_seconds
        return of_tasks if kind == "task" else of_flows
    if callable(delays):
        delays = delays(retries)
    if isinstance(delays, timedelta):
        return _seconds(delays.total_seconds())
    if isinstance(delays, int | float):
        return _seconds(delays)
    if len(delays) > MOST_DELAYS:
        raise UsageError(f"retry_delay_seconds has {len(delays)} delays; {MOST_DELAYS} are the most.")
    return [_seconds(delay) for delay in delays]


def _seconds(delay: float) -> float:
    if not isinstance(delay, int | float) or not 0 <= delay < float("inf"):
        raise UsageError(f"retry_delay_seconds={delay!r} must be a number of seconds, zero or more.")
    return min(delay, LONGEST_DELAY_SECONDS)
