"""When the task runner for Ray begins and ends Ray, without Ray: `test_cluster_runners` has calls on a real cluster."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from orionflow.errors import UsageError
from orionflow.task_runners import RayTaskRunner, child, child_lines
from orionflow.task_runners.ray import _call_on_worker


class Cancelled(Exception):
    """A call was cancelled on the cluster."""


class FakeRay:
    """Notes what is asked of it. Calls on it last until they are cancelled."""

    exceptions = SimpleNamespace(WorkerCrashedError=OSError, OutOfMemoryError=OSError, NodeDiedError=OSError)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_on = False
        self.interrupts = False
        self.sent = threading.Event()

    def is_initialized(self) -> bool:
        return self.is_on

    def init(self, address: str | None, **options: Any) -> None:
        self.asked.append("init")
        self.is_on = True
        if self.interrupts:
            raise KeyboardInterrupt

    def shutdown(self) -> None:
        self.asked.append("shutdown")
        self.is_on = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 200.0}

    def remote(self, function: Any) -> Any:
        def send(*_: Any) -> threading.Event:
            self.sent.set()
            return threading.Event()

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=send))

    def cancel(self, running: threading.Event, *, force: bool) -> None:
        running.set()

    def get(self, running: threading.Event) -> Any:
        running.wait(10)
        raise Cancelled


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]
    return fake


def test_ray_whose_start_is_interrupted_is_stopped(ray: FakeRay):
    ray.interrupts = True

    with pytest.raises(KeyboardInterrupt):
        RayTaskRunner().start()

    assert ray.asked == ["init", "shutdown"]


def test_ray_ends_with_the_last_flow_run_that_uses_it(ray: FakeRay):
    first, second = RayTaskRunner(), RayTaskRunner(max_workers=3)

    first.start()
    second.start()
    first.stop()
    asked = list(ray.asked)
    second.stop()

    assert asked == ["init"]
    assert ray.asked == ["init", "shutdown"]
    assert (first.max_workers, second.max_workers) == (400, 3)


def test_ray_that_the_program_began_goes_on(ray: FakeRay):
    ray.is_on = True
    runner = RayTaskRunner()

    runner.start()
    runner.stop()

    assert ray.asked == []


def test_calls_on_a_cluster_end_with_a_flow_run_that_is_ended(ray: FakeRay):
    runner, errors = RayTaskRunner(), []
    runner.start()

    def call() -> None:
        with pytest.raises(Cancelled) as raised:
            runner.call(print, (), {}, None)
        errors.append(raised.value)

    calling = threading.Thread(target=call)
    calling.start()
    ray.sent.wait(10)
    runner.stop(wait=False)
    calling.join(10)

    assert len(errors) == 1
    with pytest.raises(UsageError, match="stopped"):
        runner.call(print, (), {}, None)


def test_functions_are_not_called_in_the_process_of_the_flow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(child_lines, "_to_parent", None)
    # In containers, the processes of flows and of workers often have the same id.
    in_another_container = os.getpid(), "another container"

    with pytest.raises(UsageError, match="local_mode"):
        _call_on_worker(b"", child.this_process())
    outcome, _ = _call_on_worker(b"no call", in_another_container)

    with pytest.raises(pickle.UnpicklingError):
        child.unpack_outcome(outcome)
