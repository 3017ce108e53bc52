"""Requests that come while others are being answered wait, and are answered together by the next transaction.

A leaf: it knows threads, and nothing of what is asked. Nobody waits for others to come: the first request of an idle
server is answered at once and alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Work = Callable[[], Sequence[Answer | Exception]]


@dataclass(slots=True)
class _Waiting(Generic[Asked, Answer]):
    """One request: of a thread that is woken with its answer, or to answer all that wait; or of nobody's thread."""

    asked: Asked
    future: Future[Answer] = field(default_factory=Future)
    # Of a thread that waits.
    woken: threading.Event | None = None
    leads: bool = False

    def take(self, answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)
        if self.woken is not None:
            self.woken.set()


class Gathering(Generic[Asked, Answer]):
    """Answers many requests by one call of `work`, which gives an answer or an error for each."""

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answer | Exception]],
        most: int,
        on_own_thread: Callable[[Work[Answer]], Sequence[Answer | Exception]] = lambda work: work(),
    ) -> None:
        """`on_own_thread` calls the work for a group that no thread of a request answers."""
        self._work, self._most, self._on_own_thread = work, most, on_own_thread
        self._lock = threading.Lock()
        self._line: list[_Waiting[Asked, Answer]] = []
        self._is_busy = False
        # Answers those for whom no thread waits. It is started when the first of them comes.
        self._own_thread = ThreadPoolExecutor(1, thread_name_prefix="orion-gathering")

    def ask(self, asked: Asked) -> Answer:
        """The answer to this request, whichever thread worked it out. Raises the error that is its answer."""
        mine: _Waiting[Asked, Answer] = _Waiting(asked, woken=threading.Event())
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

    def ask_without_waiting(self, asked: Asked) -> Future[Answer]:
        """The answer to this request once it is there: it takes no thread of whoever asks."""
        mine: _Waiting[Asked, Answer] = _Waiting(asked)
        # Nobody cancels it: it is answered with others.
        mine.future.set_running_or_notify_cancel()
        with self._lock:
            self._line.append(mine)
            leads, self._is_busy = not self._is_busy, True
        if leads:
            self._answer_on_own_thread()
        return mine.future

    def waiting(self) -> list[Asked]:
        """The requests that nobody works on yet."""
        with self._lock:
            return [one.asked for one in self._line]

    def _answer_all(self, call: Callable[[Work[Answer]], Sequence[Answer | Exception]]) -> None:
        with self._lock:
            group, self._line = self._line[: self._most], self._line[self._most :]
        ended = RuntimeError("the thread that was to answer this was ended")
        answered: list[tuple[_Waiting[Asked, Answer], Answer | Exception]] = [(one, ended) for one in group]
        try:
            answered = list(zip(group, call(lambda: self._work([one.asked for one in group])), strict=True))
        except Exception as error:
            answered = [(one, error) for one in group]
        finally:
            # Whatever became of it: nobody waits for ever, and the next in line goes on.
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
        """Whether a thread waits for the first answer of the line: it answers all that wait."""
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
            # The system has no thread left. Those who wait without one ask again; nobody else waits for them.
            self._own_thread.shutdown(wait=False, cancel_futures=True)
            self._own_thread = ThreadPoolExecutor(1, thread_name_prefix="orion-gathering")
            with self._lock:
                refused = [one for one in self._line if one.woken is None]
                self._line = [one for one in self._line if one.woken is not None]
                self._is_busy = bool(self._line) and self._wakes_first()
            for one in refused:
                one.take(error)
