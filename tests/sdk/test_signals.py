"""Signals, or a closed terminal, end a program within ten seconds, and no run in it stays unfinished."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.rounds import in_turn
from tests.sdk.programs import Program

# The promise is ten seconds; the machine that runs this may be busy with other things.
PATIENCE_SECONDS = 30
BEGIN = """
import asyncio, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from orionflow import flow, task

@task
async def sleeps():
    print("ready")
    await asyncio.sleep(60)

@task
def blocks():
    print("ready")
    time.sleep(60)

@flow
def sync_around_async():
    sleeps()

@flow
async def async_around_sync():
    sync_around_async()
"""
PROGRAMS = {
    "coroutine in a sync flow": "sync_around_async()",
    "submitted coroutine": """
        @flow
        def outer():
            sleeps.submit()
        outer()
    """,
    "sync flow that holds the loop up": "asyncio.run(async_around_sync())",
    "four levels": """
        @flow
        def three():
            return async_around_sync()
        @flow
        async def four():
            return three()
        asyncio.run(four())
    """,
    "four levels from a sync flow": """
        @flow
        def outer():
            return async_around_sync()
        outer()
    """,
    "sleep in a coroutine": """
        @flow
        async def outer():
            print("ready")
            time.sleep(60)
        asyncio.run(outer())
    """,
    "sleep in a sync flow in a coroutine": """
        @flow
        def inner():
            print("ready")
            time.sleep(60)
        @flow
        async def outer():
            inner()
        asyncio.run(outer())
    """,
    "gathered": """
        @flow
        async def outer():
            await asyncio.gather(sleeps(), sleeps(), sleeps())
        asyncio.run(outer())
    """,
    "submitted threads": """
        @flow
        def outer():
            blocks.submit()
            blocks.submit().result()
        outer()
    """,
    "subflow in a submitted task": """
        @task
        def calls():
            return sync_around_async()
        @flow
        def outer():
            calls.submit().result()
        outer()
    """,
    "flow in to_thread": """
        @flow
        async def outer():
            await asyncio.to_thread(sync_around_async)
        asyncio.run(outer())
    """,
    "several flows in one loop": """
        async def main():
            await asyncio.gather(async_around_sync_later(), *[waits() for _ in range(3)])
        @flow
        async def async_around_sync_later():
            await asyncio.sleep(0.5)
            sync_around_async()
        @flow
        async def waits():
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "flows in threads beside one in the main thread": """
        threads = [threading.Thread(target=sync_around_async, daemon=True) for _ in range(2)]
        [thread.start() for thread in threads]
        @flow
        def outer():
            time.sleep(60)
        outer()
    """,
    "async hook": """
        async def slow_hook(*_):
            print("ready")
            await asyncio.sleep(60)
        @task(on_completion=[slow_hook])
        def hooked():
            return 1
        @flow
        def outer():
            hooked()
        outer()
    """,
    "deaf coroutine": """
        @flow
        async def outer():
            print("ready")
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        asyncio.run(outer())
    """,
    "a loop of one's own in a sync flow": """
        @flow
        def outer():
            async def main():
                await sleeps()
            asyncio.run(main())
        outer()
    """,
}


@pytest.mark.turns
@pytest.mark.parametrize(("name", "number"), in_turn(PROGRAMS, [signal.SIGTERM, signal.SIGINT]))
def test_signal_ends_the_program_with_all_its_runs(name: str, number: int, tmp_path: Path):
    lines = [line[8:] if line.startswith("        ") else line for line in PROGRAMS[name].splitlines()]
    program = Program(tmp_path, BEGIN + "\n".join(lines))

    with program.start() as process:
        program.wait_for_output("ready")
        process.send_signal(number)
        try:
            _, output = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == (-signal.SIGKILL if name == "deaf coroutine" else -number)
    runs = program.query(
        "SELECT name, state_name FROM runs_flowrun UNION ALL SELECT name, state_name FROM runs_taskrun"
    )
    assert runs
    assert {state for _, state in runs} <= {"Crashed", "Completed"}, f"{runs}\n{output}"


ENDED_BESIDE = """
said, begun = print, threading.Event()

def print(line):
    said(line)
    begun.set()

def run_async():
    asyncio.run(async_around_sync())

@flow
def short():
    pass

def wait_as(way, thread):
    if way == "join":
        thread.join()
    elif way == "sleep":
        time.sleep(60)
    elif way == "loop":
        asyncio.run(asyncio.sleep(60))
    else:
        # A run of the main thread that has ended leaves the others as they were.
        begun.wait()
        short()
        print("short ended")
        threading.Event().wait()

what = {"sync": sync_around_async, "async": run_async}[sys.argv[1]]
thread = threading.Thread(target=what, daemon=sys.argv[3] == "daemon")
thread.start()
wait_as(sys.argv[2], thread)
"""


@pytest.mark.parametrize(
    ("what", "way", "kind", "number"),
    [
        ("sync", "join", "plain", signal.SIGTERM),
        ("async", "sleep", "daemon", signal.SIGTERM),
        ("sync", "loop", "daemon", signal.SIGHUP),
        ("sync", "after a run", "plain", signal.SIGTERM),
    ],
)
def test_signal_ends_the_runs_of_threads_while_the_main_thread_is_idle(
    what: str, way: str, kind: str, number: int, tmp_path: Path
):
    program = Program(tmp_path, BEGIN + ENDED_BESIDE)

    with program.start((what, way, kind)) as process:
        program.wait_for_output("ready")
        if way == "after a run":
            program.wait_for_output("short ended")
        process.send_signal(number)
        try:
            _, output = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == -number, output
    runs = program.query(
        "SELECT r.name, r.state_name, s.message FROM runs_flowrun r JOIN runs_flowrunstate s ON s.id = r.state_id"
        " WHERE r.state_name <> 'Completed'"
    )
    assert runs
    assert {state for _, state, _ in runs} == {"Crashed"}, output
    assert all(signal.Signals(number).name in message for _, _, message in runs), runs


SENT_LATE = """
import os

send = os.kill
os.kill = lambda *signal: (time.sleep(1), send(*signal))
threading.Thread(target=sync_around_async).start()
"""


def test_program_that_exits_once_its_run_has_ended_still_ends_by_the_signal(tmp_path: Path):
    program = Program(tmp_path, BEGIN + SENT_LATE)

    with program.start() as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGTERM, output
    assert program.query("SELECT state_name FROM runs_flowrun") == [("Crashed",)], output


IN_EITHER = """
if sys.argv[1] == "main":
    sync_around_async()
else:
    threading.Thread(target=sync_around_async).start()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_program_that_ends_by_a_signal_has_stored_the_last_line_of_its_log(where: str, tmp_path: Path):
    program = Program(tmp_path, BEGIN + IN_EITHER)

    with program.start((where,)) as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGTERM, output
    lines = [message for (message,) in program.query("SELECT message FROM runs_log ORDER BY timestamp, id")]
    assert lines[-1].startswith("Ended as Crashed"), lines


AS_HANDLERS_ARE_RESTORED = """
import os, signal, threading, time

def before_fork():
    # Called while the forking thread holds the lock that the end of a run takes, and before it keeps requests waiting.
    forking.set()
    sent.wait()

import orionflow.client.ephemeral
forking, sent = threading.Event(), threading.Event()
os.register_at_fork(before=before_fork)
import sys
from orionflow import flow

def fork():
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)

def waits_for_lock():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and frame.f_code.co_name != "set_aside":
        frame = frame.f_back
    return frame is not None

def send(numbers):
    while numbers and not waits_for_lock():
        time.sleep(0.01)
    for number in numbers:
        time.sleep(0.1)
        os.kill(os.getpid(), number)
    time.sleep(0.1)
    sent.set()

def end_meanwhile(*numbers):
    forking.clear()
    sent.clear()
    thread = threading.Thread(target=fork)
    thread.start()
    forking.wait()
    threading.Thread(target=send, args=(numbers,)).start()
    return thread

short = flow(end_meanwhile, name="short")
numbers = [int(word) for word in sys.argv[1:]]
try:
    short(*numbers)
    time.sleep(5)
except KeyboardInterrupt:
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("interrupted", default and signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
    end_meanwhile().join()
print("goes on", flush=True)
"""


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)]
)
def test_signal_that_comes_as_the_last_run_gives_the_handlers_back_ends_the_program(
    numbers: tuple[int, ...], tmp_path: Path
):
    program = Program(tmp_path, AS_HANDLERS_ARE_RESTORED)

    done = program.run(PATIENCE_SECONDS, tuple(str(int(number)) for number in numbers), cold=True)

    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr
    assert program.flow_run()[0] == "Completed"


def test_interrupt_that_comes_as_the_last_run_gives_the_handlers_back_is_raised_after_it(tmp_path: Path):
    program = Program(tmp_path, AS_HANDLERS_ARE_RESTORED)

    done = program.run(PATIENCE_SECONDS, (str(int(signal.SIGINT)),), cold=True)

    assert done.stdout.splitlines() == ["interrupted True", "goes on"], done.stderr
    assert program.flow_run()[0] == "Completed"


WITHOUT_THREADS = """
import os, signal
from orionflow.reporting import reporter

def refuse(thread):
    raise RuntimeError("can't start new thread")

def receive(item):
    # Here a signal waits for the end of the report.
    reporter.encode_transition = encode
    threading.Thread.start = refuse
    os.kill(os.getpid(), int(sys.argv[1]))
    return encode(item)

encode = reporter.encode_transition

@flow
def outer():
    reporter.encode_transition = receive
    blocks()

outer()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_run_whose_process_may_start_no_threads(number: int, tmp_path: Path):
    program = Program(tmp_path, BEGIN + WITHOUT_THREADS)

    done = program.run(PATIENCE_SECONDS, (str(int(number)),))

    assert done.returncode == -number, done.stderr
    assert program.flow_run()[0] == "Crashed"
    assert "start new thread" not in done.stderr


AFTER_A_LACK = """
import os, resource, signal

@flow
def short():
    pass

lacking = sys.argv[1]
short()
beside = threading.Thread(target=short)
if lacking == "threads":
    # The reading thread is the second one that starts.
    start, first = threading.Thread.start, []
    def refuse(thread):
        if first:
            raise RuntimeError("can't start new thread")
        first.append(thread)
        start(thread)
    threading.Thread.start = refuse
    beside.start()
    beside.join()
    threading.Thread.start = start
else:
    # The next descriptors that are opened have these numbers.
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + int(lacking), limits[1]))
    beside.start()
    # A run that cannot open its database waits for it.
    beside.join(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    beside.join()
threading.Thread(target=sync_around_async).start()
"""


@pytest.mark.turns
@pytest.mark.parametrize("lacking", ["threads", *map(str, range(6))])
def test_signal_ends_a_run_though_an_earlier_one_lacked_threads_or_descriptors(lacking: str, tmp_path: Path):
    program = Program(tmp_path, BEGIN + AFTER_A_LACK)

    with program.start((lacking,)) as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        try:
            _, output = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == -signal.SIGTERM, output
    states = program.query("SELECT name, state_name FROM runs_flowrun ORDER BY id")
    assert states[-1][1] == "Crashed", output
    assert {state for _, state in states[:-1]} <= {"Completed", "Crashed", "Failed"}, states


WITHOUT_LISTENER = """
start, refused = threading.Thread.start, []
def refuse(thread):
    if threading.current_thread() is threading.main_thread() and not refused:
        refused.append(thread)
        raise RuntimeError("can't start new thread")
    start(thread)

@flow
def counts():
    return len(refused)

threading.Thread.start = refuse
print(counts(), counts())
"""


def test_run_of_a_process_that_may_start_no_thread_for_signals_completes(tmp_path: Path):
    program = Program(tmp_path, BEGIN + WITHOUT_LISTENER)

    done = program.run(PATIENCE_SECONDS)

    assert done.stdout.split() == ["1", "1"], done.stderr


CHANGED_HANDLER = """
import signal

@flow
def works():
    begun.set()
    while not reset.wait(0.01):
        pass

begun, reset = threading.Event(), threading.Event()
first = threading.Thread(target=works)
first.start()
begun.wait()
signal.signal(signal.SIGTERM, lambda *_: None)
if sys.argv[1] == "late":
    reset.set()
    first.join()
signal.signal(signal.SIGTERM, signal.SIG_DFL)
threading.Thread(target=sync_around_async).start()
"""
CAUGHT_AT_FIRST = """
import signal

def catch(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    caught.set()

@flow
def deaf():
    try:
        print("ready")
        while True:
            time.sleep(0.01)
    finally:
        # In answer to the signal.
        install.set()
        installed.wait()

caught, install, installed = threading.Event(), threading.Event(), threading.Event()
threading.Thread(target=deaf).start()
while not install.wait(0.01):
    pass
signal.signal(signal.SIGTERM, catch)
installed.set()
while not caught.wait(0.01):
    pass
threading.Thread(target=sync_around_async).start()
"""


@pytest.mark.parametrize("reset", ["early", "late"])
def test_signal_ends_a_run_though_the_program_set_a_handler_and_reset_it(reset: str, tmp_path: Path):
    program = Program(tmp_path, BEGIN + CHANGED_HANDLER)

    with program.start((reset,)) as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        try:
            _, output = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == -signal.SIGTERM, output
    assert {state for _, state in program.task_runs()} == {"Crashed"}, output
    assert {state for (state,) in program.query("SELECT state_name FROM runs_flowrun")} <= {"Completed", "Crashed"}


def test_signal_that_the_program_caught_leaves_later_runs_watched(tmp_path: Path):
    program = Program(tmp_path, BEGIN + CAUGHT_AT_FIRST)

    with program.start() as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        program.wait_for_output("ready")
        process.send_signal(signal.SIGTERM)
        try:
            _, output = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == -signal.SIGTERM, output
    assert [state for (state,) in program.query("SELECT state_name FROM runs_flowrun")] == ["Crashed", "Crashed"], (
        output
    )


FORKS_BESIDE = """
@flow
def works():
    print("ready")
    # A fork changes nothing about the signals that a program blocks itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    child = os.fork()
    if child == 0:
        # Handlers are as they were before the flow.
        time.sleep(60)
        os._exit(5)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print("blocked", *map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    print("child ended by", os.WTERMSIG(status))

import os, signal
thread = threading.Thread(target=works)
thread.start()
thread.join()
print("handler", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_signal_for_a_forked_child_ends_that_alone(tmp_path: Path):
    program = Program(tmp_path, BEGIN + FORKS_BESIDE)

    done = program.run()

    assert done.returncode == 0, done.stderr
    assert f"child ended by {int(signal.SIGTERM)}" in done.stdout
    assert f"blocked {int(signal.SIGHUP)}\n" in done.stdout
    assert "handler True" in done.stdout
    assert program.flow_run()[0] == "Completed"


IN_A_TERMINAL = """
import asyncio, sys, time
from orionflow import flow, task

@task
def sleeps():
    print("ready", flush=True)
    time.sleep(60)

@task
async def waits():
    print("ready", flush=True)
    await asyncio.sleep(60)

@flow
def calls():
    sleeps()

@flow
def submits():
    sleeps.submit().result()

@flow
async def gathers():
    await asyncio.gather(waits(), waits())

asyncio.run(gathers()) if sys.argv[1] == "gathers" else globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize("which", ["calls", "submits", "gathers"])
def test_runs_end_with_the_terminal_of_their_program(which: str, tmp_path: Path):
    program = Program(tmp_path, IN_A_TERMINAL)
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [sys.executable, str(program.file), which],
        env=program.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    ) as process:
        os.close(theirs)
        output = b""
        while b"ready" not in output:
            output += os.read(ours, 1000)
        os.close(ours)
        process.wait(PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGHUP
    name, message = program.flow_run()
    assert (name, "SIGHUP: its terminal was closed" in message) == ("Crashed", True), message
    assert {state for _, state in program.task_runs()} == {"Crashed"}


ENDED_TWICE = """
import asyncio, sys, time
from orionflow import flow, task

@task
def blocks():
    time.sleep(60)

@task
async def waits():
    await asyncio.sleep(60)

@flow
def submits():
    tasks = [blocks.submit() for _ in range(3)]
    print("ready", flush=True)
    tasks[0].result()

@flow
async def gathers():
    asyncio.get_running_loop().call_later(0.5, print, "ready")
    await asyncio.gather(waits(), waits(), waits())

asyncio.run(gathers()) if sys.argv[1] == "gathers" else submits()
"""


@pytest.mark.parametrize(("which", "pause"), in_turn(["submits", "gathers"], [0.02, 0.0003]))
def test_runs_end_despite_a_second_sighup_of_a_shell(which: str, pause: float, tmp_path: Path):
    program = Program(tmp_path, ENDED_TWICE)

    with program.start(words=(which,)) as process:
        program.wait_for_output("ready")
        process.send_signal(signal.SIGHUP)
        time.sleep(pause)
        process.send_signal(signal.SIGHUP)
        _, output = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGHUP
    assert program.flow_run()[0] == "Crashed", output
    assert {state for _, state in program.task_runs()} == {"Crashed"}, output


IN_ANSWER = """
import asyncio, sys, time
from orionflow import flow, task

@task(retries=3)
def blocks():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        raise ValueError("not now")

@task(retries=3)
async def waits():
    try:
        print("ready", flush=True)
        await asyncio.sleep(60)
    finally:
        raise ValueError("not now")

@flow
def calls():
    blocks()

@flow
async def awaits():
    await waits()

asyncio.run(awaits()) if sys.argv[1] == "awaits" else calls()
"""


@pytest.mark.parametrize(("which", "number"), in_turn(["calls", "awaits"], [signal.SIGTERM, signal.SIGHUP]))
def test_run_that_fails_when_it_is_asked_to_stop_ends_by_the_signal(which: str, number: int, tmp_path: Path):
    program = Program(tmp_path, IN_ANSWER)

    with program.start(words=(which,)) as process:
        program.wait_for_output("ready")
        process.send_signal(number)
        _, output = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -number
    name, message = program.flow_run()
    assert (name, signal.Signals(number).name in message) == ("Crashed", True), output
    assert {state for _, state in program.task_runs()} == {"Crashed"}, output
    assert "ValueError: not now" in output


WITHOUT_STDERR = """
import sys
from orionflow import flow, get_run_logger

@flow
def says():
    sys.stderr.close()
    get_run_logger().warning("Nobody reads this.")

says()
"""


def test_unreadable_log_line_fails_no_run(tmp_path: Path):
    program = Program(tmp_path, WITHOUT_STDERR)

    program.run(PATIENCE_SECONDS)

    assert program.flow_run()[0] == "Completed"


ELSEWHERE = """
import asyncio, signal, sys, threading, time
from orionflow import flow

number = int(sys.argv[2])

def receive():
    # Python notes it here; the main thread, which is to call the handler, is asleep and does not wake up.
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), number)

@flow
def sleeps():
    threading.Thread(target=receive).start()
    time.sleep(60)

@flow
async def waits():
    threading.Thread(target=receive).start()
    await asyncio.sleep(60)

asyncio.run(waits()) if sys.argv[1] == "waits" else sleeps()
"""


@pytest.mark.parametrize(("which", "number"), in_turn(["sleeps", "waits"], [signal.SIGTERM, signal.SIGINT]))
def test_signal_that_does_not_wake_the_main_thread_comes_again(which: str, number: int, tmp_path: Path):
    program = Program(tmp_path, ELSEWHERE)

    ended = program.run(PATIENCE_SECONDS, (which, str(number.value)))

    assert ended.returncode == -number
    assert program.flow_run()[0] == "Crashed"


IN_THE_SERVER = """
import os, signal, sys
from orionflow import flow, task

@task
def returns():
    return 1

@flow
def outer():
    for _ in range(100):
        returns.submit().result()

outer()
left = int(sys.argv[2])

def trace(frame, event, arg):
    global left
    if frame.f_code.co_name == "release" and frame.f_code.co_filename.endswith("gate.py"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), int(sys.argv[1]))

sys.settrace(trace)
outer()
"""


# The proposal to run, and the end of the run.
@pytest.mark.parametrize(("write", "ends"), [(2, "Crashed"), (3, "Completed")])
def test_signal_waits_while_the_server_works_in_this_process(write: int, ends: str, tmp_path: Path):
    program = Program(tmp_path, IN_THE_SERVER)

    # An exception at that place is lost, or leaves the database locked, so that nothing can be reported any more.
    ended = program.run(PATIENCE_SECONDS, (str(signal.SIGINT.value), str(write)))

    assert ended.returncode == -signal.SIGINT, ended.stderr
    assert program.query("SELECT state_name FROM runs_flowrun ORDER BY id") == [("Completed",), (ends,)]
