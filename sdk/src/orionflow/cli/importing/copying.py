"""The plan of an import and its execution: which objects are new, different or equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from orionflow.calls.server import read_api_version
from orionflow.cli.backend import Backend
from orionflow.cli.deploy.diff import NEW, SAME, Plan, plan_for
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.importing.fitting import fitted
from orionflow.cli.importing.naming import why_left_out
from orionflow.cli.importing.reading import READERS, Thing, World
from orionflow.cli.importing.writing import write
from orionflow.cli.output import Column
from orionflow.cli.session import Session, ask_before
from orionflow.errors import ApiUnreachable
from orionflow.settings.values import read_url, shown_url

GROUPS: Mapping[str, tuple[str, ...]] = {
    "variables": ("variable",),
    "limits": ("tag limit", "global limit"),
    "blocks": ("block type", "block schema", "block"),
    "pools": ("work pool", "work queue"),
    "flows": ("flow",),
    "deployments": ("deployment",),
}
# Objects that others refer to are copied with them.
NEEDS = {"deployments": ("blocks", "pools", "flows")}
SUPPORTED_VERSION = "0.8."


@dataclass(frozen=True, slots=True)
class Step:
    """One object of the old server in the form for this one, the stored object here, and the resulting action."""

    wanted: Thing
    stored: Thing | None
    plan: Plan

    def row(self) -> dict[str, Any]:
        return {"kind": self.wanted.kind, **self.plan.as_object()}


COLUMNS = [
    Column("KIND", lambda row: row["kind"], field="kind"),
    Column("NAME", lambda row: row["name"], field="name"),
    Column("PLAN", lambda row: row["plan"], field="plan"),
    Column("FIELDS", lambda row: ", ".join(one["field"] for one in row["changes"]), field="changes"),
]


def copy_from(session: Session, url: str, *, only: str | None, paused: bool, yes: bool, dry_run: bool) -> None:
    kinds = _kinds(only)
    source, target = World(_old_server(url)), World(session.api)
    notes: list[str] = []
    steps = [
        _step(thing, target, paused=paused)
        for kind in kinds
        for thing in _fitted(_wanted(source, kind), source, target, notes)
    ]
    to_do = [step for step in steps if step.plan.kind != SAME]
    for note in notes:
        session.note(note)
    _show(session, steps, to_do, dry_run=dry_run)
    if dry_run or not to_do:
        return
    ask_before(f"copy {len(to_do)} things from {shown_url(url)}", yes=yes)
    for step in to_do:
        _take(step, target)
    session.note(f"Copied {len(to_do)} things. Runs, logs and artifacts stay on the old server.")


def _kinds(only: str | None) -> list[str]:
    """Return the requested kinds and those that they need, in an order in which references exist when they are used."""
    asked = [one.strip() for one in only.split(",")] if only else list(GROUPS)
    if unknown := [one for one in asked if one not in GROUPS]:
        raise click.UsageError(f"--only knows {', '.join(GROUPS)}; not {', '.join(unknown)}.")
    groups = {*asked, *(needed for one in asked for needed in NEEDS.get(one, ()))}
    kinds = {kind for group in groups for kind in GROUPS[group]}
    return [kind for kind in READERS if kind in kinds]


def _old_server(url: str) -> Backend:
    try:
        read_url(url)
    except ValueError as why:
        raise click.UsageError(f"--url {shown_url(url)} {why}.") from None
    version = _version_of(url)
    if not version.startswith(SUPPORTED_VERSION):
        raise CommandFailed(
            ExitCode.VERSIONS_DIFFER,
            f"{shown_url(url)} speaks version {version} of the API.",
            "only servers of Prefect 2 (and of Orion) can be copied from, which speak 0.8",
        )
    return Backend(url=url)


def _version_of(url: str) -> str:
    # Sent once, because the SDK's messages about retries mention the API of the settings.
    try:
        return str(Backend(url=url, patience_seconds=0).ask(read_api_version()))
    except ApiUnreachable as silence:
        why = str(silence.__cause__ or "")
        fix = "start the server to copy from, or correct --url"
        raise CommandFailed(ExitCode.UNREACHABLE, f"{shown_url(url)} does not answer.", why, fix) from silence


def _wanted(source: World, kind: str) -> Iterator[Thing]:
    """Yield the objects worth copying: only block types and schemas that blocks use. Clients register the others."""
    if kind == "block":
        yield from _inner_first(source.of("block"))
        return
    schemas = {thing.body["block_schema"] for thing in source.of("block").values()} if "block" in kind else set()
    in_use = {"block schema": schemas, "block type": {name.partition(" ")[0] for name in schemas}}.get(kind)
    for thing in source.of(kind).values():
        if in_use is None or thing.name in in_use:
            yield thing


def _fitted(things: Iterable[Thing], source: World, target: World, notes: list[str]) -> Iterator[Thing]:
    for thing in things:
        if note := why_left_out(thing, target):
            notes.append(note)
            continue
        if thing.kind == "deployment" and thing.body["schedules"]:
            thing, changed = fitted(thing, source, target)
            notes += changed
        yield thing


def _inner_first(blocks: Mapping[str, Thing]) -> Iterator[Thing]:
    """Yield blocks so that those contained in others come first."""
    done: set[str] = set()

    def with_inner(thing: Thing) -> Iterator[Thing]:
        if thing.name in done:
            return
        done.add(thing.name)
        for value in thing.body["data"].values():
            if isinstance(value, dict) and value.keys() == {"$ref"}:
                yield from with_inner(blocks[value["$ref"]])
        yield thing

    for thing in blocks.values():
        yield from with_inner(thing)


def _step(thing: Thing, target: World, *, paused: bool) -> Step:
    stored = target.of(thing.kind).get(thing.name)
    if paused and thing.kind == "deployment":
        # Only new deployments: one that was resumed here stays active when the import is repeated.
        thing = replace(thing, body={**thing.body, "paused": stored.body.get("paused", False) if stored else True})
    if thing.kind == "block schema" and stored is not None:
        return Step(thing, stored, Plan(thing.name, SAME))
    if thing.kind == "work pool" and stored is not None:
        thing = replace(thing, body={name: value for name, value in thing.body.items() if name != "type"})
    return Step(thing, stored, plan_for(thing.name, thing.body, stored.body if stored else None))


def _take(step: Step, target: World) -> None:
    from orionflow.errors import ApiError

    try:
        write(target, step.wanted, step.stored)
    except ApiError as error:
        what = f"The {step.wanted.kind} {step.wanted.name} was refused: {error}"
        fix = "mend it on the old server or leave it out with --only, and repeat; what was copied is not copied again"
        raise CommandFailed(ExitCode.CONFLICT, what, "", fix) from error


def _show(session: Session, steps: list[Step], to_do: list[Step], *, dry_run: bool) -> None:
    if not session.for_people:
        session.output.show_many([step.row() for step in steps], COLUMNS)
        return
    for kind, counts in _counted(steps).items():
        plans = ", ".join(f"{number} {plan}" for plan, number in sorted(counts.items()))
        session.terminal.out(f"{kind}s: {plans}")
    for step in to_do:
        fields = "" if step.plan.kind == NEW else f" ({', '.join(one.field for one in step.plan.changes)})"
        session.terminal.out(f"  {step.plan.kind} {step.wanted.kind} {step.wanted.name}{fields}")
    if not to_do:
        session.note("Everything is here already.")
    elif dry_run:
        session.note("Nothing was done; leave out --dry-run to do it.")


def _counted(steps: list[Step]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for step in steps:
        counts.setdefault(step.wanted.kind, Counter())[step.plan.kind] += 1
    return counts
