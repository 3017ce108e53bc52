"""The critical path of a flow run: the chain of task runs that its end waited for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Step:
    """A task run, or all runs of a task: when it was due, when it ended, and the steps that it took inputs from."""

    id: str
    begin: datetime
    end: datetime
    upstream: Sequence[str] = ()


def critical_path(steps: Sequence[Step]) -> list[str]:
    """Return the path, first step first: from the step that ended last, go back to the step that each waited for.

    That is the input that ended last. A step without inputs was called by the flow's own code, after the last step that
    had ended by then, if any.
    """
    if not steps:
        return []
    by_id = {one.id: one for one in steps}
    by_end = sorted(steps, key=lambda one: (one.end, one.id))
    ends = [one.end for one in by_end]
    path: list[str] = []
    current: Step | None = by_end[-1]
    while current is not None and current.id not in path:
        path.append(current.id)
        current = _waited_for(current, by_id, by_end, ends)
    return path[::-1]


def _waited_for(step: Step, by_id: dict[str, Step], by_end: Sequence[Step], ends: Sequence[datetime]) -> Step | None:
    inputs = [by_id[one] for one in step.upstream if one in by_id and one != step.id]
    if inputs:
        return max(inputs, key=lambda one: (one.end, one.id))
    place = bisect_right(ends, step.begin)
    # A step without duration may have ended at the same moment; skip it.
    return next((one for one in reversed(by_end[:place]) if one.id != step.id and one.begin < step.begin), None)
