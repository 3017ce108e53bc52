"""The main job, as `make demo` shows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.examples.conftest import Played

Play = Callable[[str], Played]


@pytest.mark.long
def test_census_handles_the_failing_input_and_reports_what_was_recorded(play: Play) -> None:
    played = play("census.py")

    assert played.flow_runs() == {"Completed": 2}
    assert played.task_runs("examine")["Failed"] == 1
    assert played.task_runs("examine")["Completed"] > 10
    assert "ended Completed" in played.printed
    assert "largest-distributions" in {found["key"] for found in played.ask("/artifacts/filter")}


@pytest.mark.programs
def test_census_retries_a_busy_index_with_the_reason(play: Play) -> None:
    played = play("census.py")

    (discovered,) = played.ask("/task_runs/filter", task_runs={"name": {"like_": "discover"}})
    states = played.states_of_task_run(discovered["id"])
    assert states == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]
    assert "retry 1 of 2" in played.printed


@pytest.mark.programs
def test_second_census_examines_nothing_that_did_not_change(play: Play) -> None:
    play("census.py")

    again = play("census.py")

    assert again.task_runs("examine")["Cached"] > 10


@pytest.mark.programs
def test_census_is_handed_over_and_run_by_an_agent(play: Play) -> None:
    played = play("deployed_census.py")

    assert "ended Completed" in played.printed
    assert "schedule: ics in" in played.printed
    by_hand = played.ask("/flow_runs/filter", flow_runs={"tags": {"all_": ["by-hand"]}})
    assert [run["state_name"] for run in by_hand] == ["Completed"]
    planned = played.ask("/flow_runs/filter", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}})
    assert len(planned) > 3
    assert all("census" in run["tags"] for run in [*by_hand, *planned])
