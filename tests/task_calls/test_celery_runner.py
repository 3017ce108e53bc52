"""Task functions on task workers: real workers, a real Redis or a folder between, and real kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.client import key_for, transport_to
from orionflow.errors import UsageError, WorkerCrashed
from orionflow.settings import current_settings
from orionflow.task_runners import CeleryTaskRunner
from orionflow.testing import logs_of, task_runs_of
from tests import warm
from tests.brokers import Redis, running_redis
from tests.printed import read_line

pytestmark = pytest.mark.turns


@task
def square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


@task
def failing() -> None:
    raise ValueError("far away")


@task(log_prints=True)
def chatty() -> None:
    get_run_logger().warning("logged far away")
    print("printed far away")


@task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(crash_retries=1)
def die_once(mark: str) -> str:
    if not os.path.exists(mark):
        Path(mark).touch()
        os._exit(3)
    return "at last"


@task
def secrets_seen() -> list[str]:
    return [name for name in ("ORION_SECRET_KEY", "ORION_BROKER_URL") if name in os.environ]


@task
def keys_known() -> tuple[str | None, str | None]:
    """The key in the environment, and the one that a client of a server sends."""
    settings = current_settings()
    return os.environ.get("ORION_API_KEY"), key_for(transport_to("http://127.0.0.1:9/api", settings), settings)


@task
def noted(mark: str, seconds: float) -> None:
    with open(mark, "a") as file:
        file.write("began\n")
    time.sleep(seconds)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module", params=["redis", "folder"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "folder":
        return f"filesystem://{tmp_path_factory.mktemp('broker')}"
    url: str = request.getfixturevalue("redis").url
    return url


class Worker:
    """A task worker as a user starts it."""

    def __init__(
        self, broker: str, queue: str = "default", *, key: str = "a key of the tests", concurrency: int = 2
    ) -> None:
        command = [sys.executable, "-m", "orionflow.cli", "task-worker", "start", "-c", str(concurrency), "-q", queue]
        self.process = warm.Popen(
            [*command, "--broker", broker, "--name", "far-away"],
            env={**os.environ, "ORION_TASK_KEY": key, "ORION_SECRET_KEY": "hush", "ORION_API_KEY": "orn_of_the_worker"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert f"far-away serves {queue}" in read_line(self.process.stderr)

    def stop(self) -> int:
        self.process.terminate()
        return self.ended()

    def kill(self) -> int:
        self.process.kill()
        return self.ended()

    def ended(self) -> int:
        self.process.communicate(timeout=30)
        return int(self.process.returncode)


@pytest.fixture(scope="module")
def worker(broker: str) -> Iterator[Worker]:
    running = Worker(broker)
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORION_TASK_KEY", "a key of the tests")


def flow_on(broker: str, body: Any, queue: str = "default") -> Any:
    return flow(task_runner=CeleryTaskRunner(queue, broker=broker))(body)


def test_tasks_run_in_processes_of_the_worker(worker: Worker, broker: str):
    def spread() -> list[tuple[int, int]]:
        return [future.result() for future in square.map(range(8))]

    values = flow_on(broker, spread)()

    assert [value for value, _ in values] == [0, 1, 4, 9, 16, 25, 36, 49]
    pids = {pid for _, pid in values}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_tasks_see_no_secret_of_the_server_or_the_broker(worker: Worker, broker: str):
    def outer() -> list[str]:
        return secrets_seen.submit().result()

    assert flow_on(broker, outer)() == []


@pytest.mark.parametrize(("given", "sent"), [("ort_of_the_run", "ort_of_the_run"), ("orn_of_a_person", None)])
def test_tasks_speak_by_the_token_of_their_run(
    worker: Worker, broker: str, monkeypatch: pytest.MonkeyPatch, given: str, sent: str | None
):
    """The call uses neither the worker's key nor that of the user who started the flow."""
    monkeypatch.setenv("ORION_API_KEY", given)

    def outer() -> Any:
        return keys_known.submit().result()

    assert flow_on(broker, outer)() == ("none", sent)


def test_exceptions_come_back(worker: Worker, broker: str):
    def outer() -> None:
        failing.submit().result()

    with pytest.raises(ValueError, match="far away"):
        flow_on(broker, outer)()


def test_log_lines_and_prints_come_back(worker: Worker, broker: str):
    def outer() -> None:
        chatty.submit().wait()

    state = flow_on(broker, outer)(return_state=True)

    messages = [line.message for line in logs_of(state)]
    assert {"logged far away", "printed far away"} <= set(messages)


def test_killed_process_crashes_its_task_alone(worker: Worker, broker: str):
    def outer() -> Any:
        lost, kept = die.submit(), square.submit(3)
        return lost.wait(), kept.result()[0]

    lost, kept = flow_on(broker, outer)()

    assert kept == 9
    assert lost.is_crashed()
    assert "far-away" in (lost.message or "")
    assert "SIGKILL" in (lost.message or "")
    with pytest.raises(WorkerCrashed):
        lost.result()


def test_crash_retries_are_for_this(worker: Worker, broker: str, tmp_path: Path):
    def outer() -> str:
        return str(die_once.submit(str(tmp_path / "mark")).result())

    assert flow_on(broker, outer)() == "at last"


@pytest.mark.long
def test_offers_that_are_lost_are_created_again(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orionflow.task_calls.caller.OFFER_AGAIN_SECONDS", (0.3, 1.0))

    def outer() -> int:
        future = square.submit(5)
        time.sleep(0.5)
        redis.flush()
        late = Worker(redis.url, "own")
        try:
            return int(future.result()[0])
        finally:
            late.stop()

    assert flow_on(redis.url, outer, "own")() == 25


@pytest.mark.long
def test_call_offered_many_times_runs_once(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orionflow.task_calls.caller.OFFER_AGAIN_SECONDS", (0.05, 0.05))
    mark = tmp_path / "mark"

    def outer() -> None:
        future = noted.submit(str(mark), 0.5)
        time.sleep(2)
        late = Worker(redis.url, "own", concurrency=4)
        try:
            future.wait()
            time.sleep(0.5)
        finally:
            late.stop()

    flow_on(redis.url, outer, "own")()

    assert mark.read_text() == "began\n"


def test_worker_that_is_killed_is_given_up(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orionflow.task_calls.caller.SILENCE_SECONDS", 4.0)
    mark = tmp_path / "mark"

    ended: list[Any] = []

    def outer() -> None:
        doomed = Worker(redis.url, "own")
        future = noted.submit(str(mark), 60)
        while not mark.exists():
            time.sleep(0.05)
        doomed.kill()
        ended.append(future.wait())

    flow_on(redis.url, outer, "own")(return_state=True)

    assert ended[0].is_crashed()
    assert "far-away has not reported for 4 s" in ended[0].message


def test_worker_with_another_key_runs_nothing(redis: Redis, tmp_path: Path):
    mark = tmp_path / "mark"

    ended: list[Any] = []

    def outer() -> None:
        stranger = Worker(redis.url, "own", key="another key")
        try:
            ended.append(noted.submit(str(mark), 0).wait())
        finally:
            stranger.stop()

    flow_on(redis.url, outer, "own")(return_state=True)

    assert ended[0].is_crashed()
    assert "ORION_TASK_KEY" in ended[0].message
    assert not mark.exists()


def test_missing_broker_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ORION_BROKER_URL", raising=False)

    @flow(task_runner=CeleryTaskRunner())
    def outer() -> None:
        square.submit(1).result()

    with pytest.raises(UsageError, match="ORION_BROKER_URL"):
        outer()


def test_unknown_broker_is_reported():
    @flow(task_runner=CeleryTaskRunner(broker="carrier-pigeon://x"))
    def outer() -> None:
        square.submit(1).result()

    with pytest.raises(UsageError, match="is not understood"):
        outer()


def test_every_task_run_is_recorded(worker: Worker, broker: str):
    def spread() -> None:
        for future in square.map(range(5)):
            future.wait()

    state = flow_on(broker, spread)(return_state=True)

    assert sorted(run.state_name for run in task_runs_of(state)) == ["Completed"] * 5
