"""Runs are tried again by the rules, with delays of every kind, and a repeated flow finds what it finished before."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from orionflow import exponential_backoff, flow, task
from orionflow.errors import UsageError
from orionflow.testing import Isolated, assert_completed, assert_failed, logs_of, states_of, task_runs_of


class Flaky:
    """Fails so many times before it works."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"failure {self.calls}")
        return self.calls


def flow_of(attempt: Flaky, **options: Any) -> Any:
    @task(name="flaky", **options)
    def flaky() -> int:
        return attempt()

    @flow(name="retrying")
    def retrying() -> int:
        return flaky()

    return retrying


def test_failed_task_is_retried_and_its_states_show_it(orion: Isolated):
    state = flow_of(Flaky(2), retries=2)(return_state=True)

    assert state.result() == 3
    run = task_runs_of(state)[0]
    assert states_of(run) == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]
    assert run.run_count == 3


def test_task_fails_when_its_retries_are_used_up():
    attempt = Flaky(5)

    with pytest.raises(ValueError, match="failure 3"):
        flow_of(attempt, retries=2)()

    assert attempt.calls == 3


@pytest.mark.parametrize(
    ("delay", "slept"),
    [
        (3, [3, 3]),
        (timedelta(seconds=4), [4, 4]),
        ([1, 5], [1, 5]),
        ([2], [2, 2]),
        (exponential_backoff(10), [10, 20]),
        (lambda retries: [retries] * retries, [2, 2]),
    ],
)
def test_delays_between_tries(orion: Isolated, delay: Any, slept: list[float]):
    state = flow_of(Flaky(2), retries=2, retry_delay_seconds=delay)(return_state=True)

    assert_completed(state)
    waited = [round(seconds) for seconds in orion.clock.slept if seconds > 0.5]
    assert waited == slept


def test_jitter_spreads_delays(orion: Isolated):
    flow_of(Flaky(3), retries=3, retry_delay_seconds=100, retry_jitter_factor=0.5)()

    assert all(50 <= seconds <= 200 for seconds in orion.clock.slept if seconds > 1)


def test_condition_decides_whether_a_retry_is_worth_it():
    seen: list[tuple[str, str]] = []

    def only_first(task: Any, run: Any, state: Any) -> bool:
        seen.append((task.name, run.name))
        return "failure 1" in str(state.result(raise_on_failure=False))

    attempt = Flaky(5)

    with pytest.raises(ValueError, match="failure 2"):
        flow_of(attempt, retries=4, retry_condition_fn=only_first)()

    assert seen == [("flaky", "flaky-0"), ("flaky", "flaky-0")]


def test_condition_that_raises_ends_the_tries():
    def broken(*_: Any) -> bool:
        raise RuntimeError("oops")

    attempt = Flaky(5)

    with pytest.raises(ValueError, match="failure 1"):
        flow_of(attempt, retries=4, retry_condition_fn=broken)()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_condition_may_be_async(kind: str):
    seen: list[str] = []

    async def only_first(task: Any, run: Any, state: Any) -> bool:
        await asyncio.sleep(0)
        seen.append(run.name)
        return "failure 1" in str(state.result(raise_on_failure=False))

    attempt = Flaky(5)

    @task(name="flaky", retries=4, retry_condition_fn=only_first)
    async def flaky() -> int:
        return attempt()

    @flow
    async def retrying() -> int:
        return await flaky()

    with pytest.raises(ValueError, match="failure 2"):
        asyncio.run(retrying()) if kind == "async" else flow_of(attempt, retries=4, retry_condition_fn=only_first)()

    assert seen == ["flaky-0", "flaky-0"]


def test_failed_flow_is_tried_again():
    attempt = Flaky(1)

    @flow(retries=1, retry_delay_seconds=5)
    def flaky_flow() -> int:
        return attempt()

    state = flaky_flow(return_state=True)

    assert state.result() == 2
    assert states_of(state) == ["Pending", "Running", "AwaitingRetry", "Running", "Completed"]


@pytest.mark.parametrize("kind", ["task", "flow"])
@pytest.mark.parametrize(
    ("make", "is_warned"),
    [(list, False), (tuple, False), (set, False), (iter, True), (lambda numbers: (one for one in numbers), True)],
    ids=["list", "tuple", "set", "iterator", "generator"],
)
def test_argument_that_an_attempt_may_have_used_up_is_warned_of(kind: str, make: Any, is_warned: bool):
    attempt = Flaky(1)

    def load(rows: Any) -> int:
        list(rows)
        return attempt()

    around = flow(load, retries=1) if kind == "flow" else flow(lambda rows: task(load, retries=1)(rows), name="around")

    state = around(make([1, 2]), return_state=True)

    warned = [line for line in logs_of(state) if "what the one before has left of rows" in line.message]
    assert len(warned) == is_warned


def test_repeated_flow_takes_finished_tasks_from_their_results():
    attempt, calls = Flaky(1), []

    @task
    def load(name: str) -> dict[str, str]:
        calls.append(name)
        return {"name": name}

    @flow(retries=1)
    def etl() -> list[Any]:
        loaded = [load("a"), load.submit("b").result()]
        attempt()
        return loaded

    state = etl(return_state=True)

    assert state.result() == [{"name": "a"}, {"name": "b"}]
    assert calls == ["a", "b"]
    assert [run.name for run in task_runs_of(state)] == ["load-0", "load-1"]


def test_repeated_flow_runs_failed_tasks_again():
    attempt = Flaky(1)

    @task
    def flaky() -> int:
        return attempt()

    @flow(retries=1)
    def etl() -> int:
        return flaky()

    state = etl(return_state=True)

    assert state.result() == 2
    runs = task_runs_of(state)
    assert len(runs) == 1
    assert states_of(runs[0]) == ["Pending", "Running", "Failed", "Retrying", "Completed"]


def test_repeated_flow_does_not_repeat_a_completed_subflow():
    attempt, calls = Flaky(1), []

    @flow
    def child() -> str:
        calls.append("child")
        return "value"

    @flow(retries=1)
    def parent() -> str:
        value = child()
        attempt()
        return value

    assert parent() == "value"
    assert calls == ["child"]


def test_repeated_flow_repeats_a_failed_subflow():
    attempt = Flaky(1)

    @flow
    def child() -> int:
        return attempt()

    @flow(retries=1)
    def parent() -> int:
        return child()

    assert parent() == 2


async def test_async_runs_are_tried_again():
    attempt = Flaky(1)

    @task(retries=1, retry_delay_seconds=60)
    async def flaky() -> int:
        return attempt()

    @flow
    async def outer() -> int:
        return await flaky()

    assert await outer() == 2


def test_submitted_tasks_are_tried_again():
    attempt = Flaky(1)

    @task(retries=1)
    def flaky() -> int:
        return attempt()

    @flow
    def outer() -> int:
        return flaky.submit().result()

    assert outer() == 2


def test_retry_is_logged():
    state = flow_of(Flaky(1), retries=1)(return_state=True)

    assert any("Trying again" in line.message for line in logs_of(state))


def test_failed_flow_keeps_its_reason_after_all_tries():
    @flow(retries=1)
    def failing() -> None:
        raise ValueError("always")

    assert_failed(failing(return_state=True), "always")


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": "2"},
        {"retries": 1, "retry_delay_seconds": -1},
        {"retries": 60, "retry_delay_seconds": [1] * 60},
        {"retries": 1, "retry_jitter_factor": -0.1},
        {"retries": 1, "retry_condition_fn": "no"},
        {"crash_retries": -1},
    ],
)
def test_impossible_retries_are_refused(options: dict[str, Any]):
    with pytest.raises(UsageError):
        task(**options)(lambda: None)
