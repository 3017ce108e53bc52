"""`orion global-concurrency-limit`: limits with slots that flows share by name."""

from __future__ import annotations

import click

from orionflow.calls.slots import GLOBAL_LIMITS
from orionflow.cli.backend import Json, without_none
from orionflow.cli.columns import ID, Col, Columns, yes_or
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.resource import Options, Resource
from orionflow.cli.session import Session, command, with_params
from orionflow.cli.style import counted

global_limit = LazyGroup(
    "global-concurrency-limit",
    __name__,
    help="Slots of anything that flows agree on by name; with a decay they return by themselves, which makes a rate.",
    entries={
        "Look": {
            "ls": "List global limits.",
            "inspect": "Show a global limit.",
            "holders": "Show the runs that hold slots of a global limit.",
        },
        "Act": {
            "create": "Create a global limit.",
            "update": "Change a global limit.",
            "enable": "Enable a global limit.",
            "disable": "Disable a global limit.",
            "delete": "Delete a global limit.",
        },
    },
    examples=(
        ("orion global-concurrency-limit create database 5", "five connections at once"),
        ("orion gcl create mail 10 --decay 0.5", "ten at once, then one in two seconds"),
    ),
)
DECAY = click.Option(
    ["--decay"], type=click.FloatRange(min=0), metavar="SLOTS", help="Slots that become free each second."
)


def _changes(options: Options) -> Json:
    names = {"slots": "limit", "decay": "slot_decay_per_second", "taken": "active_slots"}
    changes = without_none({field: options[option] for option, field in names.items()})
    if not changes:
        raise click.UsageError("Say what to change: --slots, --decay or --taken.")
    return changes


_COLUMNS: Columns = (
    Col("NAME", "name"), Col("TAKEN", "active_slots", row=lambda one: f"{one['active_slots']} of {one['limit']}"),
    Col("DECAY", "slot_decay_per_second", row=lambda one: f"{one['slot_decay_per_second']:g}/s"),
    Col("ACTIVE", "active", yes_or("off")), ID,
)  # fmt: skip
LIMIT = Resource("global concurrency limit", GLOBAL_LIMITS, _COLUMNS, times=False, changed_as_list=False)
ls = LIMIT.ls(
    "List global limits, and how many of their slots are taken.",
    "orion global-concurrency-limit ls",
    "orion gcl ls -o json",
    empty="No global limits.",
)
inspect = LIMIT.inspect("Show a global limit.", "orion global-concurrency-limit inspect database")
update = LIMIT.change(
    "Change a global limit.",
    "orion global-concurrency-limit update database --slots 8",
    changes=_changes,
    done="changed",
    params=[
        click.Option(["--slots"], type=click.IntRange(min=0), metavar="N", help="The number of slots."),
        DECAY,
        click.Option(
            ["--taken"],
            type=click.IntRange(min=0),
            metavar="N",
            help="The number of slots that count as taken from now on.",
        ),
    ],
)
enable = LIMIT.change(
    "Enable a global limit.",
    "orion global-concurrency-limit enable database",
    changes={"active": True},
    done="applies again",
)
disable = LIMIT.change(
    "Disable a global limit: no flow waits for its slots until it is enabled again.",
    "orion global-concurrency-limit disable database",
    changes={"active": False},
    done="lets everybody pass",
)
delete = LIMIT.delete(
    "Delete a global limit. Flows that require it fail.",
    "orion global-concurrency-limit delete database --dry-run",
    "orion gcl delete database --yes",
    what="the limit {}",
)


def _count_unknown(session: Session, found: Json) -> None:
    known = sum(run["slots"] for run in found["holders"])
    if found["taken"] > known:
        session.note(f"{found['taken'] - known} more are held by unknown holders.")


holders = LIMIT.held(
    "Show the runs that hold slots of a global limit. Holders that did not identify themselves are only counted.",
    "orion global-concurrency-limit holders database",
    side="holders",
    nobody="No run is known to hold a slot.",
    below=_count_unknown,
)


@command(
    "orion global-concurrency-limit create files 5",
    ("orion gcl create calls 10 --decay 2", "two slots return each second"),
)
@click.argument("name")
@click.argument("slots", type=click.IntRange(min=0))
@with_params(DECAY)
@click.option("--disabled", is_flag=True, help="Create it disabled.")
def create(session: Session, name: str, slots: int, decay: float | None, disabled: bool) -> None:
    """Create a global limit with this number of SLOTS."""
    fields = {"name": name, "limit": slots, "slot_decay_per_second": decay, "active": not disabled}
    session.report(f"{name}: {counted(slots, 'slot')}.", session.api.ask(GLOBAL_LIMITS.create(without_none(fields))))
