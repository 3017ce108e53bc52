"""Group commit: requests that arrive while others are processed wait, and the next transaction answers them together.

A leaf: it knows threads, and nothing about the requests. No request waits for others to arrive: an idle server answers
the first one at once and alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Work = Callable[[], Sequence[Answer | Exception]]


@dataclass(slots=True)
class _Waiting(Generic[Request, Answer]):
    """A request. Its thread waits for the answer, or is woken to answer the whole group; or no thread waits for it."""

    request: Request
    future: Future[Answer] = field(default_factory=Future)
    # Set if a thread waits for the answer.
    woken: threading.Event | None = None
    leads: bool = False

    def take(self, answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)
        if self.woken is not None:
            self.woken.set()


class Gathering(Generic[Request, Answer]):
    """Answers many requests by one call of `work`, which returns an answer or an error for each."""

    def __init__(
        self,
        work: Callable[[Sequence[Request]], Sequence[Answer | Exception]],
        most: int,
        on_own_thread: Callable[[Work[Answer]], Sequence[Answer | Exception]] = lambda work: work(),
    ) -> None:
        """Set up the group. `on_own_thread` calls `work` for a group that no request's thread answers."""
        self._work, self._most, self._on_own_thread = work, most, on_own_thread
        self._lock = threading.Lock()
        self._line: list[_Waiting[Request, Answer]] = []
        self._is_busy = False
        # Answers requests for which no thread waits. Started with the first such request.
        self._own_thread = ThreadPoolExecutor(1, thread_name_prefix="orion-gathering")

    def ask(self, request: Request) -> Answer:
        """Return the answer to this request, from this or another thread. Raises the error if that is the answer."""
        mine: _Waiting[Request, Answer] = _Waiting(request, woken=threading.Event())
        with self._lock:
            self._line.append(mine)
            mine.leads = not self._is_busy
            self._is_busy = True
        if not mine.leads:
            assert mine.woken is not None
            mine.woken.wait()
        if mine.leads:
            self._answer_all(lambda work: work())
        return mine.future.result()

    def ask_without_waiting(self, request: Request) -> Future[Answer]:
        """Return a future of the answer to this request, without occupying the caller's thread."""
        mine: _Waiting[Request, Answer] = _Waiting(request)
        # Not cancellable, because it is answered together with others.
        mine.future.set_running_or_notify_cancel()
        with self._lock:
            self._line.append(mine)
            leads, self._is_busy = not self._is_busy, True
        if leads:
            self._answer_on_own_thread()
        return mine.future

    def waiting(self) -> list[Request]:
        """Return the requests that are not processed yet."""
        with self._lock:
            return [one.request for one in self._line]

    def _answer_all(self, call: Callable[[Work[Answer]], Sequence[Answer | Exception]]) -> None:
        with self._lock:
            group, self._line = self._line[: self._most], self._line[self._most :]
        ended = RuntimeError("the thread that was to answer this was ended")
        answered: list[tuple[_Waiting[Request, Answer], Answer | Exception]] = [(one, ended) for one in group]
        try:
            answered = list(zip(group, call(lambda: self._work([one.request for one in group])), strict=True))
        except Exception as error:
            answered = [(one, error) for one in group]
        finally:
            # In any case, no request waits forever, and the next group is processed.
            for one, answer in answered:
                one.take(answer)
            self._go_on()

    def _go_on(self) -> None:
        with self._lock:
            self._is_busy = bool(self._line)
            if not self._line or self._wakes_first():
                return
        self._answer_on_own_thread()

    def _wakes_first(self) -> bool:
        """Whether a thread waits for the first answer in the line; it is woken to answer the group."""
        first = self._line[0]
        if first.woken is None:
            return False
        first.leads = True
        first.woken.set()
        return True

    def _answer_on_own_thread(self) -> None:
        try:
            self._own_thread.submit(self._answer_all, self._on_own_thread)
        except RuntimeError as error:
            # The system cannot start another thread. Requests without a waiting thread fail with this error, and the
            # client repeats them.
            self._own_thread.shutdown(wait=False, cancel_futures=True)
            self._own_thread = ThreadPoolExecutor(1, thread_name_prefix="orion-gathering")
            with self._lock:
                refused = [one for one in self._line if one.woken is None]
                self._line = [one for one in self._line if one.woken is not None]
                self._is_busy = bool(self._line) and self._wakes_first()
            for one in refused:
                one.take(error)
