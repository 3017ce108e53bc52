"""User code may fork. What the child does with its copy of a run does not end the run, which goes on in the parent."""

from __future__ import annotations

import signal
from itertools import product
from pathlib import Path

import pytest

from tests.printed import PATIENCE_SECONDS
from tests.rounds import in_turn
from tests.sdk.programs import Program

SOURCE = """
import asyncio, os, sys
from orionflow import flow, task
from orionflow.task_runners import ProcessTaskRunner, SequentialTaskRunner

def leave():
    {leave}

def code_of_child():
    child = os.fork()
    if child == 0:
        return leave()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@task
def forking():
    return code_of_child()

@task
async def awaiting():
    return code_of_child()

codes = []

def noted(*_):
    codes.append(code_of_child())
    return "noted"

async def noted_later(*_):
    await asyncio.sleep(0)
    return noted()

def code_of_grandchild():
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    child = os.getpid()
    code = code_of_child()
    if os.getpid() == child:
        os._exit(code)
    return code

async def waiting():
    await asyncio.sleep(0)
    code = code_of_child()
    await asyncio.to_thread(print, end="")
    return code

async def calling():
    return (await asyncio.gather(awaiting(), awaiting()))[1]

@task
def adding(number):
    return number + 1

@task
async def adding_later(number):
    return number + 1

def {outer}

if __name__ == "__main__":
    value = {call}
    print("value", value, flush=True)
"""

# How a child leaves the function in which it was forked, and its exit code.
LEAVING = {
    "sys.exit": ("sys.exit(3)", 3),
    "sys.exit with a text": ("sys.exit('no')", 1),
    "raises": ("raise ValueError('on purpose')", 1),
    "returns": ("return 77", 1),
    "os._exit": ("os._exit(3)", 3),
    "sys.exit without output": ("sys.stdout.close(); sys.exit(3)", 3),
    "raises without output": ("sys.stdout.close(); sys.stderr.close(); raise ValueError('on purpose')", 1),
    "sys.exit with a large code": ("sys.exit((1 << 70) + 3)", 3),
}
PLACES = {
    "flow": ("outer():\n    return adding(code_of_child())", "flow(outer)()"),
    "task": ("outer():\n    return adding(forking())", "flow(outer)()"),
    "submitted": ("outer():\n    return adding(forking.submit())", "flow(outer)()"),
    "in order": (
        "outer():\n    return adding(forking.submit())",
        "flow(outer, task_runner=SequentialTaskRunner())()",
    ),
    "in another process": (
        "outer():\n    return adding([forking.submit(), awaiting.submit()][1])",
        "flow(outer, task_runner=ProcessTaskRunner(max_workers=1))()",
    ),
    "mapped": ("outer():\n    return adding([forking.submit() for _ in range(3)][2])", "flow(outer)()"),
    "nested": ("outer():\n    return adding(flow(code_of_child)())", "flow(outer)()"),
    "submitted, from a child": ("outer():\n    return adding(task(code_of_grandchild).submit())", "flow(outer)()"),
    "async task": ("outer():\n    return adding(awaiting())", "flow(outer)()"),
    "async flow": ("outer():\n    return adding(flow(waiting)())", "flow(outer)()"),
    "async flow outside": ("outer():\n    return asyncio.run(flow(waiting)())", "outer() + 1"),
    "async task of an async flow": ("outer():\n    return asyncio.run(flow(calling)())", "outer() + 1"),
    "coroutine of a sync flow": ("outer():\n    return waiting()", "flow(outer)() + 1"),
    "async task, submitted": ("outer():\n    return adding(awaiting.submit())", "flow(outer)()"),
}
# Functions of the user that Orion calls around those of flows and tasks.
TASK_OPTIONS = {
    "hook": "on_completion=[noted]",
    "async hook": "on_completion=[noted_later]",
    "cache key": "cache_key_fn=noted",
    "name": "task_run_name=noted",
    "storage key": "persist_result=True, result_storage_key=noted",
}
FLOW_OPTIONS = {
    "hook": "on_running=[noted]",
    "async hook": "on_running=[noted_later]",
    "name": "flow_run_name=noted",
}
CALLED = ("outer():\n    adding.with_options({})(1)\n    return codes[-1] + 1", "flow(outer)()")
SUBMITTED = ("outer():\n    adding.with_options({}).submit(1).wait()\n    return codes[-1] + 1", "flow(outer)()")
AWAITED = (
    "outer():\n    async def inner():\n        await adding_later.with_options({})(1)\n        return codes[-1] + 1"
    "\n    return asyncio.run(flow(inner)())",
    "outer()",
)
FLOW = ("outer():\n    return codes[-1] + 1", "flow(outer, {})()")
ASYNC_FLOW = (
    "outer():\n    async def inner():\n        return codes[-1] + 1\n    return inner",
    "asyncio.run(flow(outer(), {})())",
)


@pytest.mark.turns
@pytest.mark.parametrize(
    ("place", "leaving"),
    [
        *in_turn(PLACES, ("sys.exit", "raises", "returns")),
        *product(("flow",), ("sys.exit with a text", "os._exit")),
        *product(("async flow",), ("sys.exit without output", "raises without output", "sys.exit with a large code")),
    ],
)
def test_a_run_continues_after_every_kind_of_exit_of_a_forked_child(tmp_path: Path, place: str, leaving: str):
    check(tmp_path, *PLACES[place], leaving)


@pytest.mark.turns
@pytest.mark.parametrize(
    ("way", "leaving"),
    [(CALLED, "raises"), (AWAITED, "raises"), pytest.param(SUBMITTED, "sys.exit", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("options", TASK_OPTIONS.values(), ids=TASK_OPTIONS)
def test_run_continues_if_a_callback_of_a_task_forked(tmp_path: Path, way: tuple[str, str], leaving: str, options: str):
    check(tmp_path, way[0].format(options), way[1], leaving)


@pytest.mark.turns
@pytest.mark.parametrize(("way", "leaving"), [(FLOW, "sys.exit"), (ASYNC_FLOW, "raises")])
@pytest.mark.parametrize("options", FLOW_OPTIONS.values(), ids=FLOW_OPTIONS)
def test_run_continues_if_a_callback_of_a_flow_forked(tmp_path: Path, way: tuple[str, str], leaving: str, options: str):
    check(tmp_path, way[0], way[1].format(options), leaving)


def check(folder: Path, outer: str, call: str, leaving: str) -> None:
    """Run the program, and see that the child has left it, and that the run has only the states of its parent."""
    leave, code = LEAVING[leaving]
    program = Program(folder, SOURCE.format(leave=leave, outer=outer, call=call))

    done = program.run(timeout=60)

    assert done.stdout.split() == ["value", str(code + 1)], done.stderr
    assert {name for (name,) in program.query("SELECT state_name FROM runs_flowrun")} == {"Completed"}
    assert not program.query("SELECT id FROM runs_flowrunstate WHERE type IN ('CRASHED', 'FAILED')")
    assert set(program.query("SELECT state_name, run_count FROM runs_taskrun")) <= {("Completed", 1)}


SEVERAL = """
import os
from pathlib import Path
from orionflow import flow, task

@task{options}
def squared(number):
    with Path(__file__).with_name("calls.txt").open("a") as calls:
        calls.write(f"{{number}} ")
    return number * number

@flow
def nested(number):
    return squared(number)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def child_with_child():
    {call}
    in_child(lambda: squared(4))

attempts = []

@flow(retries=1)
def outer():
    attempts.append(1)
    squared(1)
    in_child(lambda: squared(2))
    in_child(child_with_child)
    squared(5)
    if len(attempts) == 1:
        raise ValueError("once")

# The process of the run was forked itself.
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
outer()
print("done", flush=True)
"""
WAYS = {"called": "squared(3)", "submitted": "squared.submit(3).result()", "nested": "nested(3)"}


@pytest.mark.parametrize("way", WAYS)
def test_each_call_in_a_forked_process_has_a_run_of_its_own(tmp_path: Path, way: str):
    program = Program(tmp_path, SEVERAL.format(options="(persist_result=False)", call=WAYS[way]))

    done = program.run(timeout=60)

    assert done.stdout.split() == ["done"], done.stderr
    of_outer = "flow_run_id = (SELECT id FROM runs_flowrun WHERE parent_task_run_id IS NULL)"
    made = program.query(f"SELECT name, state_name FROM runs_taskrun WHERE {of_outer} ORDER BY name")
    second = "nested-fork2.0" if way == "nested" else "squared-fork2.0"
    expected = {"squared-0", "squared-1", "squared-fork1.0", second, "squared-fork2.1.0"}
    assert made == sorted((name, "Completed") for name in expected)


def test_results_of_forked_processes_are_used_in_the_next_attempt(tmp_path: Path):
    program = Program(tmp_path, SEVERAL.format(options="", call=WAYS["called"]))

    done = program.run(timeout=60)

    assert done.stdout.split() == ["done"], done.stderr
    assert (tmp_path / "calls.txt").read_text().split() == ["1", "2", "3", "4", "5"]
    assert program.query("SELECT count(*), count(DISTINCT dynamic_key) FROM runs_taskrun") == [(5, 5)]


SUBMITTING = """
import os, time
from orionflow import flow, task

@task
def negative(number):
    return -number

@flow
def outer():
    negative.submit(1).result()
    # Then its thread waits for more work when the process is forked.
    time.sleep(0.2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if [negative.submit(number).result(timeout=10) for number in (2, 3)] == [-2, -3] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return negative.submit(4).result()

print(outer(), flush=True)
"""


def test_a_forked_process_starts_threads_of_its_own_for_what_it_submits(tmp_path: Path):
    program = Program(tmp_path, SUBMITTING)

    done = program.run(timeout=60)

    assert done.stdout.split() == ["-4"], done.stderr
    made = program.query("SELECT name, state_name FROM runs_taskrun ORDER BY name")
    names = ("negative-0", "negative-1", "negative-fork1.0", "negative-fork1.1")
    assert made == [(name, "Completed") for name in names]


WRITING = """
import os, sys, threading
from orionflow import flow, task

@task
def number(one):
    return one

@flow
def writing(stop):
    while not stop.is_set():
        number(1)

@flow
def forking():
    for _ in range(20):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                number(2)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

stop = threading.Event()
thread = threading.Thread(target=writing, args=(stop,))
thread.start()
try:
    forking()
finally:
    stop.set()
    thread.join()
print("done", flush=True)
"""


@pytest.mark.long
def test_forked_processes_write_while_a_thread_of_their_parent_was_writing(tmp_path: Path):
    program = Program(tmp_path, WRITING)

    done = program.run(timeout=60, cold=True)

    assert done.stdout.split() == ["done"], done.stderr
    assert program.query("SELECT count(*) FROM runs_taskrun WHERE name LIKE '%fork%'") == [(20,)]
    assert program.query("SELECT DISTINCT state_name FROM runs_taskrun") == [("Completed",)]
    assert program.query("PRAGMA integrity_check") == [("ok",)]


ENDING = """
import asyncio, multiprocessing, os, signal, time
from orionflow import flow, task

forks = multiprocessing.get_context("fork")

@task
def noted():
    open("noted", "w").close()
    time.sleep(3600)

def waiting():
    open("waiting", "w").close()
    time.sleep(3600)

def code_of_ended(work, sign):
    if os.path.exists(sign):
        os.remove(sign)
    child = forks.Process(target=work)
    child.start()
    while not os.path.exists(sign):
        time.sleep(0.01)
    child.terminate()
    child.join()
    return child.exitcode

def of_waiting():
    return code_of_ended(waiting, "waiting")

@flow
def outer():
    with forks.Pool(4) as pool:
        squares = pool.map(abs, range(-8, 0))
    return [*squares, of_waiting(), task(of_waiting)(), task(of_waiting).submit().result()]

@flow
async def outer_later():
    return of_waiting()

@flow
def recording():
    return code_of_ended(noted, "noted")

if __name__ == "__main__":
    os.chdir(os.path.dirname(__file__))
    {call}
"""


def test_a_forked_process_without_runs_is_terminated_as_without_orion(tmp_path: Path):
    program = Program(tmp_path, ENDING.format(call="print(*outer(), asyncio.run(outer_later()))"))

    done = program.run(timeout=60)

    assert done.stdout.split() == ["8", "7", "6", "5", "4", "3", "2", "1", *["-15"] * 4], done.stderr
    assert "Traceback" not in done.stderr


def test_the_run_of_a_forked_process_that_is_terminated_has_crashed(tmp_path: Path):
    program = Program(tmp_path, ENDING.format(call="recording()"))

    program.run(timeout=60)

    made = program.query("SELECT state_name FROM runs_taskrun WHERE name LIKE 'noted%'")
    assert made == [("Crashed",)]


STUBBORN = """
import os, signal, time
from orionflow import flow, task

@task
def noted():
    return 1

@flow
def outer():
    child = os.fork()
    if child == 0:
        noted()
        open("noted", "w").close()
        while True:
            try:
                time.sleep(3600)
            except BaseException:
                pass
    while not os.path.exists("noted"):
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

os.chdir(os.path.dirname(__file__))
print(outer(), flush=True)
"""


@pytest.mark.long
def test_a_forked_process_that_is_killed_as_it_ignores_sigterm_ends_no_run_of_its_parent(tmp_path: Path):
    program = Program(tmp_path, STUBBORN)

    done = program.run(timeout=60)

    assert done.stdout.split() == [str(-signal.SIGKILL)], done.stderr
    assert program.flow_run()[0] == "Completed"


TERMINATED_UNNOTICED = """
import multiprocessing, signal, threading, time
from orionflow import flow, task

forks = multiprocessing.get_context("fork")

@task
def recorded():
    receive_and_wait()

def receive_and_wait():
    threading.Thread(target=receive).start()
    time.sleep(30)

def receive():
    # Python notes it here; the main thread, which is to call the handler, is asleep and does not wake up.
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

def code_of_ended(work):
    child = forks.Process(target=work)
    child.start()
    child.join()
    return child.exitcode

@flow
def outer():
    in_thread = task(code_of_ended).submit(receive_and_wait)
    return [code_of_ended(receive_and_wait), in_thread.result(), code_of_ended(recorded)]

print(*outer())
"""


def test_a_signal_that_does_not_wake_the_main_thread_of_a_forked_process_comes_again(tmp_path: Path):
    program = Program(tmp_path, TERMINATED_UNNOTICED)

    done = program.run(timeout=PATIENCE_SECONDS)

    # A process that records runs ends by the exception.
    assert done.stdout.split() == ["-15", "-15", "1"], done.stderr
    assert program.query("SELECT state_name FROM runs_taskrun WHERE name LIKE 'recorded%'") == [("Crashed",)]


DAEMON = """
import os, time
from orionflow import flow

def become_daemon():
    # As daemons do: close what was inherited, and use the numbers for files of their own.
    os.closerange(3, 256)
    with open("own", "w") as own:
        time.sleep(0.3)
        own.write(str(len(os.listdir("/proc/self/task"))))

@flow
def outer():
    if not (child := os.fork()):
        become_daemon()
        os._exit(0)
    return os.waitpid(child, 0)[1]

os.chdir(os.path.dirname(__file__))
print(outer(), open("own").read())
"""


def test_a_forked_process_that_records_nothing_has_neither_threads_nor_files_of_orion(tmp_path: Path):
    program = Program(tmp_path, DAEMON)

    done = program.run(timeout=PATIENCE_SECONDS)

    assert done.stdout.split() == ["0", "1"], done.stderr
    assert "Traceback" not in done.stderr


TERMINATED_EARLY = """
import multiprocessing, os, signal, time
# Called in the child before the functions that Orion registers.
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
from orionflow import flow, task

def code_of_ended():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    child.start()
    child.join()
    return child.exitcode

@flow
def outer():
    return {code}

print(outer())
"""


@pytest.mark.parametrize(
    "code", ["code_of_ended()", "task(code_of_ended).submit().result()"], ids=["main thread", "other thread"]
)
def test_a_forked_process_that_is_terminated_at_once_ends(tmp_path: Path, code: str):
    program = Program(tmp_path, TERMINATED_EARLY.format(code=code))

    done = program.run(timeout=PATIENCE_SECONDS, cold=True)

    assert done.stdout.split() == ["-15"], done.stderr


BESIDE_A_THREAD = """
import multiprocessing, os, sys, threading, time
from orionflow import flow, task

@flow
def in_thread():
    begun.set()
    ended.wait()

@task
def recorded():
    os.write(writing, b".")
    time.sleep(60)

def code_of_exited():
    if not (child := os.fork()):
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@flow
def code_of_terminated():
    child = multiprocessing.get_context("fork").Process(target=recorded)
    child.start()
    os.read(reading, 1)
    child.terminate()
    child.join()
    return child.exitcode

reading, writing = os.pipe()
begun, ended = threading.Event(), threading.Event()
thread = threading.Thread(target=in_thread)
thread.start()
begun.wait()
print({call}, flush=True)
ended.set()
thread.join()
"""


@pytest.mark.parametrize(("call", "code"), [("code_of_exited()", "3"), ("code_of_terminated()", "1")])
def test_a_forked_process_ends_without_the_runs_of_its_parents_threads(tmp_path: Path, call: str, code: str):
    program = Program(tmp_path, BESIDE_A_THREAD.format(call=call))

    done = program.run(timeout=PATIENCE_SECONDS)

    assert done.stdout.split() == [code], done.stderr
    assert program.query("SELECT DISTINCT state_name FROM runs_flowrun") == [("Completed",)]
    assert not program.query("SELECT id FROM runs_flowrunstate WHERE type = 'CRASHED'")


AWAITING_AGAIN = """
import asyncio, os, sys
from orionflow import flow, task

@task
async def adding_later(number):
    return number + 1

@flow
async def outer(number):
    return await adding_later(number)

print(asyncio.run(outer(1)), flush=True)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(asyncio.run(asyncio.wait_for(outer(2), 10)), flush=True)
"""


def test_async_flows_run_in_a_process_that_was_forked_after_others(tmp_path: Path):
    program = Program(tmp_path, AWAITING_AGAIN)

    done = program.run(timeout=PATIENCE_SECONDS)

    assert done.stdout.split() == ["2", "3"], done.stderr
    assert program.query("SELECT state_name FROM runs_flowrun") == [("Completed",)] * 2


LOCKS = """
import os, pkgutil, sys, threading
from contextlib import suppress
from importlib import import_module

import orionflow

KINDS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)

def locks():
    # Of modules, and of the objects that a module makes for the whole process.
    for name, module in list(sys.modules.items()):
        if name.startswith("orionflow"):
            for attribute, value in vars(module).items():
                within = vars(value).items() if type(value).__module__ == name and hasattr(value, "__dict__") else ()
                for path, one in ((attribute, value), *((attribute + "." + inner, one) for inner, one in within)):
                    if isinstance(one, KINDS):
                        yield name + "." + path, one

for found in pkgutil.walk_packages(orionflow.__path__, "orionflow."):
    if not found.name.endswith("__main__"):
        with suppress(ImportError):
            import_module(found.name)
before = dict(locks())
assert "orionflow.contract.masking.known._lock" in before
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*(name for name, lock in locks() if lock is before.get(name)), flush=True)
os._exit(0)
"""


def test_a_forked_process_renews_every_lock_of_the_sdk(tmp_path: Path):
    program = Program(tmp_path, LOCKS)

    done = program.run(timeout=PATIENCE_SECONDS)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


FORKING = """
import os, threading
from orionflow import flow, task

@task
def number(one):
    return one

@flow
def writing(begun):
    while True:
        number(1)
        begun.set()

begun = threading.Event()
threading.Thread(target=writing, args=(begun,), daemon=True).start()
begun.wait()
try:
    print("forking", flush=True)
    while True:
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""


def test_an_interrupt_during_a_fork_is_raised_after_it(tmp_path: Path):
    program = Program(tmp_path, FORKING)

    with program.start() as process:
        program.wait_for_output("forking")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert output.split()[-1] == "interrupted"


KEPT = """
import os, signal, sys, threading, time

def receive_and_wait():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)

# Called after the functions of Orion, as the one that waits for what other threads write to SQLite.
os.register_at_fork(before=receive_and_wait)
import orionflow.engine.signals
from orionflow import flow

def fork():
    try:
        if not os.fork():
            os._exit(0)
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)

def receive():
    # Python notes it here; the main thread, which is to call the handler, is asleep and does not wake up.
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

@flow
def outer():
    if sys.argv[1] == "in the run":
        fork()
    threading.Thread(target=receive).start()
    time.sleep(60)

if sys.argv[1] == "before the run":
    fork()
outer()
"""


@pytest.mark.parametrize("where", ["in the run", "before the run"])
def test_signal_that_is_lost_comes_again_after_one_that_came_during_a_fork(tmp_path: Path, where: str):
    program = Program(tmp_path, KEPT)

    done = program.run(PATIENCE_SECONDS, (where,), cold=True)

    assert done.stdout == "interrupted\n", done.stderr
    assert done.returncode == -signal.SIGINT
    assert program.flow_run()[0] == "Crashed"
