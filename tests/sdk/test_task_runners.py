"""Task runners: one after another, threads, processes, and those that users write."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.errors import UnserializableError, UsageError, WorkerCrashed
from orionflow.settings import override_settings
from orionflow.task_runners import (
    ConcurrentTaskRunner,
    DaskTaskRunner,
    ProcessTaskRunner,
    SequentialTaskRunner,
    TaskRunner,
    child,
    child_lines,
)
from orionflow.testing import logs_of, states_of, task_runs_of
from tests.printed import PATIENCE_SECONDS
from tests.sdk.programs import WORKER, Program


@task
def pid(x: Any = None) -> int:
    return os.getpid()


@task
def square(x: int) -> int:
    return x * x


@task
def failing() -> None:
    raise ValueError("in the child")


@task(log_prints=True)
def chatty(name: str) -> None:
    get_run_logger().warning("logged by %s", name)
    print("printed by", name)


@task
def send_lock(lock: Any) -> None: ...


@task
def return_lock() -> Any:
    return threading.Lock()


@task
def die() -> None:
    os._exit(3)


@task(timeout_seconds=0.3)
def slow() -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        time.sleep(0.01)


@task
def gen() -> Any:
    yield from range(3)


@task
async def later(x: int) -> int:
    return x


def test_sequential_runner_ends_each_run_before_the_next():
    events: list[str] = []

    @task
    def noted(x: int) -> None:
        events.append(f"begin {x}")
        time.sleep(0.02)
        events.append(f"end {x}")

    @flow(task_runner=SequentialTaskRunner())
    def outer() -> None:
        noted.map([1, 2])
        events.append("submitted")

    outer()

    assert events == ["begin 1", "end 1", "begin 2", "end 2", "submitted"]


async def test_sequential_runner_keeps_the_order_of_coroutines():
    events: list[str] = []

    @task
    async def noted(x: int) -> None:
        import asyncio

        events.append(f"begin {x}")
        await asyncio.sleep(0.02)
        events.append(f"end {x}")

    @flow(task_runner=SequentialTaskRunner)
    async def outer() -> None:
        noted.map([1, 2])

    await outer()

    assert events == ["begin 1", "end 1", "begin 2", "end 2"]


def test_concurrent_runner_keeps_to_its_number_of_threads():
    running, most = 0, 0
    lock = threading.Lock()

    @task
    def counted(x: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    @flow(task_runner=ConcurrentTaskRunner(max_workers=2))
    def outer() -> None:
        counted.map(range(6))

    outer()

    assert most == 2


def test_each_flow_run_has_a_runner_of_its_own():
    runner = ConcurrentTaskRunner(max_workers=1)

    @flow(task_runner=runner)
    def outer(depth: int) -> int:
        return 0 if depth == 0 else square.submit(1).result() + outer(depth - 1)

    assert outer(2) == 2
    assert repr(runner) == "ConcurrentTaskRunner(max_workers=1)"


class Noting(TaskRunner):
    """Calls work at once and notes that it did."""

    events: list[str] = []

    def start(self) -> None:
        self.events.append("start")

    def submit(self, work: Any) -> None:
        self.events.append("submit")
        work()

    def stop(self, *, wait: bool = True) -> None:
        self.events.append(f"stop wait={wait}")


def test_custom_runner():
    @flow(task_runner=Noting())
    def outer() -> int:
        return square.submit(3).result() + square.submit(4).result()

    assert outer() == 25
    assert Noting.events == ["start", "submit", "submit", "stop wait=True"]


def test_invalid_runner_is_refused():
    with pytest.raises(UsageError, match="must be a TaskRunner"):
        flow(task_runner="threads")(lambda: None)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def processes() -> ProcessTaskRunner:
    # Forked children begin at once; starting clean ones is tested where a program is run as a whole.
    return ProcessTaskRunner(max_workers=2, start_method="forkserver")


def test_functions_run_in_other_processes(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> Any:
        pids = pid.map(range(4)).result()
        return pids, square.map([1, 2, 3]).result(), gen.submit().result(), later.submit(7).result()

    state = outer(return_state=True)

    pids, squares, generated, of_coroutine = state.result()
    assert os.getpid() not in pids
    assert squares == [1, 4, 9]
    assert generated == [0, 1, 2]
    assert of_coroutine == 7
    assert {run.state_type for run in task_runs_of(state)} == {"COMPLETED"}


class Refused(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


@task
def refusing() -> None:
    raise Refused(403, "not here")


@task
async def counting_later() -> AsyncIterator[int]:
    yield 0
    yield 1


def test_exceptions_and_generators_come_back_from_processes_as_from_threads(processes: ProcessTaskRunner):
    @flow
    def outer() -> Any:
        refused = refusing.submit().wait()
        return refused.message, refused.result(raise_on_failure=False).code, counting_later.submit().result()

    assert outer.with_options(task_runner=processes)() == outer()


def test_exceptions_come_back_with_their_traceback(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> Any:
        return failing.submit().result(raise_on_failure=False)

    error = outer()

    assert isinstance(error, ValueError)
    assert "raise ValueError" in str(error.__cause__)


def test_lines_of_children_are_shipped(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> None:
        chatty.submit("child").wait()

    state = outer(return_state=True)

    lines = {line.message: line for line in logs_of(state)}
    run = task_runs_of(state)[0]
    assert lines["logged by child"].task_run_id == run.id
    assert lines["logged by child"].level == 30
    assert lines["printed by child"].task_run_id == run.id


def test_values_that_cannot_be_sent_are_reported_in_one_sentence(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> Any:
        there = send_lock.submit(threading.Lock()).result(raise_on_failure=False)
        back = return_lock.submit().result(raise_on_failure=False)
        return there, back

    there, back = outer()

    assert isinstance(there, UnserializableError)
    assert "its argument 1 (lock) cannot be pickled" in str(there)
    assert isinstance(back, UnserializableError)
    assert "returned a lock, which cannot come back" in str(back)


def test_child_that_dies_crashes_its_run_and_the_flow_continues(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> Any:
        state = die.submit().wait()
        return state.name, type(state.result(raise_on_failure=False)), square.submit(3).result()

    assert outer() == ("Crashed", WorkerCrashed, 9)


def test_child_that_dies_takes_no_other_task_along(processes: ProcessTaskRunner, tmp_path: Path):
    @task
    def go_on(here: Path) -> str:
        (here / "began").touch()
        while not (here / "other died").exists():
            time.sleep(0.01)
        return "alive"

    @task
    def die_beside(here: Path) -> None:
        while not (here / "began").exists():
            time.sleep(0.01)
        os._exit(3)

    @flow(task_runner=processes)
    def outer() -> Any:
        going_on, dying = go_on.submit(tmp_path), die_beside.submit(tmp_path)
        crashed = dying.wait()
        (tmp_path / "other died").touch()
        return crashed.name, going_on.result(), square.map([1, 2, 3]).result()

    assert outer() == ("Crashed", "alive", [1, 4, 9])


def test_a_crashed_run_is_retried_with_crash_retries(processes: ProcessTaskRunner, tmp_path: Any):
    marker = tmp_path / "died"

    def die_once(path: str) -> str:
        if not os.path.exists(path):
            open(path, "w").close()
            os._exit(3)
        return "alive"

    @flow(task_runner=processes)
    def outer() -> Any:
        return task(crash_retries=1)(die_once).submit(str(marker)).result()

    state = outer(return_state=True)

    assert state.result() == "alive"
    assert "Crashed" not in states_of(task_runs_of(state)[0])[-1]


def test_time_limits_hold_in_children(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> str:
        return slow.submit().wait().name

    assert outer() == "TimedOut"


class BrokenRunner(TaskRunner):
    def start(self) -> None:
        raise UsageError("The cluster is away.")

    def submit(self, work: Any) -> None: ...


def test_runner_that_cannot_start_ends_the_runs_that_it_was_given():
    @flow(task_runner=BrokenRunner())
    def hopeful() -> int:
        first = square.submit(2)
        return square.submit(first).result()

    state = hopeful(return_state=True)

    assert state.is_failed()
    assert [run.state_name for run in task_runs_of(state)] == ["Crashed", "Crashed"]
    assert "The cluster is away." in (task_runs_of(state)[0].state.message or "")


def test_dask_runner_that_submits_nothing_needs_no_dask():
    @flow(task_runner=DaskTaskRunner())
    def plain() -> int:
        return square(3)

    assert plain() == 9


@pytest.mark.skipif(find_spec("distributed") is not None, reason="Dask is installed")
def test_missing_dask_is_reported():
    @flow(task_runner=DaskTaskRunner())
    def parallel() -> int:
        return square.submit(3).result()

    with pytest.raises(UsageError, match=r"pip install 'orionflow\[dask\]'"):
        parallel()


@task
async def pid_of_coroutine() -> int:
    return os.getpid()


def test_async_task_alone_runs_in_a_process():
    @flow(task_runner=ProcessTaskRunner(1))
    async def elsewhere() -> int:
        return await pid_of_coroutine.submit().result()

    assert asyncio.run(elsewhere()) != os.getpid()


def pid_after_a_while(x: int) -> int:
    time.sleep(0.05)
    return os.getpid()


async def pid_of_coroutine_after_a_while(x: int) -> int:
    await asyncio.sleep(0.05)
    return os.getpid()


def test_there_are_never_more_processes_than_workers():
    @flow(task_runner=ProcessTaskRunner(2, "forkserver"))
    async def outer() -> list[int]:
        of_coroutines = task(pid_of_coroutine_after_a_while).map(range(8))
        of_functions = task(pid_after_a_while).map(range(8))
        return [*[await one.result() for one in of_coroutines], *of_functions.result()]

    pids = asyncio.run(outer())

    assert len(pids) == 16
    assert len(set(pids)) <= 2


@task
async def noted(folder: Path, name: str, until: str = "") -> str:
    (folder / name).touch()
    while until and not (folder / until).exists():
        await asyncio.sleep(0.01)
    return name


@pytest.mark.parametrize("way", ["cancelled", "closed"])
async def test_a_run_that_ends_while_it_waits_for_a_process_never_begins_its_function(way: str, tmp_path: Path):
    @flow(task_runner=ProcessTaskRunner(1, "forkserver"))
    async def outer() -> list[str]:
        first = noted.submit(tmp_path, "first", until="released")
        while not (tmp_path / "first").exists():
            await asyncio.sleep(0.01)
        before = asyncio.all_tasks()
        second = noted.submit(tmp_path, "second")
        (waiting,) = asyncio.all_tasks() - before
        # It comes to wait for the process, or ends before.
        for _ in range(20):
            await asyncio.sleep(0.01)
        if way == "cancelled":
            waiting.cancel()
        else:
            waiting.get_coro().close()
        await second.wait()
        third = noted.submit(tmp_path, "third")
        (tmp_path / "released").touch()
        return [await first.result(), second.state.name, await third.result()]

    assert await outer() == ["first", "Crashed", "third"]
    assert not (tmp_path / "second").exists()


def test_a_process_that_died_between_two_tasks_breaks_neither(processes: ProcessTaskRunner):
    @flow(task_runner=processes)
    def outer() -> tuple[int, list[int]]:
        first = pid.submit().result()
        os.kill(first, signal.SIGKILL)
        while any(child.pid == first for child in multiprocessing.active_children()):
            time.sleep(0.01)
        return first, pid.map(range(3)).result()

    first, others = outer()

    assert first not in others


def die_at_once() -> None:
    os._exit(3)


def test_calls_wait_for_an_existing_process_when_no_other_can_start():
    runner = ProcessTaskRunner(4, "forkserver")
    runner.start()
    try:
        first = runner.call(pid_after_a_while, (0,), {}, None)
        with ThreadPoolExecutor(4) as threads, no_more_files():
            others = list(threads.map(lambda x: runner.call(pid_after_a_while, (x,), {}, None), range(4)))
        with pytest.raises(WorkerCrashed):
            runner.call(die_at_once, (), {}, None)
        with no_more_files(), pytest.raises(OSError, match="Too many open files"):
            runner.call(pid_after_a_while, (0,), {}, None)
        later = runner.call(pid_after_a_while, (0,), {}, None)
    finally:
        runner.stop()

    assert others == [first] * 4
    assert later != first


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def in_a_process_of_its_own() -> tuple[int, int]:
    runner = ProcessTaskRunner(1, "fork")
    runner.start()
    try:
        return os.getpid(), runner.call(os.getpid, (), {}, None)
    finally:
        runner.stop()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_processes_may_fork_others():
    runner = ProcessTaskRunner(1, "fork")
    runner.start()
    try:
        child, grandchild = runner.call(in_a_process_of_its_own, (), {}, 30)
    finally:
        runner.stop()

    assert len({os.getpid(), child, grandchild}) == 3


VANISHING = """
import os, signal, time
from orionflow import flow, task
from orionflow.task_runners import ProcessTaskRunner

@task
def waiting(path, seconds):
    open(path, "w").close()
    time.sleep(seconds)

@flow(task_runner=ProcessTaskRunner(2, {start_method!r}))
def outer(folder):
    if {forks} and os.fork():
        os.wait()
        return
    waiting.submit(folder + "/idle", 0).result()
    waiting.submit(folder + "/busy", 3600)
    while not os.path.exists(folder + "/busy"):
        time.sleep(0.01)
    {leave}

if __name__ == "__main__":
    outer({folder!r})
"""


@pytest.mark.parametrize(
    ("start_method", "forks", "leave"),
    [("spawn", False, "os.kill(os.getpid(), signal.SIGKILL)"), ("forkserver", True, "os._exit(0)")],
)
def test_processes_end_with_the_one_they_work_for(start_method: str, forks: bool, leave: str, tmp_path: Path):
    program = Program(
        tmp_path, VANISHING.format(start_method=start_method, forks=forks, leave=leave, folder=str(tmp_path))
    )

    with program.start() as process:
        # The output ends with the last process that has it.
        process.communicate(timeout=PATIENCE_SECONDS)

    assert (tmp_path / "busy").exists()


LOGGING = """
import logging, os, signal, sys, threading, time
from orionflow import flow, get_run_logger, task
from orionflow.task_runners import ProcessTaskRunner

class Waiting(logging.Handler):
    # Holds up lines of children until the pipe is full, as a terminal may.
    def handle(self, record):
        if record.process != os.getpid():
            go_on.wait()

class Failing(logging.Filter):
    def filter(self, record):
        if record.process != os.getpid() and "fails" in record.getMessage():
            raise ValueError("on purpose")
        return True

@task
def endless(file):
    with open(file, "w") as written:
        written.write(str(os.getpid()))
    while True:
        get_run_logger().info("x" * 10_000)

@task
def brief():
    # More than what fits in the pipe.
    for number in range(20):
        get_run_logger().info("%d %s", number, "y" * 10_000)
    get_run_logger().info("the last line")
    return "alive"

@task
def failing():
    for _ in range(20):
        get_run_logger().info("fails %s", "z" * 10_000)

def pid_in(file):
    while not (os.path.exists(file) and os.path.getsize(file)):
        time.sleep(0.01)
    time.sleep(0.3)
    return int(open(file).read())

@flow(task_runner=ProcessTaskRunner(2, "fork"))
def killed():
    chatting = endless.submit("pid")
    os.kill(pid_in("pid"), signal.SIGKILL)
    chatting.wait()
    go_on.set()
    return brief.submit().result()

@flow(task_runner=ProcessTaskRunner(1, "fork"))
def limited():
    chatting = endless.with_options(timeout_seconds=1).submit("pid")
    chatting.wait()
    go_on.set()
    return brief.submit().result()

@flow(task_runner=ProcessTaskRunner(1, "fork"))
def unreadable():
    go_on.set()
    failing.submit().wait()
    return brief.submit().result()

@flow(task_runner=ProcessTaskRunner(2, "fork"), timeout_seconds=1.5)
def stopped():
    try:
        endless.submit("pid")
        endless.submit("pid").wait()
    finally:
        threading.Timer(0.5, go_on.set).start()

if __name__ == "__main__":
    os.chdir(os.path.dirname(__file__))
    go_on = threading.Event()
    lines = logging.getLogger("orionflow.task_runs")
    lines.addHandler(Waiting())
    lines.addFilter(Failing())
    state = globals()[sys.argv[1]](return_state=True)
    print(state.name, state.result(raise_on_failure=False), flush=True)
"""


@pytest.mark.turns
@pytest.mark.parametrize(
    ("name", "ends", "has_line"),
    [
        ("killed", "Completed alive", True),
        ("limited", "Completed alive", True),
        ("unreadable", "Completed alive", True),
        ("stopped", "TimedOut", False),
    ],
)
def test_a_process_that_ends_or_is_interrupted_while_it_logs_holds_up_no_other(
    name: str, ends: str, has_line: bool, tmp_path: Path
):
    program = Program(tmp_path, LOGGING)

    done = program.run(PATIENCE_SECONDS, (name,))

    assert done.stdout.startswith(ends), done.stderr
    last = program.query("SELECT count(*) FROM runs_log WHERE message = 'the last line'")
    assert last == [(int(has_line),)]


LINES = """
import logging, sys, threading, time
from orionflow import flow, get_run_logger, task

def log_all(where, logger):
    logger.info("logger %s.", where)
    print(f"print {where}.")
    logging.getLogger("shop.db").warning("shop %s.", where)
    # A thread of the user's does not know the run.
    thread = threading.Thread(target=logger.info, args=("thread %s.", where))
    thread.start()
    thread.join()

@task(log_prints=True)
def below():
    log_all("below", get_run_logger())

@flow(log_prints=True)
def inner():
    log_all("inner", get_run_logger())
    get_run_logger().debug("too quiet")
    below()
    below()
    below.submit().wait()

@flow
def silent():
    print("print silent.")

@task
def first():
    log_all("first", get_run_logger())
    threading.Timer(0.1, get_run_logger().info, args=("late.",)).start()
    return get_run_logger()

@task(log_prints=True)
def second(of_flow):
    inner()
    silent()
    log_all("second", get_run_logger())
    of_flow.info("passed.")
    thread = threading.Thread(target=of_flow.info, args=("passed to a thread.",))
    thread.start()
    thread.join()

# As a program that has loggers of its own.
logging.basicConfig(format="%(message)s")

if __name__ == "__main__":
    @flow
    def outer():
        first.submit().result().info("returned.")
        time.sleep(0.3)
        second.submit(get_run_logger()).result()

    for way in sys.argv[1:]:
        outer.with_options(task_runner=Worker() if way == "worker" else ProcessTaskRunner(1, way))()
"""

ENDED = "Ended as Completed('All {} runs completed.')."
# What each line ends with; the flow and the task that it is recorded for, if it is; and how often it is logged.
LINES_OF = [
    ("The run of flow 'inner' begins.", "inner", None, 1),
    (ENDED.format(3), "inner", None, 1),
    ("The run of flow 'silent' begins.", "silent", None, 1),
    ("Ended as Completed().", "silent", None, 1),
    *((f"{kind} inner.", "inner", None, 1) for kind in ("logger", "print", "shop", "thread")),
    *((f"{kind} below.", "inner", "below", 3) for kind in ("logger", "print", "shop", "thread")),
    *((f"{kind} first.", "outer", "first", 1) for kind in ("logger", "shop", "thread")),
    *((f"{kind} second.", "outer", "second", 1) for kind in ("logger", "print", "shop", "thread")),
    ("passed.", "outer", None, 1),
    ("returned.", "outer", "first", 1),
    ("late.", "outer", "first", 1),
    ("passed to a thread.", "outer", None, 1),
    ("print first.", None, None, 1),
    ("print silent.", None, None, 1),
]


@pytest.mark.parametrize(
    "ways", [("fork", "worker"), pytest.param(("forkserver", "spawn"), marks=pytest.mark.long)], ids=" ".join
)
def test_each_line_of_a_process_is_recorded_once_for_its_run_and_shown_once(ways: tuple[str, ...], tmp_path: Path):
    program = Program(tmp_path, WORKER + LINES)

    done = program.run(PATIENCE_SECONDS, ways, ORION_LOGGING_EXTRA_LOGGERS="shop,shop.db")

    recorded = program.query(
        "SELECT l.message, f.name, substr(t.name, 1, instr(t.name, '-') - 1), count(*) FROM runs_log l "
        "JOIN runs_flowrun r ON r.id = l.flow_run_id JOIN runs_flow f ON f.id = r.flow_id "
        "LEFT JOIN runs_taskrun t ON t.id = l.task_run_id GROUP BY 1, 2, 3"
    )
    of_outer = [("The run of flow 'outer' begins.", "outer", None, 1), (ENDED.format(2), "outer", None, 1)]
    expected = [(*line[:3], line[3] * len(ways)) for line in [*LINES_OF, *of_outer]]
    assert sorted(map(str, recorded)) == sorted(str(line) for line in expected if line[1]), done.stderr
    shown = (done.stdout + done.stderr).splitlines()
    for text, _, _, count in expected:
        assert sum(line.endswith(text) for line in shown) == count, (text, shown)
    assert "too quiet" not in done.stderr


def test_a_worker_gives_lines_only_to_open_calls_that_they_belong_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ended, present = (child.RunOfChild(uuid4(), uuid4(), {}, False) for _ in range(2))
    lines, of_ended, nested = child_lines.Lines(), child_lines.Lines(), uuid4()
    lines.run, of_ended.run = present, ended
    lines.begun.add(nested)
    monkeypatch.setattr(child_lines, "open_calls", {id(lines): lines})
    monkeypatch.setattr(child_lines, "late_lines", {})
    collector, own_thread, copied = child_lines.Collector(), Context(), Context()
    copied.run(child_lines.collected.set, of_ended)

    def line(text: str, **ids: Any) -> logging.LogRecord:
        return logging.makeLogRecord({"name": "orionflow.task_runs", "levelno": logging.INFO, "msg": text, **ids})

    with override_settings(log_format="json"):
        own_thread.run(collector.put, line("of the process"))
        own_thread.run(collector.put, line("of an ended call", task_run_id=ended.task_run_id))
        copied.run(collector.put, line("after the end", flow_run_id=ended.flow_run_id))
        own_thread.run(collector.put, line("of a thread", task_run_id=present.task_run_id))
        own_thread.run(collector.put, line("of a nested flow", flow_run_id=nested))

    assert [one.getMessage() for one in lines] == ["of a thread", "of a nested flow"]
    assert of_ended == []
    assert {run: [one.getMessage() for one in late] for run, late in child_lines.late_lines.items()} == {
        ended.flow_run_id: ["after the end"]
    }
    shown = [json.loads(one)["message"] for one in capsys.readouterr().err.splitlines()]
    assert shown == ["of the process", "of an ended call", "after the end"]


async def sleep_long(x: int) -> None:
    await asyncio.sleep(60)


def test_a_flow_ends_whose_tasks_wait_for_a_process():
    @flow(task_runner=ProcessTaskRunner(1, "forkserver"), timeout_seconds=2)
    async def outer() -> None:
        for one in task(sleep_long).map(range(4)):
            await one.result()

    assert asyncio.run(outer(return_state=True)).name == "TimedOut"
