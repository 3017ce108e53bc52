"""`orion concurrency-limit`: how many task runs with a tag may run at once, which hold the slots and which wait."""

from __future__ import annotations

import click

from orionflow.calls.slots import TAG_LIMITS, read_holders, release_tag_slot, reset_tag_limit
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, Columns, ago
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.lookup import find_task_run
from orionflow.cli.resource import Resource
from orionflow.cli.run_tables import show_holders
from orionflow.cli.session import YES, Session, ask_before, command, destructive, with_params
from orionflow.cli.style import counted

concurrency_limit = LazyGroup(
    "concurrency-limit",
    __name__,
    help="Limits on how many task runs with a tag run at once.",
    entries={
        "Look": {
            "ls": "List the limits of tags.",
            "inspect": "Show the limit of a tag.",
            "holders": "Show the task runs that hold the slots of a tag.",
            "waiters": "Show the task runs that wait for a slot of a tag.",
        },
        "Act": {
            "create": Entry("Limit a tag, or change its limit.", aliases=("set",)),
            "release": "Free the slot of one task run.",
            "reset": "Free all slots of a tag.",
            "delete": "Delete the limit of a tag.",
        },
    },
    examples=(
        ("orion concurrency-limit create gpu 2", "two task runs tagged gpu at once"),
        ("orion cl holders gpu", "who is in the way?"),
    ),
)


def _show_holders_of(session: Session, limit: Json) -> None:
    if limit["active_slots"]:
        session.terminal.out("\nholders:")
        show_holders(session, session.api.ask(read_holders(TAG_LIMITS, limit["tag"]))["holders"], "")


_COLUMNS: Columns = (
    Col("TAG", "tag"),
    Col("HELD", "active_slots", row=lambda one: f"{len(one['active_slots'])} of {one['concurrency_limit']}"),
    Col("CREATED", "created", ago), ID,
)  # fmt: skip
LIMIT = Resource("concurrency limit", TAG_LIMITS, _COLUMNS, metavar="TAG", key="tag")
ls = LIMIT.ls(
    "List the limits of tags, and how many of their slots are held.",
    "orion concurrency-limit ls",
    "orion cl ls -o json",
    empty="No tag is limited.",
)
inspect = LIMIT.inspect(
    "Show the limit of a tag and who holds its slots.", "orion concurrency-limit inspect gpu", below=_show_holders_of
)
delete = LIMIT.delete(
    "Delete the limit of a tag: its task runs no longer wait for slots.",
    "orion concurrency-limit delete gpu --dry-run",
    "orion cl delete gpu --yes",
    what="the limit of {}",
    as_list=True,
)


holders = LIMIT.held(
    "Show the task runs that hold the slots of a tag now.",
    "orion concurrency-limit holders gpu",
    side="holders",
    nobody="Nobody holds a slot of {}.",
)
waiters = LIMIT.held(
    "Show the task runs that wait for a slot of a tag, the oldest first.",
    "orion concurrency-limit waiters gpu",
    side="waiters",
    nobody="Nobody waits for a slot of {}.",
)


@command("orion concurrency-limit create gpu 2", ("orion cl create gpu 3", "change it"), times=True)
@click.argument("tag")
@click.argument("slots", type=click.IntRange(min=0))
def create(session: Session, tag: str, slots: int) -> None:
    """Limit how many task runs with a tag run at once, or change the limit. 0 stops them."""
    made = session.api.ask(TAG_LIMITS.create({"tag": tag, "concurrency_limit": slots}))
    if session.for_people:
        session.announce(f"{tag}: {slots} at once at most.")
    else:
        LIMIT.show(session, [made])


@command(
    ("orion concurrency-limit release gpu @last --dry-run", "only say whose"),
    "orion cl release gpu @last --yes",
    times=True,
)
@click.argument("tag")
@click.argument("task_run", metavar="TASK_RUN")
@destructive
def release(session: Session, tag: str, task_run: str, yes: bool, dry_run: bool) -> None:
    """Free the slot of one task run, without a change to the run. For runs whose process has died."""
    limit = LIMIT.found(session, tag)
    run = find_task_run(session.api, task_run)
    if run["id"] not in limit["active_slots"]:
        session.note(f"{run['name']} holds no slot of {tag}.")
        return
    if dry_run:
        session.note(f"Would take the slot of {tag} from {run['name']}.")
        return
    ask_before(f"take the slot of {tag} from {run['name']}", yes=yes)
    session.api.ask(release_tag_slot(limit["tag"], run["id"]))
    session.note(f"{run['name']} holds no slot of {tag} any more.")
    _show_to_programs(session, tag)


@command(("orion concurrency-limit reset gpu --yes", "when their processes are gone"), times=True)
@click.argument("tag")
@with_params(YES)
def reset(session: Session, tag: str, yes: bool) -> None:
    """Free all slots of a tag, whichever runs hold them."""
    limit = LIMIT.found(session, tag)
    held = counted(len(limit["active_slots"]), "slot")
    if limit["active_slots"]:
        ask_before(f"free {held} of {tag}", yes=yes)
    session.api.ask(reset_tag_limit(limit["tag"]))
    session.note(f"Freed {held} of {tag}.")
    _show_to_programs(session, tag)


def _show_to_programs(session: Session, tag: str) -> None:
    if not session.for_people:
        LIMIT.show(session, [LIMIT.found(session, tag)])
