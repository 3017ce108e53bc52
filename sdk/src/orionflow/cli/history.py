"""The states of a run with the rules that led to them, and the answer of `why` as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from orionflow.calls import Call
from orionflow.cli.backend import Backend, Json
from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import TERMINAL_TYPES
from orionflow.cli.safe_text import one_line, styled
from orionflow.cli.session import Example, Session, make_command
from orionflow.cli.style import arrow, color_of, first_line, painted, run_state_label, state_label
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock


def history_lines(history: Sequence[Json], clock: Clock, terminal: Terminal, *, with_rules: bool) -> Iterator[str]:
    """Yield one line for each state; with rules, also the decisions of rules that did more than accept."""
    labels = [state_label(state["type"], state["name"], terminal) for state in history]
    width = max((len(label) for label in labels), default=0)
    for state, label in zip(history, labels, strict=True):
        painted = styled(label, fg=color_of(state["type"]))
        author = f"(by {state['author']})" if state.get("author") else ""
        words = "  ".join(filter(None, (first_line(state["message"]), author)))
        gap = " " * (width - len(label) + 2) if words else ""
        yield f"  {clock.clock_time(state['timestamp'])}  {painted}{gap}{words}"
        if with_rules:
            yield from trail_lines(state["trail"])


def show_states(session: Session, explanation: Call[Any]) -> None:
    """Show all states of one run, below its fields."""
    session.terminal.out("\nstates:")
    history = session.api.ask(explanation)["history"]
    for line in history_lines(history, session.clock, session.terminal, with_rules=False):
        session.terminal.out(line)


def why_command(
    help: str, *examples: Example, metavar: str, find: Callable[[Backend, str], Json],
    explain: Callable[[str], Call[Any]], culprits: Callable[[Backend, Json], Sequence[Json]] = lambda api, run: (),
) -> OrionCommand:  # fmt: skip
    """Return the command that explains the state of a run; `culprits` finds the task runs that made it fail."""

    def why(session: Session, run: str, every: bool) -> None:
        found = find(session.api, run)
        answer = session.api.ask(explain(found["id"]))
        if not session.for_people:
            session.show_one(answer, name="run_id")
            return
        bad = culprits(session.api, found)
        for line in _why_lines(found["name"], answer, session.clock, session.terminal, every=every, culprits=bad):
            session.terminal.out(line)

    text = "Show all states with all rules that were asked."
    params = [click.Argument(["run"], metavar=metavar), click.Option(["--all", "every"], is_flag=True, help=text)]
    return make_command(why, params, examples, help=help, times=True)


def trail_lines(trail: Sequence[Json]) -> Iterator[str]:
    for judgement in trail:
        reason = f": {judgement['reason']}" if judgement["reason"] else ""
        yield f"      {judgement['rule']} said {judgement['verdict'].lower()}{reason}"


RECENT = 3


def _why_lines(
    name: str, answer: Json, clock: Clock, terminal: Terminal, *, every: bool, culprits: Sequence[Json]
) -> Iterator[str]:
    """Yield the whole explanation, line by line."""
    yield _headline(one_line(name), answer)
    for number, reason in enumerate(_reasons_to_show(answer), 1):
        yield from _reason(number, reason, clock, terminal)
    yield from _culprits(culprits, terminal)
    yield from _history(answer["history"], clock, terminal, every=every)


def _headline(name: str, answer: Json) -> str:
    state, because = answer["state"], ", because:" if _reasons_to_show(answer) else "."
    if state is None:
        return f"{name} has no state yet{because}"
    shown = f"{name} is {painted(one_line(state['name']), state['type'])}"
    # The last state of an ended run contains the reason; for other runs it is what they wait for.
    if state["type"] in TERMINAL_TYPES and state["message"]:
        return f"{shown}: {state['message'].strip().removeprefix(state['name'] + ': ')}"
    return f"{shown}{because}"


def _reasons_to_show(answer: Json) -> list[Json]:
    """Return the reasons to show, without that the run has ended: the headline says so."""
    return [reason for reason in answer["reasons"] if reason["code"] != "finished"]


def _reason(number: int, reason: Json, clock: Clock, terminal: Terminal) -> Iterator[str]:
    since = f" (since {clock.within_brackets(reason['since'])})" if reason.get("since") else ""
    first, *rest = (reason["text"] or reason["code"]).splitlines()
    yield f" {number}. {first}{since}"
    yield from (f"    {line}" for line in rest)
    verb = "stored" if reason["code"] == "cache_hit" else "held"
    for holder in reason.get("holders") or ():
        yield f"      {verb} by {_holder(holder)}"
    if reason.get("fix"):
        yield f"    {arrow(terminal)} {reason['fix']}"


def _culprits(task_runs: Sequence[Json], terminal: Terminal) -> Iterator[str]:
    if task_runs:
        yield ""
        yield styled("Its task runs that ended badly", bold=True)
    for run in task_runs:
        message = first_line((run["state"] or {}).get("message"))
        label = painted(run_state_label(run, terminal), run["state_type"])
        yield f"  {label}  {one_line(run['name'])}  {message}".rstrip()


def _holder(holder: object) -> str:
    if isinstance(holder, dict):
        return one_line(str(holder.get("name") or holder.get("id") or holder))
    return one_line(str(holder))


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
