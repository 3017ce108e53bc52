"""One call that is offered several times, and asked for by threads of one worker, over a folder between the two."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from orionflow.agent.broker import celery_app
from orionflow.task_calls.caller import Call, Caller
from orionflow.task_calls.mailbox import Mailbox, Message
from orionflow.task_calls.worker import TaskWorker
from orionflow.task_runners.child import pack
from tests.agents.running import eventually
from tests.brokers import running_redis

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


@pytest.mark.long
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


def test_finished_call_is_not_offered_again(caller: Caller, worker: TaskWorker, tmp_path: Path):
    mark = tmp_path / "mark"
    call = offered(caller, mark, 0)
    worker.take(call.id, caller._mailbox.name)
    assert call.done.wait(20)

    worker.take(call.id, caller._mailbox.name)

    assert mark.read_text() == "began\n"


def lose_first(mailbox: Mailbox, kind: str) -> list[Message]:
    """Lose one message of this kind, as a broker does that is killed and started empty; what was lost."""
    receive, lost = mailbox._receive, []

    def receive_all_but_one(message: Message) -> None:
        if message["kind"] == kind and not lost:
            lost.append(message)
        else:
            receive(message)

    mailbox._receive = receive_all_but_one
    return lost


@pytest.mark.parametrize("kind", ["take", "given", "done", "declined", "thanks"])
def test_call_runs_once_and_ends_well_whichever_message_the_broker_loses(
    caller: Caller, worker: TaskWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr("orionflow.task_calls.caller.REPEAT_SECONDS", 0.5)
    mark, over = tmp_path / "mark", threading.Event()
    lost = lose_first(worker._mailbox if kind in ("given", "thanks") else caller._mailbox, kind)

    def offer_again_and_again() -> None:
        while not over.wait(0.2):
            for call_id in list(caller._calls):
                worker.take(call_id, caller._mailbox.name)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(offer_again_and_again)
        try:
            outcome, _ = caller.call(pack(note, (str(mark), 0.1), {}, None))
        finally:
            over.set()

    assert outcome
    assert mark.read_text() == "began\n"
    # Thanks come after the outcome; nothing is declined where nothing else was lost.
    eventually(lambda: len(lost) == (kind != "declined"))


@pytest.mark.long
def test_outcomes_are_kept_for_as_long_as_the_broker_is_away(
    caller: Caller, worker: TaskWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orionflow.task_calls.worker.KEEP_SECONDS", 1.0)
    send, away = worker._mailbox.send, threading.Event()
    monkeypatch.setattr(worker._mailbox, "send", lambda box, message: not away.is_set() and send(box, message))
    # Make the worker repeat its reports at once.
    worker._stop.set()
    marks = [tmp_path / "long", tmp_path / "short"]
    calls = [offered(caller, mark, seconds) for mark, seconds in zip(marks, (4.0, 0.5), strict=True)]

    with ThreadPoolExecutor(2) as threads:
        for call, mark in zip(calls, marks, strict=True):
            threads.submit(worker.take, call.id, caller._mailbox.name)
            while not mark.exists():
                time.sleep(0.02)
        away.set()
    away.clear()
    for call in calls:
        assert call.worker is not None
        caller._send_call(call, call.worker)

    assert all(call.done.wait(20) for call in calls)
    assert [call.died for call in calls] == [None, None]
    assert all(call.outcome for call in calls)


@pytest.mark.long
def test_call_continues_while_the_broker_is_away_for_longer_than_a_worker_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orionflow.task_calls.caller.REPEAT_SECONDS", 0.5)
    monkeypatch.setattr("orionflow.task_calls.caller.SILENCE_SECONDS", 4.0)
    mark = tmp_path / "mark"
    with running_redis() as redis, ExitStack() as stack:
        worker = TaskWorker(celery_app("worker", redis.url), queues=["own"], concurrency=1, name="far-away", key=KEY)
        caller = Caller(celery_app("flow", redis.url), "own", KEY)
        for mailbox in (worker._mailbox, caller._mailbox):
            mailbox.open()
            stack.callback(mailbox.close)
        stack.callback(lambda: worker._children.get().close())
        threads = stack.enter_context(ThreadPoolExecutor(2))
        calling = threads.submit(caller.call, pack(note, (str(mark), 0.1), {}, None))
        while not caller._calls:
            time.sleep(0.02)
        threads.submit(worker.take, next(iter(caller._calls)), caller._mailbox.name)
        while not mark.exists():
            time.sleep(0.02)

        redis.kill()
        time.sleep(6)
        redis.start()

        outcome, _ = calling.result()
        assert outcome
        assert mark.read_text() == "began\n"
