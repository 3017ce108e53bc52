"""Rules as flows see them: strict asking, overlapping runs, orders that come while a run ends."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orionflow import OrionClient, flow, get_client, task
from orionflow.engine.state_counts import KEPT, StateCounts
from orionflow.errors import CancelledRun, UsageError
from orionflow.states import Cancelling, State, StateType
from orionflow.testing import assert_completed, flow_runs, isolated, states_of, task_runs_of
from tests.sdk.programs import Program


@task
def one() -> int:
    return 1


def test_strict_flow_asks_before_every_step():
    seen: list[str | None] = []

    @task
    def looking() -> None:
        with OrionClient() as client:
            seen.extend(run.state_name for run in client.read_task_runs())

    @flow(strict=True)
    def strict() -> int:
        looking()
        return one()

    state = strict(return_state=True)

    # The task's own record is there while it runs, and not only later.
    assert seen == ["Running"]
    assert_completed(state)
    assert states_of(task_runs_of(state)[1]) == ["Pending", "Running", "Completed"]


def beside(call: Any) -> Any:
    """Call in a thread of its own: in a run that is nobody's subflow."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@pytest.mark.parametrize(
    ("overlap", "second"), [("allow", "Completed"), ("skip", "Skipped"), ("cancel_new", "Cancelled")]
)
def test_overlapping_runs_follow_the_overlap_of_the_flow(overlap: Any, second: str):
    @flow(name="overlapping", overlap=overlap)
    def overlapping(is_second: bool = False) -> str:
        return "second" if is_second else beside(lambda: overlapping(True, return_state=True)).name

    assert overlapping() == second


def test_skipped_run_has_no_value_and_raises_nothing():
    @flow(name="skipping", overlap="skip")
    def skipping(is_second: bool = False) -> Any:
        return "ran" if is_second else (beside(lambda: skipping(True)), "first")

    assert skipping() == (None, "first")


def test_run_cancelled_for_overlap_raises():
    @flow(name="exclusive", overlap="cancel_new")
    def exclusive(is_second: bool = False) -> Any:
        return "ran" if is_second else beside(lambda: exclusive(True))

    with pytest.raises(CancelledRun):
        exclusive()


def test_subflow_does_not_overlap_with_the_runs_around_it():
    @flow(name="recursive", overlap="cancel_new")
    def recursive(depth: int) -> int:
        return 0 if depth == 0 else 1 + recursive(depth - 1)

    assert recursive(3) == 3


def test_unknown_overlap_is_refused():
    with pytest.raises(UsageError, match="overlap='sometimes' is unknown"):
        flow(overlap="sometimes")(lambda: None)  # type: ignore[call-overload]


def test_cancel_that_comes_at_the_very_end_is_granted(server_here: None):
    @flow
    def ending() -> str:
        with OrionClient() as client:
            client.set_flow_run_state(flow_runs("ending")[0].id, Cancelling())
        return "done"

    with isolated():
        state = ending(return_state=True)

        assert state.is_cancelled()
        assert states_of(state) == ["Pending", "Running", "Cancelling", "Cancelled"]


def test_signal_to_a_cancelled_program_ends_it_as_cancelled(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import time
        from orionflow import flow, task, OrionClient, runtime
        from orionflow.states import Cancelling

        @flow
        def waiting():
            with OrionClient() as client:
                client.set_flow_run_state(runtime.flow_run.id, Cancelling())
            print("ready")
            time.sleep(30)

        waiting()
        """,
    )

    with program.start() as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert process.returncode == -signal.SIGTERM
    assert program.flow_run()[0] == "Cancelled"


async def test_client_of_coroutines_reads_what_ran():
    @flow
    async def outer() -> int:
        return one()

    await outer()

    async with get_client() as client:
        runs = await client.read_flow_runs()
        tasks = await client.read_task_runs(flow_runs={"id": {"any_": [str(runs[0].id)]}})
    assert [run.state_name for run in runs] == ["Completed"]
    assert [run.name for run in tasks] == ["one-0"]


def test_flows_of_many_threads_are_all_recorded():
    @flow(name="threaded")
    def threaded() -> int:
        return sum(future.result() for future in [one.submit() for _ in range(5)])

    threads = [threading.Thread(target=threaded) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    runs = flow_runs("threaded")
    assert [run.state_name for run in runs] == ["Completed"] * 6
    assert all(len(task_runs_of(run)) == 5 for run in runs)


def test_records_are_complete_when_a_flow_returns():
    @flow
    def many() -> None:
        for _ in range(300):
            one()

    state = many(return_state=True)

    with OrionClient() as client:
        completed = client.count_task_runs(
            flow_runs={"id": {"any_": [str(state.state_details.flow_run_id)]}},
            task_runs={"state": {"type": {"any_": ["COMPLETED"]}}},
        )
    assert completed == 300


def test_tally_keeps_only_so_many_culprits():
    tally = StateCounts(State(type=StateType.FAILED) for _ in range(KEPT + 50))

    assert tally.verdict() == (StateType.FAILED, f"{KEPT + 50}/{KEPT + 50} runs failed.")
    assert len(tally.not_completed) == KEPT


def test_submitted_tasks_wait_side_by_side():
    met = threading.Barrier(20)

    @task
    def meet() -> None:
        met.wait(30)

    @flow
    def outer() -> None:
        futures = [meet.submit() for _ in range(20)]
        for future in futures:
            future.wait()

    outer()

    # Each of the twenty waited for all others, which twenty in a row would never have done.
    assert not met.broken
