"""`orion global-concurrency-limit`: slots of anything that flows agree on by name."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend, without_none
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import named
from orionflow.cli.holding import show_runs
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.options import Output, destructive, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock

HERE = "orionflow.cli.global_limit"
LOOK, ACT = "Look", "Act"

global_limit = LazyGroup(
    "global-concurrency-limit",
    context_settings=HELP_NAMES,
    help="Slots of anything that flows agree on by name; with a decay they return by themselves, which makes a rate.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List global limits.", section=LOOK),
        "inspect": Entry(f"{HERE}:inspect", "Show a global limit.", ("show",), LOOK),
        "holders": Entry(f"{HERE}:holders", "The runs that hold slots of a global limit.", section=LOOK),
        "create": Entry(f"{HERE}:create", "Create a global limit.", section=ACT),
        "update": Entry(f"{HERE}:update", "Change a global limit.", section=ACT),
        "enable": Entry(f"{HERE}:enable", "Let a limit hold again.", section=ACT),
        "disable": Entry(f"{HERE}:disable", "Let everybody pass a limit.", section=ACT),
        "delete": Entry(f"{HERE}:delete", "Delete a global limit.", ("rm",), ACT),
    },
    examples=(
        ("orion global-concurrency-limit create database 5", "five connections at once"),
        ("orion gcl create mail 10 --decay 0.5", "ten at once, then one in two seconds"),
    ),
)


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit ls", ""), ("orion gcl ls -o json", "")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
def ls(limit: int, output: Output) -> None:
    """List global limits, and how many of their slots are taken."""
    found = list(backend().pages("/v2/concurrency_limits/filter", {}, limit))
    output.show_many(found, _columns())
    if output.is_for_people and not found:
        output.terminal.note("No global limits.")


def _columns() -> list[Column]:
    return [
        Column("NAME", lambda one: one["name"], field="name"),
        Column("TAKEN", lambda one: f"{one['active_slots']} of {one['limit']}", field="active_slots"),
        Column("DECAY", lambda one: f"{one['slot_decay_per_second']:g}/s", field="slot_decay_per_second"),
        Column("ACTIVE", lambda one: "yes" if one["active"] else "off", field="active"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit inspect database", ""),))
@click.argument("name")
@output_options
def inspect(name: str, output: Output) -> None:
    """Show a global limit."""
    output.show_one(_find(backend(), name), [Column(one.title.lower(), one.text) for one in _columns()])


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit holders database", ""),))
@click.argument("name")
@output_options
@time_options
def holders(name: str, output: Output, clock: Clock) -> None:
    """The runs that hold slots of a global limit. Slots of those that did not say who they are are only counted."""
    api = backend()
    _find(api, name)
    found = api.get(f"{_path(name)}/holders")
    known = sum(run["slots"] for run in found["holders"])
    show_runs(found["holders"], "No run is known to hold a slot.", output, clock)
    if output.is_for_people and found["taken"] > known:
        output.terminal.note(f"{found['taken'] - known} more are held by nobody that is known.")


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion global-concurrency-limit create files 5", ""),
        ("orion gcl create calls 10 --decay 2", "two slots return each second"),
    ),
)
@click.argument("name")
@click.argument("slots", type=click.IntRange(min=0))
@click.option("--decay", type=click.FloatRange(min=0), metavar="SLOTS", help="So many slots return each second.")
@click.option("--disabled", is_flag=True, help="Let everybody pass for now.")
@output_options
def create(name: str, slots: int, decay: float | None, disabled: bool, output: Output) -> None:
    """Create a global limit of so many SLOTS."""
    said = {"name": name, "limit": slots, "slot_decay_per_second": decay, "active": not disabled}
    made = backend().post("/v2/concurrency_limits/", without_none(said))
    if output.is_for_people:
        output.terminal.say(f"{name}: {slots} slot{'' if slots == 1 else 's'}.")
    else:
        output.show_one(made)


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit update database --slots 8", ""),))
@click.argument("name")
@click.option("--slots", type=click.IntRange(min=0), metavar="N", help="How many there are.")
@click.option("--decay", type=click.FloatRange(min=0), metavar="SLOTS", help="So many slots return each second.")
@click.option("--taken", type=click.IntRange(min=0), metavar="N", help="How many count as taken from now on.")
@output_options
def update(name: str, slots: int | None, decay: float | None, taken: int | None, output: Output) -> None:
    """Change a global limit."""
    said = {"limit": slots, "slot_decay_per_second": decay, "active_slots": taken}
    changes = without_none(said)
    if not changes:
        raise click.UsageError("Say what to change: --slots, --decay or --taken.")
    _change(name, changes, "changed", output)


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit enable database", ""),))
@click.argument("name")
@output_options
def enable(name: str, output: Output) -> None:
    """Let a limit hold again."""
    _change(name, {"active": True}, "holds again", output)


@click.command(cls=OrionCommand, examples=(("orion global-concurrency-limit disable database", ""),))
@click.argument("name")
@output_options
def disable(name: str, output: Output) -> None:
    """Let everybody pass a limit until it is enabled again."""
    _change(name, {"active": False}, "lets everybody pass", output)


def _change(name: str, changes: dict[str, Any], done: str, output: Output) -> None:
    api = backend()
    _find(api, name)
    api.request("PATCH", _path(name), changes)
    if output.is_for_people:
        output.terminal.say(f"{name} {done}.")
    else:
        output.show_one(_find(api, name))


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion global-concurrency-limit delete database --dry-run", ""),
        ("orion gcl delete database --yes", ""),
    ),
)
@click.argument("name")
@destructive
@output_options
def delete(name: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a global limit. Flows that take slots of it fail, unless they may do without."""
    api = backend()
    found = _find(api, name)
    gone = delete_at(api, _path(name), f"the limit {name}", yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_one(found)


def _find(api: Backend, name: str) -> Json:
    return named(api, _path(name), "global concurrency limit", name, "/v2/concurrency_limits/filter")


def _path(name: str) -> str:
    return f"/v2/concurrency_limits/{quote(name, safe='')}"
