"""Log lines of runs reach the console and the API with the run they belong to; prints do where it is wanted."""

from __future__ import annotations

import io
import logging
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orionflow
from orionflow import flow, get_run_logger, task
from orionflow.errors import UpstreamFailed
from orionflow.testing import isolated, logs_of, task_runs_of


def messages_of(state: Any, level: int = 0) -> list[str]:
    return [line.message for line in logs_of(state) if line.level >= level]


def test_lines_belong_to_their_run():
    @task
    def inside() -> None:
        get_run_logger().warning("in the task %d", 1)

    @flow
    def outer() -> None:
        get_run_logger().info("in the flow")
        inside()

    state = outer(return_state=True)

    lines = {line.message: line for line in logs_of(state)}
    assert lines["in the flow"].task_run_id is None
    assert lines["in the flow"].name == "orionflow.flow_runs"
    of_task = lines["in the task 1"]
    assert (of_task.level, of_task.name) == (30, "orionflow.task_runs")
    assert of_task.task_run_id == task_runs_of(state)[0].id


def test_beginning_and_end_of_a_flow_are_logged():
    @flow
    def outer() -> None: ...

    assert messages_of(outer(return_state=True)) == ["The run of flow 'outer' begins.", "Ended as Completed()."]


def test_every_task_is_logged_only_when_debugging():
    @task
    def inside() -> None: ...

    @flow
    def outer() -> str:
        inside()
        return "done"

    with isolated(logging_level=logging.DEBUG):
        messages = messages_of(outer(return_state=True))

    assert messages.count("Ended as Completed().") == 2
    assert messages_of(outer(return_state=True)).count("Ended as Completed().") == 1


def test_exception_is_logged_once_with_the_user_s_part_of_its_traceback():
    @task
    def failing() -> None:
        raise ValueError("here")

    @flow
    def outer() -> None:
        failing()

    errors = messages_of(outer(return_state=True), logging.ERROR)

    traces = [message for message in errors if "Traceback" in message]
    assert len(traces) == 1
    assert "raise ValueError" in traces[0]
    assert "engine" not in traces[0]


OURS = str(Path(orionflow.__file__).parent)


def frames_of(text: str) -> list[str]:
    return re.findall(r'File "(.+?)", line', text)


@pytest.mark.parametrize("how", ["call", "submit", "subflow", "map"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_traceback_of_a_flow_that_fails_by_an_input_shows_the_user_s_code(how: str, wrapped: bool):
    @task
    def failing() -> None:
        raise ValueError("here")

    @task
    def needing(x: Any) -> None: ...

    @flow
    def inner(x: Any) -> None: ...

    ways: dict[str, Callable[[Any], Any]] = {
        "call": needing,
        "submit": lambda x: needing.submit(x).result(),
        "subflow": inner,
        "map": lambda x: needing.map([x]).result(),
    }

    @flow
    def outer() -> None:
        future = failing.submit()
        future.wait()
        ways[how]([{"deep": (future,)}] if wrapped else future)

    state = outer(return_state=True)

    trace = next(text for text in messages_of(state, logging.ERROR) if "Traceback" in text and "UpstreamFailed" in text)
    assert frames_of(trace)[0] == __file__
    assert sum(file.startswith(OURS) for file in frames_of(trace)) <= 1
    with pytest.raises(UpstreamFailed) as raised:
        outer()
    shown = frames_of("".join(traceback.format_exception(raised.value)))
    assert not any(file.endswith(("traversal.py", "containers.py")) for file in shown)


def test_console_shows_time_level_run_and_message(capsys: pytest.CaptureFixture[str]):
    @flow(flow_run_name="calm-otter")
    def outer() -> None:
        get_run_logger().info("hello")

    outer()

    line = next(line for line in capsys.readouterr().err.splitlines() if "hello" in line)
    time, level, rest = line.split(" | ")
    assert len(time) == len("12:30:01.123")
    assert level == "INFO   "
    assert rest == "Flow run 'calm-otter' - hello"


def test_prints_are_lines_where_the_flow_wants_it(capsys: pytest.CaptureFixture[str]):
    @task
    def inside() -> None:
        print("from", "the task", sep="-")

    @task(log_prints=False)
    def silent() -> None:
        print("not logged")

    @flow(log_prints=True)
    def outer() -> None:
        print("from the flow")
        print("to a file", file=io.StringIO())
        print("to stderr", file=sys.stderr)
        inside()
        inside.submit().wait()
        silent()

    state = outer(return_state=True)

    messages = messages_of(state)
    assert "from the flow" in messages
    assert messages.count("from-the task") == 2
    assert "not logged" not in messages
    assert "to stderr" not in messages
    assert capsys.readouterr().out == "not logged\n"


def test_prints_outside_of_runs_stay_prints(capsys: pytest.CaptureFixture[str]):
    import builtins

    before = builtins.print

    @flow(log_prints=True)
    def outer() -> None: ...

    outer()
    print("after")

    assert builtins.print is before
    assert capsys.readouterr().out == "after\n"


def test_task_can_want_its_prints_logged_alone():
    @task(log_prints=True)
    def inside() -> None:
        print("from the task")

    @flow
    def outer() -> None:
        inside()

    assert "from the task" in messages_of(outer(return_state=True))


def test_further_loggers_can_belong_to_runs():
    @flow
    def outer() -> None:
        logging.getLogger("shop").warning("from the library")

    with isolated(logging_extra_loggers=("shop",)):
        lines = logs_of(outer(return_state=True))

    assert [line.name for line in lines if line.message == "from the library"] == ["shop"]


def test_lines_of_nested_loggers_are_recorded_once_and_get_no_attributes():
    seen: list[set[str]] = []

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(set(vars(record)))

    @flow
    def outer() -> None:
        logging.getLogger("shop.db").warning("from the library")

    logger, handler = logging.getLogger("shop"), Seeing()
    with isolated(logging_extra_loggers=("shop", "shop.db")):
        lines = logs_of(outer(return_state=True))
        logger.addHandler(handler)
        outer()
        logger.removeHandler(handler)

    assert [line.message for line in lines].count("from the library") == 1
    assert seen == [set(vars(logging.makeLogRecord({}))) | {"message", "asctime"} & seen[0]]


def test_lines_that_a_program_enables_itself_are_recorded():
    @flow
    def outer() -> None:
        logger = get_run_logger()
        logger.setLevel(logging.DEBUG)
        logger.debug("in detail")
        logger.setLevel(logging.NOTSET)

    assert "in detail" in messages_of(outer(return_state=True))


def test_lines_can_stay_here():
    @flow
    def outer() -> None:
        get_run_logger().info("secret", extra={"send_to_api": False})
        get_run_logger().info("public")

    messages = messages_of(outer(return_state=True))

    assert "public" in messages
    assert "secret" not in messages


def test_lines_are_kept_from_the_api_by_a_setting():
    @flow
    def outer() -> None:
        get_run_logger().info("hello")

    with isolated(logging_to_api=False):
        assert messages_of(outer(return_state=True)) == []


def test_lines_in_threads_of_tasks_belong_to_them():
    @task
    def inside(n: int) -> None:
        get_run_logger().info("line %d", n)

    @flow
    def outer() -> None:
        inside.map(range(5))

    state = outer(return_state=True)

    names = {run.id: run.dynamic_key for run in task_runs_of(state)}
    by_run = {names[line.task_run_id]: line.message for line in logs_of(state) if line.task_run_id}
    assert by_run == {str(n): f"line {n}" for n in range(5)}
