"""Tools for tests of flows: a database for each test, a clock that does not wait, and queries about runs.

    from orionflow.testing import isolated, assert_completed, task_runs_of

    def test_etl():
        with isolated() as orion:
            state = etl("2026-01-01", return_state=True)

            assert_completed(state)
            assert [run.name for run in task_runs_of(state)] == ["extract-0", "load-0"]

With pytest: `from orionflow.testing.fixtures import orion` in conftest.py; a test with the argument `orion` is
isolated.
"""

from __future__ import annotations

from orionflow.testing.asserting import (
    assert_cancelled,
    assert_completed,
    assert_crashed,
    assert_failed,
    flow_run_of,
    flow_runs,
    logs_of,
    states_of,
    task_runs_of,
)
from orionflow.testing.isolation import Isolated, isolated
from orionflow.testing.virtual_clock import VirtualClock

__all__ = [
    "Isolated",
    "VirtualClock",
    "assert_cancelled",
    "assert_completed",
    "assert_crashed",
    "assert_failed",
    "flow_run_of",
    "flow_runs",
    "isolated",
    "logs_of",
    "states_of",
    "task_runs_of",
]
