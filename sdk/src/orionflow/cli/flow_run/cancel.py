"""`orion flow-run cancel`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.flow_run.selection import counted, selected_runs, selection_options
from orionflow.cli.options import Output, ask_before, destructive, output_options, time_options
from orionflow.cli.output import Column, plain_column
from orionflow.cli.proposals import Answer, propose, read_answer
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock

MESSAGE = "Cancelled from the command line."


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run cancel brave-otter", ""),
        ('orion fr cancel --query "flow:monitor state:running" --yes', "all that match"),
        ('orion fr cancel --query "state:pending" --dry-run', "only say which"),
        ("orion fr cancel brave-otter --detach", "its deployed subflows go on"),
        ("orion fr cancel brave-otter --force --yes", "when its process is gone and cannot answer"),
    ),
)
@selection_options
@click.option("--force", is_flag=True, help="Call it Cancelled at once: for runs whose process is gone.")
@click.option("--detach", is_flag=True, help="Let nested runs of deployments go on, as runs of their own.")
@destructive
@output_options
@time_options
def cancel(
    runs: tuple[str, ...],
    query: str | None,
    most: int,
    force: bool,
    detach: bool,
    yes: bool,
    dry_run: bool,
    output: Output,
    clock: Clock,
) -> int:
    """Cancel runs. A running one stops at its next task; one that has not started is cancelled at once."""
    if force and detach:
        raise click.UsageError("--detach asks the rules, and --force does not; use one of them.")
    api = backend()
    found = selected_runs(api, runs, query, most, clock)
    if dry_run:
        output.terminal.note(f"Would cancel {counted(found)}.")
        output.show_many(found, PLAN)
        return ExitCode.DONE
    if found and (query or force):
        ask_before(f"cancel {counted(found)}{', whatever the rules say' if force else ''}", yes=yes)
    ask = _cancel_alone if detach else partial(_cancel, force=force)
    return _tell([(run, ask(api, run)) for run in found], output)


PLAN = [Column("RUN", lambda run: run["name"]), Column("STATE", lambda run: run["state_name"] or "-")]


def _cancel(api: Backend, run: Json, *, force: bool) -> Answer:
    return propose(api, run, "CANCELLED" if force else "CANCELLING", MESSAGE, force=force)


def _cancel_alone(api: Backend, run: Json) -> Answer:
    body = {"message": MESSAGE, "detach": True}
    return read_answer(run, api.post(f"/flow_runs/{run['id']}/cancel", body))


def _tell(answers: Sequence[tuple[Json, Answer]], output: Output) -> int:
    if not answers:
        output.terminal.note("No runs match.")
    if output.is_for_people:
        for run, answer in answers:
            if answer.wrote:
                output.terminal.say(_line(run, answer))
    else:
        output.show_many([_as_object(run, answer) for run, answer in answers], RESULT, name="name")
    refused = [(run, answer) for run, answer in answers if not answer.wrote]
    return _refuse(refused, output.terminal) if refused else ExitCode.DONE


RESULT = [plain_column(key) for key in ("name", "verdict", "state.name", "reason")]


def _as_object(run: Json, answer: Answer) -> Json:
    return {
        "id": run["id"],
        "name": run["name"],
        "verdict": answer.verdict,
        "state": answer.state,
        "reason": answer.reason,
    }


def _line(run: Json, answer: Answer) -> str:
    text = f"{run['name']} is {answer.state_name}"
    return f"{text}: {answer.reason}" if answer.reason else f"{text}."


def _refuse(refused: Sequence[tuple[Json, Answer]], terminal: Terminal) -> int:
    for run, answer in refused[1:]:
        terminal.error(f"{run['name']} stays {answer.state_name}: {answer.reason}")
    run, answer = refused[0]
    raise CommandFailed(
        ExitCode.CONFLICT, f"{run['name']} cannot be cancelled; it is {answer.state_name}.", answer.reason,
        f"orion flow-run why {run['name']}",
    )  # fmt: skip
