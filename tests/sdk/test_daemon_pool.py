"""The threads of the default task runner end when their flow does."""

from __future__ import annotations

import threading

import pytest

from orionflow.task_runners.daemon_pool import DaemonPool


class HesitantLock:
    """A lock that lets the submission in only when the end has counted the threads."""

    def __init__(self, counted: threading.Event) -> None:
        self.lock = threading.Lock()
        self.counted = counted

    def __enter__(self) -> None:
        if threading.current_thread().name == "submits":
            self.counted.wait(60)
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()
        if threading.current_thread().name == "closes":
            self.counted.set()


def test_pool_ends_although_a_thread_is_created_while_it_closes():
    pool = DaemonPool(4, "test")
    done = [threading.Event(), threading.Event()]
    pool.submit(done[0].set)
    done[0].wait(60)
    pool._lock = HesitantLock(threading.Event())
    pool._idle = threading.Semaphore(0)

    submits = threading.Thread(target=pool.submit, args=(done[1].set,), name="submits", daemon=True)
    closes = threading.Thread(target=pool.close, kwargs={"wait": True}, name="closes", daemon=True)
    submits.start()
    closes.start()
    closes.join(60)
    submits.join(60)

    assert not closes.is_alive()
    for thread in pool._threads:
        thread.join(60)
        assert not thread.is_alive()


def test_without_a_new_thread_work_is_refused_or_done_by_existing_ones(monkeypatch: pytest.MonkeyPatch):
    pool = DaemonPool(2, "test")
    called: list[int] = []
    done = threading.Event()

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        for number in range(5):
            with pytest.raises(RuntimeError, match="can't start"):
                pool.submit(lambda number=number: called.append(number))  # type: ignore[misc]
    pool.submit(lambda: (called.append(5), done.wait(60)))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pool.submit(lambda: called.append(6))
    done.set()
    pool.close(wait=True)

    assert called == [5, 6]
