"""How many runs ended how, counted from the threads in which they end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from threading import Thread

import pytest

from orionflow.engine.state_counts import StateCounts
from orionflow.states import Completed, StateType

THREADS, EACH = 8, 2000


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_no_run_is_missed_when_many_end_at_once():
    counts, state = StateCounts(), Completed(value=None)

    def end_many() -> None:
        for _ in range(EACH):
            counts.add(state)

    threads = [Thread(target=end_many) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts.total == THREADS * EACH
    assert counts.verdict() == (StateType.COMPLETED, f"All {THREADS * EACH} runs completed.")
