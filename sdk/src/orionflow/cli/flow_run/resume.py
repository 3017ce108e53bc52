"""`orion flow-run resume`."""

from __future__ import annotations

from typing import Any

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.options import Output, output_options
from orionflow.cli.parameters import read_pairs
from orionflow.cli.proposals import read_answer


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run resume brave-otter", "let a paused run go on"),
        ("orion fr resume brave-otter --input approved=true", "with the answer that it waits for"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option("--input", "pairs", metavar="NAME=VALUE", multiple=True, help="One field of the answer; JSON or text.")
@output_options
def resume(run: str, pairs: tuple[str, ...], output: Output) -> None:
    """Let a paused run go on."""
    api = backend()
    found = find_flow_run(api, run)
    body: dict[str, Any] = {"run_input": read_pairs(pairs, "--input")} if pairs else {}
    answer = read_answer(found, api.post(f"/flow_runs/{found['id']}/resume", body))
    if not answer.wrote:
        raise CommandFailed(
            ExitCode.CONFLICT, f"{found['name']} cannot be resumed; it is {found['state_name']}.", answer.reason,
            f"orion flow-run why {found['name']}",
        )  # fmt: skip
    if output.is_for_people:
        output.terminal.say(f"{found['name']} is {answer.state_name}.")
    else:
        output.show_one(api.get(f"/flow_runs/{found['id']}"))
