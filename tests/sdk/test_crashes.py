"""Ends that a flow did not choose: interrupts, exits, signals, kills. The steps until then are recorded."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.testing import assert_crashed, flow_runs, task_runs_of
from tests.printed import PATIENCE_SECONDS
from tests.sdk.programs import Program

LONG = """
    import time
    from orionflow import flow, task

    @task
    def work(n):
        print("working", n)
        time.sleep(0 if n < 3 else 30)
        return n

    @flow
    def long():
        for n in range(4):
            work(n)

    if __name__ == "__main__":
        long()
"""


def test_exit_in_a_flow_crashes_it_and_ends_the_program():
    @flow
    def exiting() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        exiting()

    assert caught.value.code == 3
    assert_crashed(flow_runs("exiting")[0], "exited with code 3")


def test_exit_in_a_task_crashes_task_and_flow():
    @task
    def exiting() -> None:
        raise SystemExit(4)

    @flow
    def outer() -> None:
        exiting()

    with pytest.raises(SystemExit):
        outer()

    run = flow_runs("outer")[0]
    assert_crashed(run, "exited with code 4")
    assert task_runs_of(run)[0].state_name == "Crashed"


def test_interrupt_crashes_the_flow():
    @flow
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert_crashed(flow_runs("interrupted")[0], "Ctrl-C")


async def test_cancelled_coroutine_crashes_its_flow():
    begun = asyncio.Event()

    @task
    async def waiting() -> None:
        begun.set()
        await asyncio.sleep(30)

    @flow
    async def outer() -> None:
        await waiting()

    running = asyncio.ensure_future(outer())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    run = flow_runs("outer")[0]
    assert_crashed(run, "cancelled by the program")
    assert task_runs_of(run)[0].state_name == "Crashed"


def test_submitted_tasks_end_with_a_crashed_flow():
    import threading

    released = threading.Event()

    @task
    def held() -> None:
        released.wait(10)

    @flow
    def outer() -> None:
        held.submit()
        held.submit()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outer()
    released.set()

    run = flow_runs("outer")[0]
    assert [one.state_name for one in task_runs_of(run)] == ["Crashed", "Crashed"]


@pytest.mark.parametrize(
    ("number", "message", "code"),
    [(signal.SIGTERM, "asked to end (SIGTERM)", -signal.SIGTERM), (signal.SIGINT, "Ctrl-C", -signal.SIGINT)],
)
def test_signals_are_recorded_and_then_do_their_work(tmp_path: Path, number: int, message: str, code: int):
    program = Program(tmp_path, LONG)

    with program.start() as process:
        program.wait_for_output("working 3")
        process.send_signal(number)
        process.wait(30)

    assert process.returncode == code
    name, found = program.flow_run()
    assert name == "Crashed"
    assert message in found
    assert program.task_runs() == [
        ("work-0", "Completed"),
        ("work-1", "Completed"),
        ("work-2", "Completed"),
        ("work-3", "Crashed"),
    ]


def test_signal_to_an_async_program_is_recorded(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import asyncio
        from orionflow import flow, task

        @task
        async def wait():
            print("ready")
            await asyncio.sleep(30)

        @flow
        async def waiting():
            await wait()

        asyncio.run(waiting())
        """,
    )

    with program.start() as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert process.returncode == -signal.SIGTERM
    name, found = program.flow_run()
    assert (name, found) == ("Crashed", "The process of the run was asked to end (SIGTERM).")
    assert program.task_runs() == [("wait-0", "Crashed")]


def test_killed_program_loses_nothing_that_was_acknowledged(tmp_path: Path):
    program = Program(tmp_path, LONG)
    acknowledged = [*((f"work-{number}", "Completed") for number in range(3)), ("work-3", "Running")]

    with program.start() as process:
        program.wait_for_output("working 3")
        until = time.monotonic() + PATIENCE_SECONDS
        while program.task_runs() != acknowledged and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait(30)

    assert program.flow_run()[0] == "Running"
    assert program.task_runs() == acknowledged
    assert program.query("PRAGMA integrity_check") == [("ok",)]


def test_handlers_of_the_program_itself_are_left_alone():
    seen: list[Any] = []

    def mine(*_: Any) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:

        @flow
        def outer() -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

        outer()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert seen == [mine]


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    @flow
    def outer() -> None:
        assert signal.getsignal(signal.SIGTERM) is not before[0]

    outer()

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_fork_in_a_flow_leaves_the_records_to_the_parent(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import multiprocessing, time
        from orionflow import flow, task

        @task
        def one(n):
            return n

        def child():
            pass

        @flow
        def forking():
            for n in range(20):
                one(n)
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
            assert process.exitcode == 0
            return sum(one(n) for n in range(5))

        if __name__ == "__main__":
            print("value", forking())
        """,
    )

    ended = program.run()

    assert "value 10" in ended.stdout, ended.stderr
    assert program.flow_run()[0] == "Completed"
    assert len(program.task_runs()) == 25


@pytest.mark.parametrize("runner", ["ConcurrentTaskRunner(2)", "ProcessTaskRunner(1)"])
def test_a_program_ends_with_its_flow_while_tasks_sleep(runner: str, tmp_path: Path):
    program = Program(
        tmp_path,
        f"""
        import time
        from orionflow import flow, task
        from orionflow.task_runners import ConcurrentTaskRunner, ProcessTaskRunner

        @task
        def sleeps():
            time.sleep(60)

        @flow(timeout_seconds=1.5, task_runner={runner})
        def hurried():
            sleeps.submit().result()

        if __name__ == "__main__":
            assert hurried(return_state=True).name == "TimedOut"
            print("over")
        """,
    )

    ended = program.run(timeout=30)

    assert "over" in ended.stdout, ended.stderr
    assert program.task_runs() == [("sleeps-0", "Crashed")]


def test_coroutines_of_runs_in_threads_end_with_the_program(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import asyncio, threading
        from orionflow import flow, task

        @task
        async def waiting():
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned up", flush=True)

        @flow
        def outer():
            waiting()

        begun = threading.Event()
        threading.Thread(target=outer, daemon=True).start()
        begun.wait()
        """,
    )

    ended = program.run(timeout=30)

    assert ended.stdout.split() == ["cleaned", "up"], ended.stderr
    assert program.flow_run() == ("Crashed", "The program that it ran in ended.")
    assert program.task_runs() == [("waiting-0", "Crashed")]
