"""Log lines that wait for delivery: bounded; lines that do not fit are counted and reported as one line."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from orionflow.contract.kinds import GAP_LOGGER
from orionflow.reporting.items import LogLine

WARNING = 30

Runs = tuple[UUID | None, UUID | None]


class LogHead(NamedTuple):
    """The oldest lines of the buffer; they stay there until they are settled."""

    lines: list[LogLine]
    # How often the lines had been left to a file when these were taken.
    left: int


class LogBuffer:
    """A queue of lines that never blocks. The caller holds the reporter's lock.

    Warnings and errors may double the limit. Lines keep their order, in which they are delivered and settled.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: deque[LogLine] = deque()
        self._lost: dict[Runs, int] = {}
        self.added = 0
        self.settled = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: LogLine) -> None:
        runs = (line.flow_run_id, line.task_run_id)
        if len(self._lines) >= self._limit:
            if line.level >= WARNING and len(self._lines) < 2 * self._limit:
                self._append(line)
            else:
                self._lost[runs] = self._lost.get(runs, 0) + 1
            return
        if runs in self._lost:
            self._report_gap(runs, line.timestamp)
        self._append(line)

    def _append(self, line: LogLine) -> None:
        self._lines.append(line)
        self.added += 1

    def _report_gap(self, runs: Runs, when: datetime) -> None:
        self._append(gap_line(self._lost.pop(runs), runs, when))

    def head(self, count: int) -> LogHead:
        """Return the oldest `count` lines. Report gaps as lines once there is room."""
        if self._lost and len(self._lines) < self._limit:
            for runs in list(self._lost):
                self._report_gap(runs, datetime.now(UTC))
        return LogHead(list(islice(self._lines, count)), self._left)

    def settle(self, head: LogHead) -> None:
        """Remove the lines of this head, which were stored or given up. Do nothing if they were left since."""
        if head.left != self._left:
            return
        for _ in head.lines:
            self._lines.popleft()
        self.settled += len(head.lines)

    def leave(self) -> tuple[list[LogLine], list[LogLine], int]:
        """Return warnings and errors for a file, lines about the missing others, and the number of those."""
        important: list[LogLine] = []
        for line in self._lines:
            if line.level >= WARNING:
                important.append(line)
            else:
                runs = (line.flow_run_id, line.task_run_id)
                self._lost[runs] = self._lost.get(runs, 0) + 1
        lost = self._lost
        self.settled = self.added
        self._left += 1
        self._lines, self._lost = deque(), {}
        gaps = [gap_line(count, runs, datetime.now(UTC)) for runs, count in lost.items()]
        return important, gaps, sum(lost.values())


def gap_line(count: int, runs: Runs, when: datetime) -> LogLine:
    what = "1 log line was" if count == 1 else f"{count} log lines were"
    text = f"{what} lost here: the program logged faster than the API took it, or the API was away."
    return LogLine(GAP_LOGGER, WARNING, text, when, *runs)
