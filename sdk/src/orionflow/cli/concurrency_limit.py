"""`orion concurrency-limit`: how many task runs with a tag may run at once, who holds the slots and who waits."""

from __future__ import annotations

from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.counting import counted
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import named
from orionflow.cli.holding import show_runs
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.options import Output, ask_before, destructive, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import Clock

HERE = "orionflow.cli.concurrency_limit"
LOOK, ACT = "Look", "Act"

concurrency_limit = LazyGroup(
    "concurrency-limit",
    context_settings=HELP_NAMES,
    help="Limits on how many task runs with a tag run at once.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List the limits of tags.", section=LOOK),
        "inspect": Entry(f"{HERE}:inspect", "Show the limit of a tag.", ("show",), LOOK),
        "holders": Entry(f"{HERE}:holders", "The task runs that hold the slots of a tag.", section=LOOK),
        "waiters": Entry(f"{HERE}:waiters", "The task runs that wait for a slot of a tag.", section=LOOK),
        "create": Entry(f"{HERE}:create", "Limit a tag, or change its limit.", ("set",), ACT),
        "release": Entry(f"{HERE}:release", "Take the slot of one task run away from it.", section=ACT),
        "reset": Entry(f"{HERE}:reset", "Free all slots of a tag.", section=ACT),
        "delete": Entry(f"{HERE}:delete", "Delete the limit of a tag.", ("rm",), ACT),
    },
    examples=(
        ("orion concurrency-limit create gpu 2", "two task runs tagged gpu at once"),
        ("orion cl holders gpu", "who is in the way?"),
    ),
)


@click.command(cls=OrionCommand, examples=(("orion concurrency-limit ls", ""), ("orion cl ls -o json", "")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(limit: int, output: Output, clock: Clock) -> None:
    """List the limits of tags, and how many of their slots are held."""
    found = list(backend().pages("/concurrency_limits/filter", {}, limit))
    output.show_many(found, _columns(clock), name="tag")
    if output.is_for_people and not found:
        output.terminal.note("No tag is limited.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("TAG", lambda one: one["tag"], field="tag"),
        Column("HELD", lambda one: f"{len(one['active_slots'])} of {one['concurrency_limit']}", field="active_slots"),
        Column("CREATED", lambda one: clock.ago(one["created"]), field="created"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


@click.command(cls=OrionCommand, examples=(("orion concurrency-limit inspect gpu", ""),))
@click.argument("tag")
@output_options
@time_options
def inspect(tag: str, output: Output, clock: Clock) -> None:
    """Show the limit of a tag and who holds its slots."""
    api = backend()
    found = _find(api, tag)
    output.show_one(found, [Column(one.title.lower(), one.text) for one in _columns(clock)], name="tag")
    if output.is_for_people and found["active_slots"]:
        output.terminal.out("\nholders:")
        show_runs(_holding(api, tag)["holders"], "", output, clock)


@click.command(cls=OrionCommand, examples=(("orion concurrency-limit holders gpu", ""),))
@click.argument("tag")
@output_options
@time_options
def holders(tag: str, output: Output, clock: Clock) -> None:
    """The task runs that hold the slots of a tag now."""
    show_runs(_holding(backend(), tag)["holders"], f"Nobody holds a slot of {tag}.", output, clock)


@click.command(cls=OrionCommand, examples=(("orion concurrency-limit waiters gpu", ""),))
@click.argument("tag")
@output_options
@time_options
def waiters(tag: str, output: Output, clock: Clock) -> None:
    """The task runs that wait for a slot of a tag, the oldest first."""
    show_runs(_holding(backend(), tag)["waiters"], f"Nobody waits for a slot of {tag}.", output, clock)


def _holding(api: Backend, tag: str) -> Json:
    _find(api, tag)
    found: Json = api.get(f"{_path(tag)}/holders")
    return found


@click.command(
    cls=OrionCommand, examples=(("orion concurrency-limit create gpu 2", ""), ("orion cl create gpu 3", "change it"))
)
@click.argument("tag")
@click.argument("slots", type=click.IntRange(min=0))
@output_options
@time_options
def create(tag: str, slots: int, output: Output, clock: Clock) -> None:
    """Limit how many task runs with a tag run at once, or change that; 0 lets none run."""
    made = backend().post("/concurrency_limits/", {"tag": tag, "concurrency_limit": slots})
    if output.is_for_people:
        output.terminal.say(f"{tag}: {slots} at once at most.")
    else:
        output.show_many([made], _columns(clock), name="tag")


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion concurrency-limit release gpu @last --dry-run", "only say whose"),
        ("orion cl release gpu @last --yes", ""),
    ),
)
@click.argument("tag")
@click.argument("task_run", metavar="TASK_RUN")
@destructive
@output_options
@time_options
def release(tag: str, task_run: str, yes: bool, dry_run: bool, output: Output, clock: Clock) -> None:
    """Take the slot of one task run away from it, and leave it running. For runs whose process is gone."""
    from orionflow.cli.addressing import find_task_run

    api, terminal = backend(), current_terminal()
    held = _find(api, tag)["active_slots"]
    run = find_task_run(api, task_run)
    if run["id"] not in held:
        terminal.note(f"{run['name']} holds no slot of {tag}.")
        return
    if dry_run:
        terminal.note(f"Would take the slot of {tag} from {run['name']}.")
        return
    ask_before(f"take the slot of {tag} from {run['name']}", yes=yes)
    api.post(f"{_path(tag)}/release", {"task_run_id": run["id"]})
    terminal.note(f"{run['name']} holds no slot of {tag} any more.")
    _show_to_programs(api, tag, output, clock)


@click.command(
    cls=OrionCommand, examples=(("orion concurrency-limit reset gpu --yes", "when their processes are gone"),)
)
@click.argument("tag")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_options
@time_options
def reset(tag: str, yes: bool, output: Output, clock: Clock) -> None:
    """Free all slots of a tag, whoever holds them."""
    api = backend()
    held = len(_find(api, tag)["active_slots"])
    if held:
        ask_before(f"free {counted(held, 'slot')} of {tag}", yes=yes)
    api.post(f"{_path(tag)}/reset")
    current_terminal().note(f"Freed {counted(held, 'slot')} of {tag}.")
    _show_to_programs(api, tag, output, clock)


def _show_to_programs(api: Backend, tag: str, output: Output, clock: Clock) -> None:
    if not output.is_for_people:
        output.show_many([_find(api, tag)], _columns(clock), name="tag")


@click.command(
    cls=OrionCommand,
    examples=(("orion concurrency-limit delete gpu --dry-run", ""), ("orion cl delete gpu --yes", "")),
)
@click.argument("tag")
@destructive
@output_options
@time_options
def delete(tag: str, yes: bool, dry_run: bool, output: Output, clock: Clock) -> None:
    """Delete the limit of a tag: its task runs run as they come."""
    api = backend()
    found = _find(api, tag)
    gone = delete_at(api, _path(tag), f"the limit of {tag}", yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_many([found], _columns(clock), name="tag")


def _find(api: Backend, tag: str) -> Json:
    return named(api, _path(tag), "concurrency limit", tag, "/concurrency_limits/filter", key="tag")


def _path(tag: str) -> str:
    return f"/concurrency_limits/tag/{quote(tag, safe='')}"
