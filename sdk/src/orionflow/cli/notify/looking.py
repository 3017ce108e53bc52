"""`orion notify ls`, `inspect` and `log`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.counting import counted
from orionflow.cli.deployment.finding import full_names
from orionflow.cli.looks import first_line, painted
from orionflow.cli.notify.destinations import block_names
from orionflow.cli.notify.finding import all_policies, find_policy, name_of
from orionflow.cli.notify.states import states_text
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock, duration

STANDINGS = {"SENT": ("sent", "COMPLETED"), "WAITING": ("waits", "SCHEDULED"), "GIVEN_UP": ("given up", "FAILED")}


@click.command(cls=OrionCommand, examples=(("orion notify ls", ""), ("orion notify ls -o json", "the API's objects")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
def ls(limit: int, output: Output) -> None:
    """List notifications: in which states, of which runs, to whom."""
    api = backend()
    found = all_policies(api, limit)
    show_policies(api, found, output)
    if output.is_for_people and not found:
        output.terminal.note("No notifications; make one with orion notify create slack")


def show_policies(api: Backend, policies: Sequence[Json], output: Output) -> None:
    output.show_many(policies, _columns(api, policies))


def _columns(api: Backend, policies: Sequence[Json]) -> list[Column]:
    blocks = block_names(api, [one["block_document_id"] for one in policies])
    deployments = deployment_names(api, [id for one in policies for id in one.get("deployment_ids") or ()])
    return [
        Column("NAME", name_of, field="name"),
        Column("ON", lambda one: states_text(one.get("state_types") or (), one["state_names"]), field="state_types"),
        Column("RUNS", lambda one: runs_text(one, deployments), field="tags"),
        Column("TO", lambda one: blocks.get(one["block_document_id"], "-"), field="block_document_id"),
        Column("ACTIVE", lambda one: "yes" if one["is_active"] else "paused", field="is_active"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


def deployment_names(api: Backend, ids: Sequence[str]) -> dict[str, str]:
    wanted = sorted(set(ids))
    found = list(api.pages("/deployments/filter", {"deployments": {"id": {"any_": wanted}}}, None)) if wanted else []
    return full_names(api, found)


def runs_text(policy: Json, deployments: dict[str, str]) -> str:
    parts = []
    if flows := policy.get("flow_names"):
        parts.append(f"of {', '.join(flows)}")
    if ids := policy.get("deployment_ids"):
        parts.append(f"of {', '.join(deployments.get(id, f'{id} (deleted)') for id in ids)}")
    if policy["tags"]:
        parts.append(f"tagged {' or '.join(policy['tags'])}")
    return ", ".join(parts) or "all"


@click.command(cls=OrionCommand, examples=(("orion notify inspect ops", ""), ("orion notify show ops -o json", "")))
@click.argument("name", metavar="NOTIFICATION")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show one notification: its states, its runs, its receiver and its message."""
    api = backend()
    found = find_policy(api, name)
    fields = [
        *(Column(one.title.lower(), one.text) for one in _columns(api, [found])),
        Column("message", lambda one: one["message_template"] or "the usual one"),
        Column("created", lambda one: clock.absolute(one["created"])),
    ]
    output.show_one(found, fields)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion notify log", "the newest messages, attempt by attempt"),
        ("orion notify log ops --failed", "what did not arrive"),
        ("orion notify log -o json", "with their whole texts"),
    ),
)
@click.argument("name", metavar="[NOTIFICATION]", required=False)
@click.option("--failed", is_flag=True, help="Only messages that were given up, or wait for another attempt.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="The most messages to show.")
@output_options
@time_options
def log(name: str | None, failed: bool, limit: int, output: Output, clock: Clock) -> None:
    """Show the newest messages with each attempt to deliver them. They are kept for a week."""
    api = backend()
    asked: Json = {"policy_id": {"any_": [find_policy(api, name)["id"]]}} if name else {}
    if failed:
        asked["standing"] = {"any_": ["GIVEN_UP", "WAITING"]}
    show_log(api, asked, limit, output, clock)


def show_log(api: Backend, asked: Json, limit: int, output: Output, clock: Clock) -> None:
    """Messages as the API has them, or a table with a line for each attempt."""
    found = list(api.pages("/notifications/filter", {"notifications": asked} if asked else {}, limit))
    if not output.is_for_people and output.format != "csv":
        output.show_many(found, [], name="id")
        return
    blocks = block_names(api, [one["block_document_id"] for one in found])
    rows = [row for one in found for row in _rows(one, blocks)]
    output.show_many(rows, _log_columns(clock), name="id")
    if output.is_for_people and not found:
        output.terminal.note("No messages.")
    elif output.is_for_people and (waiting := sum(one["standing"] == "WAITING" for one in found)):
        output.terminal.note(f"{counted(waiting, 'message')} still to be delivered.")


def _rows(message: Json, blocks: dict[str, str]) -> list[Json]:
    """One line for each attempt; for what was not tried yet, one that says since when it waits."""
    shared = {"id": message["id"], "to": blocks.get(message["block_document_id"], "-"), "run": message["flow_run_id"]}
    about = first_line(next((line for line in message["body"].splitlines() if line.strip()), ""), 60)
    tries = message["attempts"]
    if not tries:
        return [{**shared, "at": message["created"], "standing": "WAITING", "about": about, "attempt": "-"}]
    return [
        {
            **shared,
            **one,
            "about": about,
            "attempt": f"{number} of {len(tries)}",
            "standing": message["standing"] if number == len(tries) else "WAITING",
        }
        for number, one in enumerate(tries, start=1)
    ]


def _log_columns(clock: Clock) -> list[Column]:
    return [
        Column("WHEN", lambda row: clock.ago(row["at"]), field="at"),
        Column("TO", lambda row: row["to"], field="to"),
        Column("ATTEMPT", lambda row: row["attempt"], field="attempt"),
        Column("STATUS", _standing, field="standing", paint=_paint),
        Column("OUTCOME", lambda row: row.get("outcome") or "not tried yet", field="outcome"),
        Column("ABOUT", lambda row: row["about"], field="about"),
        Column("TOOK", lambda row: duration(row.get("seconds")), field="seconds", wide=True),
        Column("RUN", lambda row: row["run"] or "-", field="run", wide=True),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]


def _standing(row: Json) -> str:
    return STANDINGS.get(row["standing"], (row["standing"], ""))[0]


def _paint(text: str, row: Json) -> str:
    return painted(text, STANDINGS.get(row["standing"], ("", ""))[1])
