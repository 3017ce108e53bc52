"""Task functions on real clusters of this machine: Dask, and Ray where it is installed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, get_run_context, get_run_logger, runtime, task
from orionflow.task_runners import DaskTaskRunner, RayTaskRunner, TaskRunner
from orionflow.testing import Isolated, isolated, logs_of, task_runs_of

# Their own warnings are not ours to fix.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def orion(server_here: None) -> Iterator[Isolated]:
    """A clock that goes as it goes: clusters have one of their own."""
    with isolated() as here:
        yield here


@pytest.fixture(scope="module")
def usual_dask_cluster() -> Iterator[Any]:
    """As people have it: Dask gives the call of a worker that died to the next one."""
    distributed = pytest.importorskip("distributed", reason="pip install 'orionflow[dask]'")
    import dask.config

    # A new worker, as after each that dies, is forked from a process that has loaded Dask.
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        yield cluster


@pytest.fixture
def dask_cluster(usual_dask_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As with `distributed.scheduler.allowed-failures: 0`."""
    monkeypatch.setattr(usual_dask_cluster.scheduler, "allowed_failures", 0)
    return usual_dask_cluster


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="pip install 'orionflow[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def runner(request: pytest.FixtureRequest) -> TaskRunner:
    if request.param == "dask":
        return DaskTaskRunner(request.getfixturevalue("dask_cluster"))
    request.getfixturevalue("ray_cluster")
    return RayTaskRunner()


@task
def square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


@task
def add(x: tuple[int, int], y: tuple[int, int]) -> int:
    return x[0] + y[0]


@task(retries=1)
def failing() -> None:
    raise ValueError("far away")


@task(log_prints=True)
def chatty() -> None:
    get_run_logger().warning("logged far away")
    print("printed far away")


@task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_functions_run_in_other_processes(runner: TaskRunner):
    @flow(task_runner=runner)
    def spread() -> list[tuple[int, int]]:
        return [future.result() for future in square.map(range(6))]

    values = spread()

    assert [value for value, _ in values] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {pid for _, pid in values}


def test_futures_are_arguments(runner: TaskRunner):
    @flow(task_runner=runner)
    def chained() -> int:
        return int(add.submit(square.submit(3), square.submit(4)).result())

    assert chained() == 25


def test_failures_are_retried_and_come_back(runner: TaskRunner):
    @flow(task_runner=runner)
    def outer() -> None:
        failing.submit().result()

    state = outer(return_state=True)

    with pytest.raises(ValueError, match="far away"):
        state.result()
    assert [run.run_count for run in task_runs_of(state)] == [2]


def test_log_lines_and_prints_come_back(runner: TaskRunner):
    @flow(task_runner=runner)
    def outer() -> None:
        chatty.submit().wait()

    state = outer(return_state=True)

    assert {"logged far away", "printed far away"} <= {line.message for line in logs_of(state)}


@task(log_prints=True)
def introduced(number: int) -> tuple[str | None, Any]:
    logger = get_run_logger()
    logger.info("logged %s", number)
    print("printed", number)
    thread = threading.Thread(target=logger.info, args=("from a thread %s", number))
    thread.start()
    thread.join()
    return runtime.task_run.name, get_run_context().id


def test_functions_and_their_lines_belong_to_their_own_run(runner: TaskRunner):
    @flow(task_runner=runner)
    def outer() -> list[tuple[str | None, Any]]:
        one_by_one = [introduced.submit(number).result() for number in range(2)]
        return [*one_by_one, *introduced.map(range(2, 6)).result()]

    state = outer(return_state=True)

    runs = sorted(task_runs_of(state), key=lambda run: run.name or "")
    assert state.result() == [(run.name, run.id) for run in runs]
    lines = [(line.task_run_id, line.message) for line in logs_of(state) if line.task_run_id]
    words = ("logged", "printed", "from a thread")
    assert sorted(lines) == sorted((run.id, f"{word} {number}") for number, run in enumerate(runs) for word in words)


def test_killed_worker_crashes_its_task(runner: TaskRunner):
    @flow(task_runner=runner)
    def outer() -> None:
        die.submit().wait()

    state = outer(return_state=True)

    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"]
    assert "worker that ran the task died" in (task_runs_of(state)[0].state.message or "")


@task
def dies(file: str) -> None:
    with open(file, "a") as written:
        written.write("begun ")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("crash_retries", [0, 1])
def test_function_of_a_dead_worker_is_called_as_often_as_its_task_allows(
    usual_dask_cluster: Any, tmp_path: Path, crash_retries: int
):
    @flow(task_runner=DaskTaskRunner(usual_dask_cluster))
    def outer() -> Any:
        return dies.with_options(crash_retries=crash_retries).submit(str(tmp_path / "calls")).wait()

    state = outer(return_state=True)

    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"]
    assert (tmp_path / "calls").read_text() == "begun " * (1 + crash_retries)


def test_missing_scheduler_is_looked_for_once_and_named():
    pytest.importorskip("distributed", reason="pip install 'orionflow[dask]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    runner = DaskTaskRunner(address=address, client_kwargs={"timeout": 0.5})

    @flow(task_runner=runner)
    def outer() -> Any:
        return square.map(range(50)).wait()

    states = outer(return_state=True).value

    # One and the same exception: the fifty did not each try to connect.
    assert len({id(state.value) for state in states}) == 1
    assert all(address in state.message and "dask scheduler" in state.message for state in states)


class InterruptedCluster:
    """A cluster that is interrupted as a client connects to it."""

    is_closed = False

    def adapt(self, **options: int) -> None: ...

    @property
    def scheduler_address(self) -> str:
        raise KeyboardInterrupt

    def close(self) -> None:
        self.is_closed = True


class ClusterInterruptedEarlier(InterruptedCluster):
    """A cluster that is interrupted as it is told to grow and shrink."""

    def adapt(self, **options: int) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [InterruptedCluster, ClusterInterruptedEarlier])
def test_cluster_whose_start_is_interrupted_is_stopped(kind: type[InterruptedCluster]):
    pytest.importorskip("distributed", reason="pip install 'orionflow[dask]'")
    cluster = kind()

    @flow(task_runner=DaskTaskRunner(cluster_class=lambda **_: cluster, adapt_kwargs={"maximum": 2}))
    def outer() -> None:
        square.submit(3)

    with pytest.raises(KeyboardInterrupt):
        outer()

    assert cluster.is_closed
