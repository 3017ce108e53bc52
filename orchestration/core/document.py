"""The rules reference, generated from the rules: `python -m orchestration.core.document > docs/reference/rules.md`."""

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
    OUT_OF_TOUCH_FLOW,
    AllFacts,
    Policy,
)
from orchestration.core.states import ANY, TERMINAL, UNFINISHED, StateType
from orchestration.core.verdicts import Abort, Accept, Amend, Reject, Wait
from orionflow.contract.states import NAMES

INTRODUCTION = """\
# Rules

*This page is generated from the docstrings of the rules (`make pages`).*

A client **proposes** a state, and rules decide. The rules that concern the transition are asked in the order of these
tables. The first one that refuses decides. What each rule said, and why, is stored with the state. The page of a run,
`orion flow-run why` and `GET /api/flow_runs/{id}/why` show it. [How a transition is
decided](../explanation/transitions.md) explains the steps.

Each rule is tested in `tests/core` (`test_flow_rules.py`, `test_task_rules.py`). `test_laws.py` tests properties of all
transitions, and `test_walks.py` follows whole runs.
"""

POLICIES: tuple[tuple[str, str, Policy], ...] = (
    ("Flow runs", "For each proposed state of a flow run.", CORE_FLOW),
    (
        "Flow runs that are retried from a task",
        "Replaces `KeepFinishedFlowRuns` when a run is retried from a task. The other rules are the same.",
        tuple(rule for rule in AGAIN_FLOW if rule not in CORE_FLOW),
    ),
    ("Task runs", "For each proposed state of a task run, alone or in a batch.", CORE_TASK),
    (
        "Task runs without a flow run",
        "For calls that a worker claims. The rules of task runs, after two about claims.",
        BACKGROUND_TASK,
    ),
    (
        "Flow runs that an agent ended because the API did not answer",
        "When an agent reports that it ended a process because it could not reach the API for the time of a lease.",
        OUT_OF_TOUCH_FLOW,
    ),
    (
        "Forced states of flow runs",
        "`force` skips all rules except these, without which the record would be wrong.",
        MINIMAL_FLOW,
    ),
    ("Forced states of task runs", "`force` skips all rules except this one.", MINIMAL_TASK),
)

RETRIES = """\
## How long a retry waits

| step | value |
|---|---|
| 1. base | `retry_delay` seconds, or the element for this retry (the last one repeats); 1 s if only a factor is given |
| 2. growth | times `retry_backoff_factor ** (retry - 1)` |
| 3. limit | at most `retry_delay_max` |
| 4. jitter | with `retry_jitter_factor` f, exponentially distributed with this mean, within delay × (1 ± f) |

The names are fields of policies in the API. The SDK sends the delays as a list, also those of `exponential_backoff`,
and neither factor nor limit.

Crash retries use the same formula with their own count.
"""

BOOKS = """\
## What every written state changes

This applies to forced states, and to states that replace a proposed one, too (`orchestration/core/bookkeeping.py`).

| field | change |
|---|---|
| `start_time` | set by the first RUNNING, and never changed |
| `end_time` | set by a final state of a run that had started, and cleared when the run leaves it |
| `total_run_time` | grows by the time in RUNNING, not by waiting or paused time |
| `run_count` | grows by one with each RUNNING, except when a suspended run continues |
| `expected_start_time` | set once |
| `next_scheduled_start_time` | set while the run is SCHEDULED |
| concurrency slots of a task run | released by each state except RUNNING and CANCELLING |
| cached result of a task run | expires when the task run leaves a final state |
| task run of a nested flow | follows the state of the nested run |
"""


def document() -> str:
    """Return the whole page as Markdown."""
    policies = [_policy(*policy) for policy in POLICIES]
    return "\n".join([INTRODUCTION, _states(), _verdicts(), *policies, RETRIES, BOOKS])


def _states() -> str:
    rows = [f"| {t.value} | {'yes' if t in TERMINAL else 'no'} | {_names(t)} |" for t in StateType]
    note = "A program may return final states with names of its own."
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
