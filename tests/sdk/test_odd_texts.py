"""Texts that no database takes do not keep a run from ending: undecodable file names, binary junk, long messages."""

from __future__ import annotations

import logging

import pytest

from orionflow import flow, task
from orionflow.testing import assert_failed, flow_run_of, states_of, task_runs_of


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The test runner cannot pass on some of these texts either: neither as captured lines nor in ids."""
    caplog.set_level(logging.CRITICAL + 1)
    caplog.set_level(logging.CRITICAL + 1, "orionflow")


@pytest.mark.parametrize("odd", ["a\x00b", "caf\udce9.txt", "z" * 300_000], ids=["nul", "surrogate", "long"])
def test_run_that_raises_an_odd_text_ends_as_failed(odd: str):
    @task(retries=1)
    def reads() -> None:
        raise ValueError(odd)

    @flow
    def failing() -> None:
        reads()

    state = failing(return_state=True)

    assert_failed(state, "ValueError: ")
    assert flow_run_of(state).state_name == "Failed"
    assert states_of(task_runs_of(state)[0])[-1] == "Failed"
