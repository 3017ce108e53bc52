"""Callers that wait for answers, and knowledge from earlier answers. The caller holds the reporter's lock."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from uuid import UUID

from orionflow.errors import ApiError
from orionflow.reporting.backlog import Head, Step
from orionflow.reporting.items import Answer

REFUSALS_KEPT = 100


class Ledger:
    """Transitions by their number in the backlog, and refusals by flow run."""

    def __init__(self) -> None:
        self.last: dict[UUID | None, int] = {}
        self.aliases: dict[int, UUID] = {}
        self._expected: dict[int, Future[Answer]] = {}
        self._refused: dict[UUID | None, deque[Answer]] = {}

    def last_of(self, flow_run_id: UUID) -> int:
        """Return the number of the last transition of a flow run, or of any transition without a flow run."""
        return max(self.last.get(flow_run_id, 0), self.last.get(None, 0))

    def expect(self, number: int) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._expected[number] = future
        return future

    def note(self, head: Head, answers: list[Answer]) -> list[tuple[Future[Answer], Answer]]:
        """Note the answers to these transitions; return those that a caller waits for."""
        asked = []
        for number, item, answer in zip(head.numbers, head.items, answers, strict=True):
            if (future := self._expected.pop(number, None)) is not None:
                asked.append((future, answer))
            elif not answer.is_accepted:
                self._refused.setdefault(item.flow_run_id, deque(maxlen=REFUSALS_KEPT)).append(answer)
            if answer.task_run_id is not None and isinstance(item, Step) and item.task_run_id is not None:
                self.aliases[item.task_run_id] = answer.task_run_id
        return asked

    def refused(self, flow_run_id: UUID | None) -> list[Answer]:
        return list(self._refused.get(flow_run_id, ()))

    def forget_refusals(self, flow_run_id: UUID) -> None:
        self._refused.pop(flow_run_id, None)

    def fail_all(self, error: ApiError) -> None:
        """Let all waits for answers end with this error."""
        for future in self._expected.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        self._expected.clear()

    def forget(self, flow_run_id: UUID) -> None:
        self.last.pop(flow_run_id, None)
        self.forget_refusals(flow_run_id)
