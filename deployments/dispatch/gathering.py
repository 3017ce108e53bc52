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
        try:
            answers: Sequence[Answer | Exception] = self._work([one.asked for one in group])
        except Exception as error:
            answers = [error] * len(group)
        except BaseException:
            self._pass_on(group, [RuntimeError("the thread that answered this was ended")] * len(group))
            raise
        self._pass_on(group, answers)

    def _pass_on(self, group: Sequence[_Waiting[Asked, Answer]], answers: Sequence[Answer | Exception]) -> None:
        for one, answer in zip(group, answers, strict=True):
            one.answer = answer
        with self._lock:
            self._is_busy = bool(self._line)
            if self._line:
                self._line[0].leads = True
                self._line[0].woken.set()
        for one in group:
            one.woken.set()
