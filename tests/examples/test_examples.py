"""Every example does what it says, and Orion's records agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.examples.conftest import Played

pytestmark = pytest.mark.programs

Play = Callable[[str], Played]


def test_failing_row_is_retried_while_the_others_are_not(play: Play) -> None:
    played = play("etl_with_retry.py")

    assert "total: 109.7 EUR; tries per row: {1: 1, 2: 1, 3: 2}" in played.printed
    assert played.flow_runs() == {"Completed": 1}
    counts = {run["name"]: run["run_count"] for run in played.ask("/task_runs/filter")}
    assert [counts[f"transform-{row}"] for row in (1, 2, 3)] == [1, 1, 2]


def test_a_thousand_asynchronous_tasks_are_all_recorded(play: Play) -> None:
    played = play("async_fan_out.py")

    assert f"sum of squares: {sum(n * n for n in range(1000))}" in played.printed
    assert played.ask("/task_runs/count", task_runs={"state": {"type": {"any_": ["COMPLETED"]}}}) == 1000


def test_flows_nest_five_deep_and_each_level_is_a_run(play: Play) -> None:
    played = play("nested_five_deep.py")

    assert "32 leaves, from 0.0.0.0.0.0 to 0.1.1.1.1.1" in played.printed
    assert played.flow_runs() == {"Completed": 31}
    nested = played.ask("/flow_runs/count", flow_runs={"parent_task_run_id": {"is_null_": False}})
    assert nested == 30


def test_tasks_share_a_connection_that_cannot_be_pickled(play: Play) -> None:
    played = play("shared_connection.py")

    assert "warmest: park" in played.printed
    assert played.task_runs() == {"Completed": 5}


def test_upstream_part_runs_again_when_validation_fails(play: Play) -> None:
    played = play("rerun_upstream.py")

    assert "sum of the valid numbers: 15" in played.printed
    assert played.flow_runs() == {"Completed": 1}
    assert played.task_runs("download") == {"Completed": 2}
    assert played.task_runs("validate") == {"Failed": 1, "Completed": 1}


def test_failed_pipeline_is_replayed_mended_and_retried(play: Play) -> None:
    played = play("mend_and_retry.py")

    assert played.printed.count("extract asks the shop") == 1
    assert "The replay is Completed (then: Failed)." in played.printed
    assert played.flow_runs() == {"Completed": 1}


def test_completed_run_begins_again_at_the_task_that_read_what_was_wrong(play: Play) -> None:
    played = play("retry_from_here.py")

    assert "3 results reused, 2 calls run again" in played.printed
    assert played.printed.count("downloading: it takes long") == 1
    assert "all together 130.00 EUR" in played.printed
    assert played.flow_runs() == {"Completed": 1}
    assert played.task_runs("price") == {"Completed": 3}


def test_purchase_continues_with_the_answer_it_paused_for(play: Play) -> None:
    played = play("approval.py")

    assert "spent 3600" in played.printed
    assert played.flow_runs() == {"Completed": 1}
    assert played.task_runs() == {"Completed": 2}


def test_endless_monitor_ends_when_it_is_cancelled(play: Play) -> None:
    played = play("endless_monitor.py")

    assert "ended Cancelled" in played.printed
    assert played.flow_runs() == {"Cancelled": 1}
    assert played.task_runs("probe")["Completed"] >= 1
    assert set(played.task_runs("probe")) <= {"Completed", "Cancelled"}


def test_results_are_stored_in_a_location_and_read_again(play: Play) -> None:
    played = play("results_survive.py")

    assert "location:lake has {'be': 2, 'not': 1, 'or': 1, 'to': 2}" in played.printed
    assert played.printed.count("counting") == 1
    assert played.task_runs() == {"Completed": 1, "Cached": 1}
