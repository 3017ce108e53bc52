"""An API that goes away for good in the middle: the kept reports show in the end which steps there were, and when."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.artifacts import create_markdown_artifact
from orionflow.client import OrionClient
from orionflow.reporting import close_reporters, replay_leftovers
from orionflow.settings import override_settings
from orionflow.testing import flow_run_of, flow_runs, logs_of, states_of, task_runs_of
from tests.sdk.programs import Program
from tests.sdk.test_with_server import ApiServer
from tests.sdk.test_with_server import api as api


@pytest.fixture
def orion(server_here: None) -> None:
    """Here the API is behind HTTP."""


@pytest.fixture
def impatient(api: ApiServer) -> Iterator[None]:
    with override_settings(reporting_budget_seconds=0.3, api_retry_budget_seconds=0.1, reporting_exit_seconds=0.1):
        close_reporters()
        yield


def back(api: ApiServer) -> None:
    """The program ended, the API is back, and the next program begins."""
    close_reporters()
    api.start()
    replay_leftovers()


@task
def one() -> int:
    return 1


CUT_OFF = """
import threading, time, sys
from orionflow import flow, task

@task
def sleeps():
    print("ready", flush=True)
    time.sleep(60)

@flow
def inner():
    sleeps()

@flow
def middle():
    inner()

@flow
def outer():
    middle()

if sys.argv[1] == "main":
    outer()
else:
    threading.Thread(target=outer).start()
"""


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("main", signal.SIGTERM),
        pytest.param("main", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("thread", signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_program_that_a_signal_ends_during_an_outage_leaves_its_reports_to_the_next(
    where: str, number: int, orion: None, api: ApiServer, tmp_path: Path
):
    program = Program(tmp_path, CUT_OFF, ready=False)

    with program.start((where,), ORION_API_URL=api.url) as process:
        program.wait_for_output("ready")
        api.stop()
        process.send_signal(number)
        _, output = process.communicate(timeout=30)
    api.start()
    with override_settings(home=program.home):
        replay_leftovers()

    assert process.returncode == -number, output
    runs = flow_runs()
    assert [run.state_type for run in runs] == ["CRASHED"] * 3, output
    assert {one.state_type for run in runs for one in task_runs_of(run)} == {"CRASHED"}, output


SLOW_TO_END = """
import time
from orionflow import flow, task

@task
def sleeps():
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(3)

@flow
def inner():
    sleeps()

@flow
def middle():
    inner()

@flow
def outer():
    middle()

outer()
"""

STUBBORN = """
import time
from orionflow import flow, get_run_logger

@flow
def stubborn():
    # Until the first line of the log is delivered.
    time.sleep(0.5)
    print("ready", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            get_run_logger().info("no")

stubborn()
"""


@pytest.mark.parametrize(
    ("source", "again_after", "code", "count"),
    [
        # The signal is sent again after two seconds, by the program itself.
        (SLOW_TO_END, None, -signal.SIGTERM, 3),
        (STUBBORN, 5.5, -signal.SIGKILL, 1),
    ],
    ids=["slow", "stubborn"],
)
@pytest.mark.long
def test_repeated_signals_extend_no_time_for_reports(
    source: str, again_after: float | None, code: int, count: int, orion: None, api: ApiServer, tmp_path: Path
):
    program = Program(tmp_path, source, ready=False)

    with program.start(ORION_API_URL=api.url) as process:
        program.wait_for_output("ready")
        api.stop()
        process.send_signal(signal.SIGTERM)
        if again_after is not None:
            time.sleep(again_after)
            process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=30)
    api.start()
    with override_settings(home=program.home):
        replay_leftovers()

    assert process.returncode == code, output
    assert [run.state_type for run in flow_runs()] == ["CRASHED"] * count, output


LOGS_TO_NOBODY = """
import time
from orionflow import flow, get_run_logger

@flow
def chatty():
    print("ready", flush=True)
    time.sleep(1)
    while True:
        get_run_logger().info("x" * 1000)

chatty()
"""


@pytest.mark.long
def test_signal_ends_a_program_whose_log_nobody_reads_in_an_outage(orion: None, api: ApiServer, tmp_path: Path):
    program = Program(tmp_path, LOGS_TO_NOBODY, ready=False)

    with program.start(ORION_API_URL=api.url) as process:
        program.wait_for_output("ready")
        api.stop()
        # Until its log has filled the pipe.
        time.sleep(2.5)
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=12)
        finally:
            process.kill()

    assert code in (-signal.SIGTERM, -signal.SIGKILL)


QUIET = """
import sys, threading, time
from orionflow import flow, get_run_logger

@flow
def outer():
    # Until the first line of the log is delivered.
    time.sleep(0.5)
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        if "logs" in sys.argv:
            get_run_logger().info("over")

if "thread" in sys.argv:
    threading.Thread(target=outer).start()
else:
    outer()
"""


@pytest.mark.parametrize(
    "words", [("main", "logs"), pytest.param(("main",), marks=pytest.mark.long), ("thread", "logs")]
)
@pytest.mark.long
def test_program_that_a_signal_ends_while_the_api_does_not_answer_leaves_its_end_to_the_next(
    words: tuple[str, ...], orion: None, api: ApiServer, tmp_path: Path
):
    program = Program(tmp_path, QUIET, ready=False)

    with program.start(words, ORION_API_URL=api.url) as process:
        program.wait_for_output("ready")
        with api.silent():
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(timeout=12)
            finally:
                process.kill()
        output = process.stderr.read() if process.stderr else ""
    with override_settings(home=program.home):
        replay_leftovers()

    assert code == -signal.SIGTERM, output
    assert [run.state_type for run in flow_runs()] == ["CRASHED"], output


def test_subflow_that_the_outage_cut_off_leaves_no_run_without_a_state(orion: None, api: ApiServer, impatient: None):
    @flow
    def inner() -> int:
        return one()

    @flow
    def outer() -> int:
        one()
        api.stop()
        return inner()

    state = outer(return_state=True)
    back(api)

    assert flow_run_of(state).state_type == "FAILED"
    assert {run.name: run.state_type for run in task_runs_of(state)} == {"one-0": "COMPLETED", "inner-0": "CRASHED"}
    assert all(states_of(run)[0] == "Pending" for run in task_runs_of(state))


def test_subflow_that_was_created_and_could_not_begin_is_crashed(orion: None, api: ApiServer, impatient: None):
    @flow
    def inner() -> None: ...

    def name() -> str:
        api.stop()
        return "named"

    named = inner.with_options(flow_run_name=name)

    @flow
    def outer() -> None:
        named()

    state = outer(return_state=True)
    back(api)

    assert flow_run_of(state).state_type == "FAILED"
    assert [run.state_type for run in task_runs_of(state)] == ["CRASHED"]


def test_ends_have_the_time_at_which_they_were(orion: None, api: ApiServer, impatient: None):
    @flow
    def inner() -> int:
        return one()

    @flow
    def outer() -> int:
        value = inner()
        api.stop()
        return value + one()

    before = datetime.now(UTC)
    state = outer(return_state=True)
    after = datetime.now(UTC)
    time.sleep(1.5)
    back(api)

    run = flow_run_of(state)
    assert run.state_type == "COMPLETED"
    assert run.end_time is not None
    assert before < run.end_time < after
    assert run.total_run_time is not None
    assert run.total_run_time < (after - before).total_seconds()
    assert all(one.end_time is not None and one.end_time < after for one in task_runs_of(state))


def test_warnings_and_errors_are_kept(orion: None, api: ApiServer, impatient: None, caplog: pytest.LogCaptureFixture):
    @flow
    def outer() -> int:
        api.stop()
        logger = get_run_logger()
        logger.info("of no weight")
        logger.warning("careful")
        logger.error("wrong")
        return 1

    state = outer(return_state=True)
    close_reporters()
    messages = [record.getMessage() for record in caplog.records if "could not be delivered" in record.getMessage()]
    back(api)

    lines = [line.message for line in logs_of(state)]
    assert state.result() == 1
    assert [line for line in lines if line in ("of no weight", "careful", "wrong")] == ["careful", "wrong"]
    assert any("lost here" in line for line in lines)
    last = messages[-1]
    assert "warnings and errors of the log could not be delivered, kept in" in last
    assert "ended with this process" in last


def test_errors_find_room_where_other_lines_do_not(orion: None, api: ApiServer, impatient: None):
    @flow
    def outer() -> None:
        api.stop()
        logger = get_run_logger()
        for number in range(50):
            logger.info("line %d", number)
        logger.error("wrong")

    with override_settings(logging_queue_size=10):
        close_reporters()
        state = outer(return_state=True)
        back(api)

    assert "wrong" in [line.message for line in logs_of(state)]


def test_crash_during_an_outage_is_kept(orion: None, api: ApiServer, impatient: None):
    @flow
    def outer() -> None:
        api.stop()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outer()
    back(api)

    (run,) = flow_runs("outer")
    assert run.state_type == "CRASHED"


def test_run_that_is_interrupted_during_an_outage_before_it_begins_is_crashed(
    orion: None, api: ApiServer, impatient: None
):
    def name() -> str:
        api.stop()
        raise KeyboardInterrupt

    @flow(flow_run_name=name)
    def outer() -> None: ...

    with pytest.raises(KeyboardInterrupt):
        outer()
    back(api)

    (run,) = flow_runs("outer")
    assert run.state_type == "CRASHED"


def test_artifacts_are_recorded_later(orion: None, api: ApiServer, impatient: None):
    made = []

    @flow
    def outer() -> int:
        api.stop()
        made.append(create_markdown_artifact("# Late"))
        return 1

    state = outer(return_state=True)
    back(api)

    assert state.result() == 1
    with OrionClient() as client:
        assert client.read_artifact(made[0]).data == "# Late"


def test_result_of_a_kept_end_can_be_read_by_others(orion: None, api: ApiServer, impatient: None):
    @flow(persist_result=True)
    def outer() -> dict[str, int]:
        api.stop()
        return {"n": 7}

    state = outer(return_state=True)
    back(api)

    stored: Any = flow_run_of(state).state
    assert stored.result() == {"n": 7}
