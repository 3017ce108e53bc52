"""`orion run`: a flow, run in this process and followed to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options

if TYPE_CHECKING:
    from orionflow.flows import Flow


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion run flows.py:etl -p day=2026-01-01 -p limit=5", "a file"),
        ("orion run shop.flows:etl --params @etl.json", "a module, parameters from a file"),
        ("orion run flows.py:etl --watch", "with a progress line"),
        ("orion run flows.py:etl --name try-7 --tag scratch -o json", "the finished run as the API's object"),
    ),
)
@click.argument("entrypoint")
@click.option("-p", "--param", "pairs", metavar="NAME=VALUE", multiple=True, help="One parameter; JSON or text.")
@click.option("--params", metavar="JSON", help="All parameters as one JSON object, or @FILE.")
@click.option("--name", metavar="NAME", help="Name the run; otherwise it gets one.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run and its task runs.")
@click.option("--watch", is_flag=True, help="Show the progress of its tasks.")
@output_options
def run(
    entrypoint: str, pairs: tuple[str, ...], params: str | None, name: str | None, tags: tuple[str, ...],
    watch: bool, output: Output,
) -> int:  # fmt: skip
    """Run a flow in this process. ENTRYPOINT is path/to/file.py:flow or package.module:flow.

    The exit code says how the run ended: `orion help exit-codes`.
    """
    from orionflow.cli.entrypoints import load_flow
    from orionflow.cli.here import run_here
    from orionflow.cli.parameters import read_parameters

    flow = load_flow(entrypoint)
    parameters = read_parameters(flow.fn, pairs, params)
    return run_here(_named(flow, name), parameters, tags=tags, watch=watch, output=output)


def _named(flow: Flow[Any, Any], name: str | None) -> Flow[Any, Any]:
    return flow.with_options(flow_run_name=name) if name else flow
