"""`orion deployment ls`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import deployment_columns
from orionflow.cli.deployment.finding import full_names
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.times import Clock

SORTS = {"name": "NAME_ASC", "newest": "CREATED_DESC", "updated": "UPDATED_DESC"}


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment ls", "all of them"),
        ("orion dep ls --flow etl --tag nightly", ""),
        ("orion dep ls --paused -o json", "the API's objects"),
    ),
)
@click.option("--flow", "flow_name", metavar="FLOW", help="Only those of this flow.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only those with this tag.")
@click.option("--queue", "queues", metavar="QUEUE", multiple=True, help="Only those of this work queue.")
@click.option("--paused/--active", "paused", default=None, help="Only those that are paused, or that are not.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="name", show_default=True, help="The order.")
@output_options
@time_options
def ls(
    flow_name: str | None,
    tags: tuple[str, ...],
    queues: tuple[str, ...],
    paused: bool | None,
    limit: int,
    sort: str,
    output: Output,
    clock: Clock,
) -> None:
    """List deployments with their schedules, and whether an agent serves them."""
    api = backend()
    body = {**_filters(flow_name, tags, queues, paused), "sort": SORTS[sort]}
    found = list(api.pages("/deployments/filter", body, limit))
    names = full_names(api, found) if output.format in ("table", "wide", "csv") else {}
    output.show_many(found, deployment_columns(names, clock))
    if output.is_for_people and not found:
        output.terminal.note("No deployments; make one with flow.deploy(…), orion deploy or orion deployment build.")


def _filters(flow: str | None, tags: tuple[str, ...], queues: tuple[str, ...], paused: bool | None) -> Json:
    own: Json = {}
    if tags:
        own["tags"] = {"all_": list(tags)}
    if queues:
        own["work_queue_name"] = {"any_": list(queues)}
    if paused is not None:
        own["paused"] = {"eq_": paused}
    within: Json = {"flows": {"name": {"any_": [flow]}}} if flow else {}
    return {**within, **({"deployments": own} if own else {})}
