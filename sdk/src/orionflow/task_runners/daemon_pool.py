"""A pool of daemon threads: an interrupted program can exit, even if its tasks are sleeping."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

from orionflow.task_runners.base import Work


class DaemonPool:
    """Calls submitted work in up to `size` threads, which are started as needed.

    At exit Python waits for the threads of its own executors, even for those whose work was abandoned.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Work) -> None:
        self._queue.put(work)
        # A thread that has announced itself waits for work, and takes this.
        if self._idle.acquire(blocking=False):
            return
        with self._lock:
            if len(self._threads) < self._size:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError):
                    # Without memory, or with too many threads in the system, the present threads have to do.
                    if self._threads:
                        return
                    self._withdraw(work)
                    raise
                self._threads.append(thread)

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            work()
            # Deleted before waiting for more, as it holds arguments and values.
            del work
        # A single end marker for all: the thread that takes it puts it back, for others and for new threads.
        self._queue.put(None)

    def _next(self) -> Work | None:
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            self._idle.release()
            return self._queue.get()

    def close(self, *, wait: bool) -> None:
        """Let the threads end; with `wait=False` work that has not started is dropped."""
        if not wait:
            self._forget_work()
        with self._lock:
            threads = list(self._threads)
        self._queue.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def _withdraw(self, work: Work) -> None:
        """Remove work from the queue, which no thread reads."""
        others = []
        with suppress(queue.Empty):
            while True:
                if (one := self._queue.get_nowait()) is not work:
                    others.append(one)
        for one in others:
            self._queue.put(one)

    def _forget_work(self) -> None:
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return
