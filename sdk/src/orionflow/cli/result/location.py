"""`orion result location`: where `result_storage="lake"` stores, by the settings here or by blocks on the server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from orionflow.calls.blocks import delete_block
from orionflow.cli.backend import Backend, Json
from orionflow.cli.block import blocks_of
from orionflow.cli.block_making import newest_schema, store_block
from orionflow.cli.columns import Col, Columns
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import missing
from orionflow.cli.parameters import read_pairs, read_whole
from orionflow.cli.session import Session, ask_before, command, destructive, limit_option, with_params
from orionflow.results.locations import BLOCK_TYPE, location_of_block

location = LazyGroup(
    "location",
    __name__,
    help=(
        "Named locations of results. Those of ORION_RESULTS_LOCATIONS hold where that is set, and come first; those on "
        "the server hold for every program that asks it."
    ),
    entries={
        "ls": "List the locations of results.",
        "add": "Add a location to the server: a folder or an address.",
        "check": "Check a location: write, read and delete a small result.",
        "delete": "Remove a location from the server; its results stay.",
    },
    examples=(
        ("orion result location add lake s3://bucket/results", ""),
        ("orion result location check lake", "from this machine"),
    ),
)
_COLUMNS: Columns = (
    Col("NAME", "name"), Col("WHERE", "url"), Col("OPTIONS", row=lambda one: ", ".join(one["options"]) or "-"),
    Col("SAID BY", "origin"),
)  # fmt: skip
SETTINGS, SERVER = "ORION_RESULTS_LOCATIONS", "the server"


@command("orion result location ls", ("orion result location ls -o json", "options without their values"))
@with_params(limit_option(200))
def ls(session: Session, limit: int) -> None:
    """List the locations of results by name."""
    found = sorted(_known(session.api, limit), key=lambda one: str(one["name"]))
    session.show_list(found, _COLUMNS, empty="No locations; orion result location add NAME URL makes one.")


def _known(api: Backend, limit: int) -> Iterator[Json]:
    from orionflow.settings import current_settings

    own = current_settings().results_locations
    yield from (_row(one.name, one.url, one.options, SETTINGS) for one in own)
    named = {one.name for one in own}
    for block in blocks_of(api, BLOCK_TYPE, limit):
        if block["name"] not in named:
            yield _row(block["name"], block["data"].get("url"), block["data"].get("options") or {}, SERVER)


def _row(name: str, url: Any, options: Any, origin: str) -> Json:
    return {"name": name, "url": url, "options": sorted(options), "origin": origin}


@command(
    ("orion result location add lake s3://bucket/results", "with the credentials of each machine"),
    ("orion result location add minio s3://results endpoint_url=http://minio:9000", ""),
    ("orion result location add minio s3://results --options @minio.json", "secrets from a file"),
    ("orion result location add team /data/team", "a folder that the machines share"),
)
@click.argument("name")
@click.argument("url")
@click.argument("pairs", metavar="[OPTION=VALUE]...", nargs=-1)
@click.option("--options", "whole", metavar="JSON", help="All options as one JSON object, or @FILE; @- is stdin.")
@click.option("--overwrite", is_flag=True, help="Replace the location of this name.")
def add(session: Session, name: str, url: str, pairs: Sequence[str], whole: str | None, overwrite: bool) -> None:
    """Add a location to the server, for flows, tasks and deployments: result_storage="NAME".

    Options are passed to the file system of the address, and stored encrypted. Without a key in them, each machine uses
    its own credentials.
    """
    content = {"url": url, "options": {**read_whole(whole, "--options"), **read_pairs(pairs, "OPTION")}}
    location_of_block(name, content)
    store_block(session.api, newest_schema(session.api, BLOCK_TYPE), name, content, overwrite=overwrite)
    made = _row(name, url, content["options"], SERVER)
    session.report(f"Results can be stored in {name}; orion result location check {name} tries it from here.", made)


@command(("orion result location check lake", "exit 1 when it fails"), ("orion result location check lake -o json", ""))
@click.argument("name")
def check(session: Session, name: str) -> int:
    """Write, read and delete a small result in a location, from this machine and with its settings."""
    from orionflow.results.locations import find_location, is_name

    found = find_location(name) if is_name(name) else None
    if found is None:
        names = [one["name"] for one in _known(session.api, 1000)]
        raise missing("location", name, names, command="orion result location ls")
    began = time.perf_counter()
    problem = _tried(name)
    row = {
        "name": name, "url": found.url, "ok": not problem, "problem": problem,
        "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    if session.for_people and problem:
        raise CommandFailed(ExitCode.FAILED, f"Results cannot be stored in {name} ({found.url}) from here.", problem)
    session.report(f"{name} ({found.url}) stores and gives back: {row['seconds']:.2f} s.", row)
    return ExitCode.FAILED if problem else ExitCode.DONE


def _tried(name: str) -> str:
    """Test a location; return the problem with it, or an empty text."""
    from orionflow.contract.ids import uuid7
    from orionflow.results.locations import LocatedStore, store_of_location

    key, content = f"orion-check-{uuid7().hex}", b"of orion result location check"
    try:
        store = store_of_location(name)
        assert isinstance(store, LocatedStore)
        store.write(key, content)
        try:
            if store.read(key) != content:
                return "It gives back something else than was written."
        finally:
            store.delete(key)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@command(("orion result location delete lake --dry-run", ""), "orion result location rm lake --yes")
@click.argument("name")
@destructive
def delete(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Remove a location from the server. Its results stay, and cannot be read until it is added again."""
    found = [one for one in blocks_of(session.api, BLOCK_TYPE, 1000) if one["name"] == name]
    if not found:
        from orionflow.settings import current_settings

        if any(one.name == name for one in current_settings().results_locations):
            raise CommandFailed(ExitCode.USAGE, f"{name} is named by {SETTINGS}.", fix="remove it there")
        names = [one["name"] for one in _known(session.api, 1000)]
        raise missing("location", name, names, command="orion result location ls")
    if dry_run:
        session.note(f"Would forget the location {name}.")
        return
    ask_before(f"forget the location {name}", yes=yes)
    session.api.ask(delete_block(found[0]["id"]))
    session.note(f"Forgot the location {name}.")
    if not session.for_people:
        session.show_one(_row(name, found[0]["data"].get("url"), found[0]["data"].get("options") or {}, SERVER))
