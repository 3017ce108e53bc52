"""The states of a run below each other, with the rules that led to them: the part that `inspect` and `why` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orionflow.cli.backend import Backend, Json
from orionflow.cli.looks import color_of, first_line, state_label
from orionflow.cli.safe_text import styled
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock


def history_lines(history: Sequence[Json], clock: Clock, terminal: Terminal, *, with_rules: bool) -> Iterator[str]:
    """One line for each state; with rules, also what each rule said that did not simply let it pass."""
    labels = [state_label(state["type"], state["name"], terminal) for state in history]
    width = max((len(label) for label in labels), default=0)
    for state, label in zip(history, labels, strict=True):
        painted = styled(label, fg=color_of(state["type"]))
        words = "  ".join(filter(None, (first_line(state["message"]), _author(state))))
        gap = " " * (width - len(label) + 2) if words else ""
        yield f"  {clock.clock_time(state['timestamp'])}  {painted}{gap}{words}"
        if with_rules:
            yield from trail_lines(state["trail"])


def show_states(api: Backend, run_path: str, clock: Clock, terminal: Terminal) -> None:
    """All states of one run, below what else is shown of it."""
    terminal.out("\nstates:")
    for line in history_lines(api.get(f"{run_path}/why")["history"], clock, terminal, with_rules=False):
        terminal.out(line)


def trail_lines(trail: Sequence[Json]) -> Iterator[str]:
    for judgement in trail:
        reason = f": {judgement['reason']}" if judgement["reason"] else ""
        yield f"      {judgement['rule']} said {judgement['verdict'].lower()}{reason}"


def _author(state: Json) -> str:
    return f"(by {state['author']})" if state.get("author") else ""
