"""`orion flow-run diff` and `common`: differences between two runs, and what several runs have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from orionflow.calls.flow_runs import diff_flow_runs, find_what_is_common
from orionflow.cli.backend import Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.query import flow_run_filters
from orionflow.cli.safe_text import one_line, styled
from orionflow.cli.session import Session, command
from orionflow.cli.style import counted, run_state_label
from orionflow.cli.terminal import Terminal

TASKS_SHOWN = 30


@command(
    ("orion flow-run diff @last-failed", "since its last good run"),
    ("orion fr diff calm-fox brave-otter", "any two runs, the earlier one first"),
    ("orion fr diff @last-failed -o json", "the API's object"),
)
@click.argument("run", metavar="[BEFORE] RUN", nargs=-1, required=True)
def diff(session: Session, run: tuple[str, ...]) -> None:
    """Show the differences between two runs: code, packages, parameters, tasks, times, errors and logs.

    With one RUN, it is compared with the last good run before it, of the same deployment or else of the same flow."""
    if len(run) > 2:
        raise click.UsageError("Name one run or two: the earlier one first.")
    found = [find_flow_run(session.api, name) for name in run]
    base = found[0]["id"] if len(found) == 2 else None
    answer = _difference(session, found[-1], base)
    if not session.for_people:
        session.show_one(answer, name="id")
        return
    for line in _lines(answer, session.terminal):
        session.terminal.out(line)


def _difference(session: Session, run: Json, base: str | None) -> Json:
    from orionflow.errors import Conflict

    try:
        answer: Json = session.api.ask(diff_flow_runs(run["id"], base=base))
    except Conflict:
        what = f"No run before {run['name']}, of the same deployment or flow, completed."
        raise CommandFailed(
            ExitCode.NOT_FOUND, what, fix=f"name the run to compare with: orion fr diff BEFORE {run['name']}"
        ) from None
    return answer


def _lines(answer: Json, terminal: Terminal) -> Iterator[str]:
    before, after = answer["before"], answer["after"]
    for words, run in (("before", before), ("after ", after)):
        error = f": {one_line(run['error'])}" if run.get("error") else ""
        yield f"{words}  {run_state_label(run, terminal)}  {run['flow_name']} › {run['name']}{error}"
    if not answer["of_same_flow"]:
        yield "These runs are of different flows."
    yield ""
    for one in answer["differences"]:
        yield f"  {one_line(one['text'])}"
    if not answer["differences"]:
        yield "  Code, parameters and where they ran are the same, as far as they were recorded."
    yield from _tasks(answer)
    yield from _log(answer["log"])
    yield from answer["unknown"]


def _tasks(answer: Json) -> Iterator[str]:
    tasks = answer["tasks"]
    if tasks:
        yield ""
        yield styled("Task runs", bold=True)
    for one in tasks[:TASKS_SHOWN]:
        yield f"  {one_line(one['name'])}: {one_line(one['text'])}"
    left_out = len(tasks) - TASKS_SHOWN + answer["tasks_left_out"]
    if len(tasks) > TASKS_SHOWN:
        yield f"  {left_out} more differ; -o json has more of them"
    if answer["tasks_alike"]:
        yield f"  {counted(answer['tasks_alike'], 'task run')} went alike in both"


def _log(found: Json | None) -> Iterator[str]:
    if found is None:
        return
    yield ""
    yield styled("The first line of its log that the earlier run did not write", bold=True)
    for line in found["above"]:
        yield f"    {one_line(line)}"
    if found.get("instead"):
        yield styled(f"  - {one_line(found['instead'])}", fg="red")
    yield styled(f"  + {one_line(found['line'])}", fg="green")


@command(
    ('orion flow-run common "state:failed since:-24h"', "what do the failures of today have in common?"),
    ("orion fr common state:failed flow:etl", "of one flow"),
    ("orion fr common state:failed -o json", "the API's object"),
    times=True,
)
@click.argument("query", nargs=-1, required=True)
def common(session: Session, query: Sequence[str]) -> None:
    """Show what runs have in common that other runs of their flows at the time do not.

    It compares parameters, tags, agent, host, queue, deployment, version, packages, hour and attempts, and shows only
    what is unlikely to be chance. A QUERY selects the runs; see `orion help filters`."""
    filters = flow_run_filters(query, session.clock, session.api)
    answer = session.api.ask(find_what_is_common(**filters))
    if not session.for_people:
        session.show_one(answer, name="chosen")
        return
    for line in _common_lines(answer):
        session.terminal.out(line)


def _common_lines(answer: Json) -> Iterator[str]:
    if not answer["chosen"]:
        yield "No runs match."
        return
    sample = [
        f"{counted(answer[name], words)}"
        + (f" (of {answer[f'{name}_of']})" if answer[f"{name}_of"] > answer[name] else "")
        for name, words in (("chosen", "run"), ("others", "other"))
    ]
    flows = ", ".join(one_line(name) for name in answer["flows"][:5])
    yield f"{sample[0]} of {flows} compared with {sample[1]} of the same time"
    yield ""
    for one in answer["findings"]:
        lift = "only there" if one["lift"] is None else f"{one['lift']:.1f} times as often"
        like = f"  (the same runs as {one_line(one['like'])})" if one["like"] else ""
        yield f"  {one_line(one['text'])}; {lift}, p {one['p']:.2g}{like}"
    if not answer["findings"]:
        yield f"  Nothing that is not by chance, among {counted(answer['tested'], 'value')} that were tested."
    if answer["not_compared"]:
        yield ""
        yield "Not compared:"
    for line in answer["not_compared"]:
        yield f"  {one_line(line)}"
