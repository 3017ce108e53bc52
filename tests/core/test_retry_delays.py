"""How long a run waits before it tries again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core.rules.retries import LONGEST_DELAY_SECONDS, retry_delay
from orchestration.core.runs import RunPolicy
from tests.core.worlds import World


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (RunPolicy(retries=3), [0, 0, 0]),
        (RunPolicy(retries=3, retry_delay=5), [5, 5, 5]),
        (RunPolicy(retries=3, retry_delay=(1, 10)), [1, 10, 10]),
        (RunPolicy(retries=3, retry_delay=()), [0, 0, 0]),
        (RunPolicy(retries=3, retry_delay=2, retry_backoff_factor=3), [2, 6, 18]),
        (RunPolicy(retries=3, retry_delay=2, retry_backoff_factor=3, retry_delay_max=10), [2, 6, 10]),
        (RunPolicy(retries=3, retry_delay=0, retry_backoff_factor=3), [0, 0, 0]),
        (RunPolicy(retries=3, retry_backoff_factor=3), [1, 3, 9]),
    ],
)
def test_delays_follow_the_policy(policy, delays):
    waited = [retry_delay(policy, attempt, World()).total_seconds() for attempt in (1, 2, 3)]

    assert waited == pytest.approx(delays)


@given(
    base=st.floats(0.001, 1e6),
    factor=st.floats(0.01, 5),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_around_the_delay(base, factor, draw):
    policy = RunPolicy(retries=1, retry_delay=base, retry_jitter_factor=factor)

    seconds = retry_delay(policy, 1, World(draw=draw)).total_seconds()

    assert base * max(0, 1 - factor) - 1e-3 <= seconds <= base * (1 + factor) + 1e-3


@given(attempt=st.integers(1, 10_000), factor=st.floats(0, 1e6), base=st.floats(0, 1e9))
def test_no_number_of_attempts_overflows(attempt, factor, base):
    policy = RunPolicy(retries=attempt, retry_delay=base, retry_backoff_factor=factor)

    assert 0 <= retry_delay(policy, attempt, World()).total_seconds() <= LONGEST_DELAY_SECONDS


def test_jitter_spreads_the_draws_over_the_whole_range():
    policy = RunPolicy(retries=1, retry_delay=10, retry_jitter_factor=0.5)

    waits = [retry_delay(policy, 1, World(draw=step / 100)).total_seconds() for step in range(100)]

    assert waits == sorted(waits)
    assert (waits[0], round(waits[-1])) == (5, 15)
