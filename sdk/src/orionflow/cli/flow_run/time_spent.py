"""`orion flow-run time`: how a run, or all runs of the last hours, spent their time."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orionflow.calls.flow_runs import read_time_of_flow_run, read_time_of_flow_runs
from orionflow.cli.backend import Json
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.safe_text import one_line, styled
from orionflow.cli.session import Session, command
from orionflow.cli.style import counted
from orionflow.cli.times import duration

BAR = 30
FLOWS_SHOWN = 20


@command(
    ("orion flow-run time @last", "of one run, since it was due"),
    ("orion fr time", "of all runs of the last 24 hours"),
    ("orion fr time --hours 168", "of the last week"),
    ("orion fr time @last -o json", "the API's object"),
)
@click.argument("run", metavar="[RUN]", required=False)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, max=24 * 31, min_open=True),
    default=24,
    show_default=True,
    help="Without RUN: how far back.",
)
def time(session: Session, run: str | None, hours: float) -> None:
    """Show where the time went: waiting for an agent or a slot, starting, working, retrying, paused, idle.

    Without a RUN, it sums up the runs that were due in the last hours and have ended.
    """
    if run is None:
        answer = session.api.ask(read_time_of_flow_runs(hours=hours))
        lines = _fleet_lines(answer, hours)
    else:
        found = find_flow_run(session.api, run)
        answer = session.api.ask(read_time_of_flow_run(found["id"]))
        lines = _run_lines(answer)
    if not session.for_people:
        session.show_one(answer)
        return
    for line in lines:
        session.terminal.out(line)


def _run_lines(answer: Json) -> Iterator[str]:
    if not answer["shares"]:
        yield f"{answer['name']} has not spent any time yet."
        return
    so_far = "" if answer["is_over"] else " so far"
    yield f"{answer['name']} took {duration(answer['seconds'])}{so_far} since it was due:"
    yield from _bars(answer["shares"], answer["seconds"])
    if answer["is_cut"]:
        yield "It has more states or task runs than are looked at; what is missing counts as time without a task."


def _bars(shares: list[Json], whole: float) -> Iterator[str]:
    width = max((len(one_line(one["text"])) for one in shares), default=0)
    for one in shares:
        part = one["seconds"] / whole if whole else 0
        bar = "#" * max(1, round(BAR * part))
        holder = f"  held longest by {one_line(one['holder'])}" if one.get("holder") else ""
        runs = f"  {counted(one['runs'], 'run')}" if "runs" in one else ""
        yield (
            f"  {one_line(one['text']).ljust(width)}  {duration(one['seconds']):>8}  {100 * part:5.1f} %  "
            f"{bar.ljust(BAR)}{runs}{holder}"
        ).rstrip()


def _fleet_lines(answer: Json, hours: float) -> Iterator[str]:
    if not answer["runs"]:
        yield f"No run that was due in the last {hours:g} h has ended."
        return
    cut = ", the newest of more" if answer["reaches"] else ""
    yield f"{counted(answer['runs'], 'run')} of the last {hours:g} h{cut} took {duration(answer['seconds'])} in all:"
    yield from _bars(answer["shares"], answer["seconds"])
    waiting = [one for one in answer["flows"] if one["waited_seconds"] > 0][:FLOWS_SHOWN]
    if waiting:
        yield ""
        yield styled("Flows by the time that their runs waited", bold=True)
    for one in waiting:
        mostly = f"  mostly: {one_line(one['mostly'])}" if one["mostly"] else ""
        runs = counted(one["runs"], "run")
        yield f"  {one_line(one['flow_name'])}  {duration(one['waited_seconds'])}  {runs}{mostly}"
    if answer["tags"]:
        yield ""
        yield styled("Waits of task runs for slots of tags, while their flow runs ran", bold=True)
    for one in answer["tags"]:
        runs = counted(one["task_runs"], "task run")
        yield f"  {one_line(one['tag'])}  {duration(one['waited_seconds'])}  {runs}"
