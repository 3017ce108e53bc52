"""Times and counts of a run, state by state."""

from __future__ import annotations

from datetime import timedelta

from orchestration.core.bookkeeping import settle
from orchestration.core.runs import Run, RunPolicy
from tests.core.worlds import flow_run, soon, state, task_run


def walk(run: Run, *states: tuple[str, float]) -> Run:
    """The run after it has gone through these (type, second) pairs."""
    current = None
    for type_, second in states:
        written = state(type_, at=soon(second), scheduled_time=soon(second) if type_ == "SCHEDULED" else None)
        run, current = settle(run, current, written), written
    return run


def test_only_running_time_counts():
    run = walk(flow_run(), ("PENDING", 0), ("RUNNING", 1), ("PAUSED", 3), ("RUNNING", 10), ("COMPLETED", 14))

    assert run.total_run_time == timedelta(seconds=2 + 4)
    assert (run.start_time, run.end_time) == (soon(1), soon(14))


def test_a_run_that_never_started_has_no_end():
    assert walk(flow_run(), ("SCHEDULED", 0), ("CANCELLED", 5)).end_time is None


def test_starting_again_clears_the_end_and_keeps_the_first_start():
    run = walk(flow_run(), ("RUNNING", 1), ("FAILED", 2), ("RUNNING", 8))

    assert (run.start_time, run.end_time) == (soon(1), None)


def test_the_end_of_a_run_that_changes_its_end_stays():
    assert walk(flow_run(), ("RUNNING", 1), ("FAILED", 2), ("COMPLETED", 9)).end_time == soon(2)


def test_the_expected_start_is_set_once():
    scheduled = walk(flow_run(), ("SCHEDULED", 60), ("PENDING", 61), ("RUNNING", 62))
    direct = walk(flow_run(), ("PENDING", 3), ("RUNNING", 4))

    assert scheduled.expected_start_time == soon(60)
    assert direct.expected_start_time == soon(3)


def test_the_next_scheduled_start_lives_as_long_as_the_scheduled_state():
    waiting = walk(task_run(), ("RUNNING", 0), ("SCHEDULED", 60))

    assert waiting.next_scheduled_start_time == soon(60)
    assert walk(task_run(), ("RUNNING", 0), ("SCHEDULED", 60), ("RUNNING", 61)).next_scheduled_start_time is None


def test_each_start_counts():
    assert walk(task_run(), ("RUNNING", 0), ("SCHEDULED", 1), ("RUNNING", 2)).run_count == 2


def test_resuming_in_the_process_counts_a_start_more():
    run = walk(flow_run(), ("RUNNING", 0), ("PAUSED", 1), ("RUNNING", 2))

    assert (run.run_count, run.policy.resuming) == (2, True)
    assert settle(run, state("RUNNING"), state("COMPLETED", at=soon(3))).policy.resuming is False


def test_a_suspended_run_continues_its_attempt():
    run = walk(flow_run(), ("RUNNING", 0), ("PAUSED", 1), ("SCHEDULED", 2), ("PENDING", 3), ("RUNNING", 4))

    assert (run.run_count, run.policy.resuming) == (1, False)


def test_a_clock_that_steps_back_never_makes_time_negative():
    run = settle(flow_run(), state("RUNNING", at=soon(10)), state("COMPLETED", at=soon(4)))

    assert run.total_run_time == timedelta()


def test_nothing_to_change_gives_the_same_run():
    run = task_run(policy=RunPolicy(retries=1), expected_start_time=soon(0))

    assert settle(run, None, state("PENDING")) is run
