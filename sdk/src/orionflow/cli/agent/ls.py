"""`orion agent ls`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion agent ls", "all agents and workers"),
        ("orion agent ls -o json", "as the API's objects"),
    ),
)
@click.option("-p", "--pool", metavar="POOL", help="Only agents of this work pool.")
@output_options
@time_options
def ls(pool: str | None, output: Output, clock: Clock) -> None:
    """List the agents of all pools, and which of them are alive."""
    api = backend()
    pools = [pool] if pool else [one["name"] for one in api.pages("/work_pools/filter", {}, None)]
    agents: list[Json] = []
    for name in pools:
        found = api.pages(f"/work_pools/{name}/workers/filter", {}, None)
        agents += [{**agent, "work_pool_name": name} for agent in found]
    output.show_many(agents, _columns(clock))
    if output.is_for_people and not agents:
        output.terminal.note("No agents yet; start one with orion agent start -q default")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("NAME", lambda row: row["name"], field="name"),
        Column("POOL", lambda row: row["work_pool_name"], field="work_pool_name"),
        Column("STATUS", lambda row: str(row.get("status") or "-").lower(), field="status"),
        Column("SEEN", lambda row: clock.ago(row.get("last_heartbeat_time")), field="last_heartbeat_time"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]
