"""The rules reference, from the rules themselves: `python -m orchestration.core.document > docs/reference/rules.md`."""

from __future__ import annotations

import inspect
import sys

from orchestration.core.decide import Rule
from orchestration.core.policies import (
    AGAIN_FLOW,
    BACKGROUND_TASK,
    CORE_FLOW,
    CORE_TASK,
    MINIMAL_FLOW,
    MINIMAL_TASK,
    UNHEARD_FLOW,
    AllFacts,
    Policy,
)
from orchestration.core.states import ANY, TERMINAL, UNFINISHED, StateType
from orchestration.core.verdicts import Abort, Accept, Amend, Reject, Wait
from orionflow.contract.states import NAMES

INTRODUCTION = """\
# The rules

*This page is generated from the rules' own docstrings (`make pages`).*

Every state of every run has passed the rules below. A client **proposes** a state; the rules that concern the
transition are asked in order, and the first that refuses settles it. What each rule said, and why, is stored with the
state and shown on the run's page, by `orion flow-run why`, and by `GET /api/flow_runs/{id}/why`.

Each row is proved in `tests/core` (`test_flow_rules.py`, `test_task_rules.py`); `test_laws.py` holds what is true of
all transitions, and `test_walks.py` follows whole runs.
"""

POLICIES: tuple[tuple[str, str, Policy], ...] = (
    ("Flow runs", "Judged for every proposed state of a flow run.", CORE_FLOW),
    (
        "Finished flow runs of which some tasks are to run again",
        "Asked instead of `KeepFinishedFlowRuns` when a run is retried from a task; the other rules are the same.",
        tuple(rule for rule in AGAIN_FLOW if rule not in CORE_FLOW),
    ),
    ("Task runs", "Judged for every proposed state of a task run, one by one or in a batch.", CORE_TASK),
    (
        "Task runs without a flow run",
        "Calls that a process elsewhere may take up. The same rules, after one of flow runs'.",
        BACKGROUND_TASK,
    ),
    (
        "Flow runs whose agent ended them for want of an answer",
        "Judged when an agent reports that it ended a process because the API was away for the time of a lease.",
        UNHEARD_FLOW,
    ),
    (
        "Forced states of flow runs",
        "`force` passes all rules but these, without which the record would be false.",
        MINIMAL_FLOW,
    ),
    ("Forced states of task runs", "The same for task runs.", MINIMAL_TASK),
)

RETRIES = """\
## How long a retry waits

`retry_delay` seconds, or its element of the retry's number (the last one repeats), or 1 s where only a factor was
given; times `retry_backoff_factor ** (retry - 1)`; at most `retry_delay_max`. With `retry_jitter_factor` f the wait is
drawn from an exponential distribution of that mean, cut to [delay * (1 - f), delay * (1 + f)]. Crash retries wait by
the same formula with their own count.
"""

BOOKS = """\
## What every written state does

Also when it was forced or put in the place of another (`orchestration/core/bookkeeping.py`):

- `start_time` is set by the first RUNNING and never moves; `end_time` is set by a final state of a run that had
  started, and cleared when the run leaves it. A run that never started has no end.
- `total_run_time` grows by the time spent in RUNNING; waiting and paused time does not count.
- `run_count` grows by one with each RUNNING, except when a suspended run continues.
- `expected_start_time` is set once; `next_scheduled_start_time` lives as long as the SCHEDULED state.
- A task run gives back its concurrency slots when it enters anything but RUNNING or CANCELLING, however it leaves.
- When a task run leaves a final state for another, what it put into the cache expires: its outcome is open again.
- The task run that stands for a nested flow in its parent follows the nested run's state.
"""


def document() -> str:
    """The whole page, as Markdown."""
    policies = [_policy(*policy) for policy in POLICIES]
    return "\n".join([INTRODUCTION, _states(), _verdicts(), *policies, RETRIES, BOOKS])


def _states() -> str:
    rows = [f"| {t.value} | {'yes' if t in TERMINAL else 'no'} | {_names(t)} |" for t in StateType]
    note = "Programs may give the final states that they return any name of their own."
    return "\n".join(["## States", "", "| type | final | names |", "|---|---|---|", *rows, "", note, ""])


def _names(state_type: StateType) -> str:
    return "; ".join(f"{name} ({one.meaning})" for name, one in NAMES[state_type].items())


def _verdicts() -> str:
    rows = [f"| {kind.__name__} | {_prose(kind)} |" for kind in (Accept, Amend, Reject, Wait, Abort)]
    return "\n".join(["## Verdicts", "", "| verdict | meaning |", "|---|---|", *rows, ""])


def _policy(title: str, introduction: str, policy: Policy) -> str:
    rows = [f"| {number} | {_row(rule)} |" for number, rule in enumerate(policy, 1)]
    return "\n".join(
        [f"## {title}", "", introduction, "", "| # | rule | from | to | meaning |", "|---|---|---|---|---|", *rows, ""]
    )


def _row(rule: Rule[AllFacts]) -> str:
    kind = type(rule)
    return " | ".join([f"`{kind.__name__}`", _types(rule.leaving), _types(rule.entering), _prose(kind)])


def _types(types: frozenset[StateType | None] | frozenset[StateType]) -> str:
    known = frozenset(t for t in types if t is not None)
    named = {ANY: "any", TERMINAL: "any final", UNFINISHED: "any unfinished"}
    if known in named:
        return named[known]
    if len(known) > len(ANY) / 2:
        return f"any but {', '.join(sorted(ANY - known))}"
    return ", ".join(sorted(known))


def _prose(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


if __name__ == "__main__":
    sys.stdout.write(document())
