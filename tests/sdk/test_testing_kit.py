"""The kit that users test their flows with."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db.models.signals import pre_migrate

from orionflow import flow, task
from orionflow.settings import current_settings
from orionflow.testing import (
    Isolated,
    VirtualClock,
    assert_cancelled,
    assert_completed,
    assert_crashed,
    assert_failed,
    flow_runs,
    isolated,
    logs_of,
    states_of,
    task_runs_of,
)

pytest_plugins = ["pytester"]


@task
def one() -> int:
    return 1


@flow
def outer() -> int:
    return one()


@pytest.fixture
def orion(server_here: None) -> None:
    """Here the tests make their own."""


def test_block_has_a_database_of_its_own(orion: None):
    with isolated():
        outer()
        with isolated():
            assert flow_runs() == []
            outer()
            outer()
            assert len(flow_runs()) == 2
        assert len(flow_runs()) == 1


def test_second_block_makes_no_tables_again(orion: None):
    with isolated():
        outer()
    migrated: list[object] = []
    pre_migrate.connect(receiver := lambda **sent: migrated.append(sent))

    with isolated():
        outer()

    pre_migrate.disconnect(receiver)
    assert migrated == []


def test_block_hides_the_settings_of_the_user(orion: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ORION_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("ORION_HOME", str(tmp_path))

    with isolated(logging_level=40) as here:
        inside = current_settings()
        assert outer() == 1

    assert (inside.api_url, inside.home, inside.logging_level) == (None, here.home, 40)
    assert os.environ["ORION_HOME"] == str(tmp_path)
    assert not here.home.exists()
    assert list(tmp_path.iterdir()) == []


def test_virtual_clock_spares_the_wait(orion: None):
    calls: list[int] = []

    @task(retries=2, retry_delay_seconds=3600)
    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError
        return 1

    @flow
    def waiting() -> int:
        return flaky()

    with isolated(clock=VirtualClock()) as here:
        state = waiting(return_state=True)
        run = task_runs_of(state)[0]

    assert [round(seconds) for seconds in here.clock.slept if seconds > 1] == [3600, 3600]
    assert (run.end_time - run.start_time).total_seconds() > 7000
    # The waits are no part of it.
    assert run.total_run_time < 7000


def test_clock_that_is_moved_by_hand(orion: None):
    calls: list[int] = []

    @task(retries=1, retry_delay_seconds=60)
    def flaky() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return 1

    @flow
    def waiting() -> int:
        return flaky()

    clock = VirtualClock(jumps=False)
    values: list[int] = []
    with isolated(clock=clock):
        running = threading.Thread(target=lambda: values.append(waiting()))
        running.start()
        clock.wait_for_sleeper()
        assert len(calls) == 1
        clock.advance(61)
        running.join(10)

    assert values == [1]
    assert len(calls) == 2


def test_questions_can_be_asked_by_state_run_and_id(orion: None):
    with isolated():
        state = outer(return_state=True)
        run = flow_runs("outer")[0]

        assert [one.name for one in task_runs_of(run)] == [one.name for one in task_runs_of(str(run.id))] == ["one-0"]
        assert states_of(run) == states_of(state) == ["Pending", "Running", "Completed"]
        assert logs_of(run.id)


@pytest.mark.parametrize("check", [assert_failed, assert_crashed, assert_cancelled])
def test_assertions_show_what_is_recorded(orion: None, check: Any):
    with isolated():
        state = outer(return_state=True)
        assert_completed(state)

        with pytest.raises(AssertionError, match=r"is recorded as Completed\(type=COMPLETED\), not as"):
            check(state)


def test_fixture_gives_a_database_and_a_clock(orion: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makeconftest("from orionflow.testing.fixtures import orion")
    pytester.makepyfile(
        """
        from orionflow import flow, task
        from orionflow.testing import assert_completed, flow_runs

        @task(retries=1, retry_delay_seconds=3600)
        def flaky(calls=[]):
            calls.append(1)
            if len(calls) == 1:
                raise ValueError
            return 1

        @flow
        def outer():
            return flaky()

        def test_flow(orion):
            assert_completed(outer(return_state=True))
            assert orion.clock.slept

        def test_next_one_starts_empty(orion):
            assert flow_runs() == []
        """
    )

    result = pytester.runpytest_subprocess("-p", "no:django", "-p", "no:randomly", "-q")

    result.assert_outcomes(passed=2)


def test_isolated_home_is_where_results_go(orion: None):
    with isolated() as here:
        assert isinstance(here, Isolated)
        outer.with_options(persist_result=True)()
        assert (here.home / "results").is_dir()


def test_lines_of_runs_can_be_caught(orion: None, caplog: pytest.LogCaptureFixture):
    with isolated():
        outer()

    assert "The run of flow 'outer' begins." in caplog.messages


@task
async def one_later() -> int:
    await asyncio.sleep(0)
    return 1


@flow
async def outer_later() -> int:
    return await one_later() + one() + outer()


async def test_block_in_a_coroutine_has_a_database_of_its_own(orion: None):
    with isolated() as here:
        state = await outer_later(return_state=True)

        assert_completed(state)
        assert [run.name for run in task_runs_of(state)] == ["one_later-0", "one-0", "outer-0"]
        assert asyncio.current_task() is not None
    with isolated():
        assert flow_runs() == []
    assert not here.home.exists()


async def test_block_in_a_coroutine_lets_through_what_is_raised_in_it(orion: None):
    async def fail() -> None:
        with isolated():
            await outer_later()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()

    assert asyncio.current_task() is not None


def test_block_closes_what_it_opened_in_any_thread(orion: None):
    released = threading.Event()

    def call_and_stay() -> None:
        outer()
        ready.set()
        released.wait(30)

    ready = threading.Event()
    with isolated() as here:
        outer()
        asyncio.run(outer_later())
        staying = threading.Thread(target=call_and_stay)
        staying.start()
        assert ready.wait(30)
        assert files_open_in(here.home)
    left = files_open_in(here.home)
    released.set()
    staying.join()

    assert left == []


def files_open_in(folder: Path) -> list[str]:
    targets = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            targets.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [target for target in targets if target.startswith(str(folder))]
