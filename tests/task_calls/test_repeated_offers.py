"""One call that is offered several times, and asked for by threads of one worker, over a folder between the two."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orionflow.agent.broker import celery_app
from orionflow.task_calls.caller import Call, Caller
from orionflow.task_calls.worker import TaskWorker
from orionflow.task_runners.child import pack

KEY = b"a key of the tests"


def note(mark: str, seconds: float) -> None:
    with open(mark, "a") as file:
        file.write("began\n")
    time.sleep(seconds)


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    caller = Caller(celery_app("flow", f"filesystem://{tmp_path / 'broker'}"), "own", KEY)
    caller.open()
    yield caller
    caller.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[TaskWorker]:
    app = celery_app("worker", f"filesystem://{tmp_path / 'broker'}")
    worker = TaskWorker(app, queues=["own"], concurrency=2, name="far-away", key=KEY)
    worker._mailbox.open()
    yield worker
    worker._mailbox.close()
    while not worker._children.empty():
        worker._children.get().close()


def offered(caller: Caller, mark: Path, seconds: float) -> Call:
    call = Call(pack(note, (str(mark), seconds), {}, None))
    caller._calls[call.id] = call
    return call


def test_call_that_is_taken_again_while_it_runs_runs_once(caller: Caller, worker: TaskWorker, tmp_path: Path):
    mark = tmp_path / "mark"
    call = offered(caller, mark, 3)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(worker.take, call.id, caller._mailbox.name)
        while not mark.exists():
            time.sleep(0.02)
        threads.submit(worker.take, call.id, caller._mailbox.name).result()

    assert call.done.wait(10)
    assert mark.read_text() == "began\n"


def test_call_that_is_taken_by_two_threads_at_once_runs_once(caller: Caller, worker: TaskWorker, tmp_path: Path):
    mark = tmp_path / "mark"
    call = offered(caller, mark, 0)
    together = threading.Barrier(2)

    def take() -> None:
        together.wait()
        worker.take(call.id, caller._mailbox.name)

    with ThreadPoolExecutor(2) as threads:
        taken = [threads.submit(take) for _ in range(2)]
        assert call.done.wait(20)
        errors = [one.exception() for one in taken]

    assert errors == [None, None]
    assert mark.read_text() == "began\n"


def test_call_that_is_done_is_given_to_nobody(caller: Caller, worker: TaskWorker, tmp_path: Path):
    mark = tmp_path / "mark"
    call = offered(caller, mark, 0)
    worker.take(call.id, caller._mailbox.name)
    assert call.done.wait(20)

    worker.take(call.id, caller._mailbox.name)

    assert mark.read_text() == "began\n"
