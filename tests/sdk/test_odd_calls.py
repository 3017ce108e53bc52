"""Calls of flows and tasks of unusual shapes, and programs that change the ground below them."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.config
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.errors import MissingContext
from orionflow.task_runners import ProcessTaskRunner, TaskRunner
from orionflow.testing import logs_of
from tests.sdk.programs import Program


@task
def chatty(x: int) -> int:
    get_run_logger().info("got %d", x)
    return x


@flow
def doubled(x: int) -> int:
    return 2 * x


@flow(name="held", retries=2)
def held(x: int) -> int:
    return 3 * x


def helper() -> None:
    get_run_logger().warning("in a helper")


@task
async def asynchronous() -> str:
    helper()
    return "fine"


def test_function_of_a_task_may_log(caplog: pytest.LogCaptureFixture):
    import asyncio

    assert chatty.fn(3) == 3
    assert asyncio.run(asynchronous.fn()) == "fine"
    with pytest.raises(MissingContext):
        helper()


def test_parameters_may_be_called_self():
    @task
    def odd(self: int, fn: int, task: int = 0, name: str = "n") -> Any:
        return self, fn, task, name

    @flow
    def outer(self: int, cls: int = 2, flow: int = 3) -> Any:
        return odd(self=1, fn=cls), odd.submit(self=self, fn=flow, task=4).result(), odd.map(self=[5], fn=[6]).result()

    assert outer(self=7) == ((1, 2, 0, "n"), (7, 3, 4, "n"), [(5, 6, 0, "n")])


@pytest.mark.parametrize(
    ("builtin", "arguments", "value"),
    [
        (dict, ([("a", 1)],), {"a": 1}),
        (max, (3, 5), 5),
        (print, ("hello",), None),
        (str, (3,), "3"),
        (range, (3,), range(3)),
    ],
)
def test_builtins_can_be_tasks_and_flows(builtin: Any, arguments: tuple[Any, ...], value: Any):
    as_task = task(builtin)

    @flow
    def outer() -> Any:
        return as_task(*arguments)

    assert outer() == value
    assert flow(builtin)(*arguments) == value


@pytest.mark.parametrize("declared", [doubled, held, chatty, held.with_options(retries=5)])
def test_flows_and_tasks_can_be_pickled(declared: Any):
    there = pickle.loads(pickle.dumps(declared))

    assert there.name == declared.name
    assert there.retries == declared.retries
    assert there.fn(4) == declared.fn(4)


def test_flows_of_functions_can_be_pickled():
    factor = 5

    @flow
    def local(x: int) -> int:
        return factor * x

    assert pickle.loads(pickle.dumps(local)).fn(3) == 15


def test_flow_that_a_module_holds_is_itself_there():
    assert pickle.loads(pickle.dumps(doubled)) is doubled


def test_flows_can_be_mapped_over_processes(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from orionflow import flow, task

        @task
        def triple(x):
            return 3 * x

        @flow
        def one(x: int) -> int:
            return triple(x) if x else one(1)

        if __name__ == "__main__":
            with ProcessPoolExecutor(2, get_context("spawn")) as pool:
                print(list(pool.map(one, [0, 2, 3])))
        """,
    )

    ended = program.run()

    assert "[3, 6, 9]" in ended.stdout, ended.stderr
    assert program.query("SELECT count(*) FROM runs_flowrun WHERE state_type = 'COMPLETED'") == [(4,)]


@pytest.mark.parametrize("way", ["file", "dict"])
def test_logging_that_is_configured_within_a_flow_continues(way: str, tmp_path: Path):
    ini = tmp_path / "alembic.ini"
    ini.write_text(
        "[loggers]\nkeys = root\n[handlers]\nkeys = console\n[formatters]\nkeys = plain\n"
        "[logger_root]\nlevel = WARNING\nhandlers = console\n"
        "[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\nformatter = plain\n"
        "[formatter_plain]\nformat = %(message)s\n"
    )
    root = logging.getLogger()
    before = root.handlers[:], root.level

    @flow
    def migrates() -> None:
        if way == "file":
            logging.config.fileConfig(ini)
        else:
            logging.config.dictConfig({"version": 1})
        get_run_logger().info("after")
        chatty(1)

    try:
        state = migrates(return_state=True)
        messages = [line.message for line in logs_of(state)]
    finally:
        root.handlers[:], root.level = before
        for name in list(logging.Logger.manager.loggerDict):
            logging.getLogger(name).disabled = False

    assert {"after", "got 1"} <= set(messages)


def test_prints_that_are_redirected_are_not_log_lines():
    @task
    def prints() -> str:
        held_back = io.StringIO()
        with contextlib.redirect_stdout(held_back):
            print("kept")
        print("logged")
        print("error", file=io.StringIO())
        return held_back.getvalue()

    @flow(log_prints=True)
    def outer() -> list[str]:
        own = io.StringIO()
        with contextlib.redirect_stdout(own):
            print("own")
        return [prints(), prints.submit().result(), own.getvalue()]

    state = outer(return_state=True)

    assert state.result() == ["kept\n", "kept\n", "own\n"]
    messages = [line.message for line in logs_of(state)]
    assert messages.count("logged") == 2
    assert not {"kept", "own", "error"} & set(messages)


@task(log_prints=True)
def redirects() -> str:
    held_back = io.StringIO()
    with contextlib.redirect_stdout(held_back):
        print("kept")
    print("logged")
    get_run_logger().info("%d bad arguments", "no", extra={"lock": threading.Lock()})
    return held_back.getvalue()


def test_prints_and_lines_of_other_processes():
    @flow(task_runner=ProcessTaskRunner(max_workers=1))
    def outer() -> str:
        return redirects.submit().result()

    state = outer(return_state=True)

    assert state.result() == "kept\n"
    messages = [line.message for line in logs_of(state)]
    assert "logged" in messages
    assert any("%d bad arguments" in message for message in messages)


class Elsewhere(TaskRunner):
    """A runner whose functions are called somewhere else."""

    call = staticmethod(lambda fn, args, kwargs, seconds: fn(*args, **kwargs))

    def submit(self, work: Any) -> None:
        work()


def test_plain_calls_with_a_runner_for_other_processes_are_logged_once():
    @flow(task_runner=Elsewhere())
    def outer() -> int:
        return chatty(1) + chatty(2)

    @flow(task_runner=Elsewhere(), submit_calls=True)
    def submitting() -> int:
        return sum(future.result() for future in (chatty(1), chatty(2)))  # type: ignore[attr-defined]

    warned, silent = (
        [line.message for line in logs_of(one(return_state=True)) if "submit_calls=True" in line.message]
        for one in (outer, submitting)
    )

    assert len(warned) == 1
    assert "'chatty' is called here, not through" in warned[0]
    assert silent == []


def test_user_without_a_home_has_a_folder_of_its_own(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import os, pwd, tempfile

        def nobody(uid):
            raise KeyError(uid)

        os.environ.pop("HOME", None)
        os.environ.pop("ORION_HOME", None)
        pwd.getpwuid = nobody
        from orionflow import flow

        @flow
        def one() -> int:
            return 7

        print(one())
        from orionflow.settings import current_settings
        home = current_settings().home
        print(home.parent == __import__("pathlib").Path(tempfile.gettempdir()), oct(home.stat().st_mode & 0o777))
        """,
    )

    # Where a home is, is asked once, as the settings are loaded.
    ended = program.run(cold=True, TMPDIR=str(tmp_path))

    assert ended.stdout.splitlines() == ["7", "True 0o700"], ended.stderr


def test_connections_of_blocked_threads_are_closed_silently(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import threading, gc
        from orionflow import flow
        from orionflow.client import ephemeral

        @flow
        def one() -> int:
            return 7

        go_on, done = threading.Event(), threading.Event()

        def work():
            print(one())
            done.set()
            go_on.wait()

        thread = threading.Thread(target=work)
        thread.start()
        done.wait()
        # What the end of a test session does: the storage of the thread goes, in another thread, while it stands.
        ephemeral.in_process_server().requests._of_thread.__init__()
        ephemeral._server = ephemeral.InProcessServer()
        gc.collect()
        go_on.set()
        thread.join()
        """,
    )

    ended = program.run()

    assert ended.stdout == "7\n"
    assert "Exception ignored" not in ended.stderr
    assert "same thread" not in ended.stderr
