"""Requests that come while others are being answered wait, and are answered together by the next transaction.

A leaf: it knows threads, and nothing of what is asked. Nobody waits for others to come: the first request of an idle
server is answered at once and alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Waiting(Generic[Asked, Answer]):
    """One request. Its thread wakes with an answer, or to answer all that wait."""

    asked: Asked
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: Answer | Exception | None = None


class Gathering(Generic[Asked, Answer]):
    """Answers many requests by one call of `work`, which gives an answer or an error for each."""

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer | Exception]], most: int) -> None:
        self._work, self._most = work, most
        self._lock = threading.Lock()
        self._line: list[_Waiting[Asked, Answer]] = []
        self._is_busy = False

    def ask(self, asked: Asked) -> Answer:
        """The answer to this request, whichever thread worked it out. Raises the error that is its answer."""
        mine: _Waiting[Asked, Answer] = _Waiting(asked)
        with self._lock:
            self._line.append(mine)
            mine.leads = not self._is_busy
            self._is_busy = True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._answer_all()
        if isinstance(mine.answer, Exception):
            raise mine.answer
        return mine.answer  # type: ignore[return-value]

    def waiting(self) -> list[Asked]:
        """The requests that nobody works on yet."""
        with self._lock:
            return [one.asked for one in self._line]

    def _answer_all(self) -> None:
        with self._lock:
            group, self._line = self._line[: self._most], self._line[self._most :]
        for one in group:
            one.answer = RuntimeError("the thread that was to answer this was ended")
        try:
            for one, answer in zip(group, self._work([one.asked for one in group]), strict=True):
                one.answer = answer
        except Exception as error:
            for one in group:
                one.answer = error
        finally:
            # Whatever became of it: nobody waits for ever, and the next in line goes on.
            with self._lock:
                self._is_busy = bool(self._line)
                if self._line:
                    self._line[0].leads = True
                    self._line[0].woken.set()
            for one in group:
                one.woken.set()
