"""The answer of `why`, in words: the reasons with their fixes, the states, and the rules that led to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orionflow.cli.backend import Json
from orionflow.cli.exit_codes import TERMINAL_TYPES
from orionflow.cli.histories import history_lines, trail_lines
from orionflow.cli.looks import arrow, first_line, painted, run_state_label
from orionflow.cli.safe_text import styled
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock

RECENT = 3


def why_lines(
    name: str, answer: Json, clock: Clock, terminal: Terminal, *, every: bool, culprits: Sequence[Json] = ()
) -> Iterator[str]:
    """The whole explanation, line by line. `culprits` are task runs of a flow run that ended badly."""
    yield _headline(name, answer)
    for number, reason in enumerate(_worth_saying(answer), 1):
        yield from _reason(number, reason, clock, terminal)
    yield from _culprits(culprits, terminal)
    yield from _history(answer["history"], clock, terminal, every=every)


def _headline(name: str, answer: Json) -> str:
    state, because = answer["state"], ", because:" if _worth_saying(answer) else "."
    if state is None:
        return f"{name} has no state yet{because}"
    shown = f"{name} is {painted(state['name'], state['type'])}"
    # A run that ended has its reason in its last state; one that goes on has it in what it waits for.
    if state["type"] in TERMINAL_TYPES and state["message"]:
        return f"{shown}: {state['message'].strip().removeprefix(state['name'] + ': ')}"
    return f"{shown}{because}"


def _worth_saying(answer: Json) -> list[Json]:
    """The headline of a run that ended says already that it ended."""
    return [reason for reason in answer["reasons"] if reason["code"] != "finished"]


def _reason(number: int, reason: Json, clock: Clock, terminal: Terminal) -> Iterator[str]:
    since = f" (since {clock.within_brackets(reason['since'])})" if reason.get("since") else ""
    first, *rest = (reason["text"] or reason["code"]).splitlines()
    yield f" {number}. {first}{since}"
    yield from (f"    {line}" for line in rest)
    for holder in reason.get("holders") or ():
        yield f"      held by {_holder(holder)}"
    if reason.get("fix"):
        yield f"    {arrow(terminal)} {reason['fix']}"


def _culprits(task_runs: Sequence[Json], terminal: Terminal) -> Iterator[str]:
    if task_runs:
        yield ""
        yield styled("Its task runs that ended badly", bold=True)
    for run in task_runs:
        message = first_line((run["state"] or {}).get("message"))
        yield f"  {painted(run_state_label(run, terminal), run['state_type'])}  {run['name']}  {message}".rstrip()


def _holder(holder: object) -> str:
    if isinstance(holder, dict):
        return str(holder.get("name") or holder.get("id") or holder)
    return str(holder)


def _history(history: list[Json], clock: Clock, terminal: Terminal, *, every: bool) -> Iterator[str]:
    shown = history if every else history[-RECENT:]
    if not shown:
        return
    yield ""
    hidden = len(history) - len(shown)
    yield styled(
        "Its states" + (f" (the last {RECENT} of {len(history)}; --all shows all)" if hidden else ""), bold=True
    )
    if every:
        yield from history_lines(shown, clock, terminal, with_rules=True)
        return
    yield from history_lines(shown, clock, terminal, with_rules=False)
    decisive = [judgement for judgement in shown[-1]["trail"] if judgement["verdict"].lower() != "accept"]
    yield from trail_lines(decisive)
