"""The answer of `why`, in words: the reasons with their fixes, what was refused last, the states and their rules."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orionflow.cli.backend import Json
from orionflow.cli.histories import history_lines, trail_lines
from orionflow.cli.looks import arrow, painted
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock

RECENT = 3


def why_lines(name: str, answer: Json, clock: Clock, terminal: Terminal, *, every: bool) -> Iterator[str]:
    """The whole explanation, line by line."""
    yield _headline(name, answer)
    for number, reason in enumerate(answer["reasons"], 1):
        yield from _reason(number, reason, clock, terminal)
    yield from _refusal(answer.get("refusal"), clock)
    yield from _history(answer["history"], clock, terminal, every=every)


def _headline(name: str, answer: Json) -> str:
    state = answer["state"]
    if state is None:
        return f"{name} has no state yet" + (", because:" if answer["reasons"] else ".")
    shown = painted(state["name"], state["type"])
    return f"{name} is {shown}" + (", because:" if answer["reasons"] else ".")


def _reason(number: int, reason: Json, clock: Clock, terminal: Terminal) -> Iterator[str]:
    since = f" (since {clock.near(reason['since'])})" if reason.get("since") else ""
    first, *rest = (reason["text"] or reason["code"]).splitlines()
    yield f" {number}. {first}{since}"
    yield from (f"    {line}" for line in rest)
    for holder in reason.get("holders") or ():
        yield f"      held by {_holder(holder)}"
    if reason.get("fix"):
        yield f"    {arrow(terminal)} {reason['fix']}"


def _holder(holder: object) -> str:
    if isinstance(holder, dict):
        return str(holder.get("name") or holder.get("id") or holder)
    return str(holder)


def _refusal(refusal: Json | None, clock: Clock) -> Iterator[str]:
    """The last proposal that wrote no state: it explains a run that stands still."""
    if not refusal:
        return
    wait = f" for {refusal['seconds']} s" if refusal.get("seconds") else ""
    when = f" at {clock.near(refusal['at'])}" if refusal.get("at") else ""
    yield ""
    yield f"Last refused{when}: {_proposed(refusal)} was answered {refusal['verdict']}{wait}"
    if refusal.get("reason"):
        yield f"  {refusal['reason']}"


def _proposed(refusal: Json) -> str:
    proposed = refusal.get("proposed")
    if isinstance(proposed, dict):
        return str(proposed.get("name") or proposed.get("type"))
    return str(proposed or "the proposal")


def _history(history: list[Json], clock: Clock, terminal: Terminal, *, every: bool) -> Iterator[str]:
    shown = history if every else history[-RECENT:]
    if not shown:
        return
    yield ""
    hidden = len(history) - len(shown)
    yield click.style(
        "Its states" + (f" (the last {RECENT} of {len(history)}; --all shows all)" if hidden else ""), bold=True
    )
    if every:
        yield from history_lines(shown, clock, terminal, with_rules=True)
        return
    yield from history_lines(shown, clock, terminal, with_rules=False)
    decisive = [judgement for judgement in shown[-1]["trail"] if judgement["verdict"] != "ACCEPT"]
    yield from trail_lines(decisive)
