"""`orion result purge`: delete results that have expired or that nothing refers to, if this machine can reach them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from posixpath import normpath
from typing import Any

import click

from orionflow.calls.server import read_me
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Col
from orionflow.cli.doctor import size as as_size
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.result.listing import COLUMNS, is_there, pages, wanted, whole_pages
from orionflow.cli.session import Session, ask_before, command, destructive

_ORPHANS = (
    Col("KEY", "storage_key"),
    Col("SIZE", "size", row=lambda one: as_size(one["size"])),
    Col("WHERE", "storage"),
)


@command(
    ("orion result purge --dry-run", "what has expired and is still there?"),
    ("orion result purge --yes", "from a timer, on a machine that sees the stores"),
    ("orion result purge --location lake --yes", "only in one location"),
    ("orion result purge --orphans --dry-run", "what did deleted runs leave in the usual folder?"),
    times=True,
)
@click.option("--location", metavar="NAME", help="Only in this location or folder.")
@click.option("--orphans", is_flag=True, help="Delete those that no run of this server refers to, instead.")
@click.option("--and-archived", is_flag=True, help="With --orphans, those of archived runs as well.")
@destructive
def purge(
    session: Session, location: str | None, orphans: bool, and_archived: bool, yes: bool, dry_run: bool
) -> None:  # fmt: skip
    """Delete results that have expired, by the result_expiration or the cache_expiration of their flow or task.

    Runs and states stay. Results in stores that this machine cannot reach stay.

    With --orphans, delete results that no run refers to, in one location or folder (by default the usual one): only
    files with a name that Orion made, older than a day. Do not use it where runs of another server store results.
    A server that archives runs does not list their results: --and-archived says that they may go, too."""
    if orphans:
        _purge_orphans(session, location, and_archived=and_archived, yes=yes, dry_run=dry_run)
    else:
        _purge_expired(session, location, yes=yes, dry_run=dry_run)


def _purge_expired(session: Session, location: str | None, *, yes: bool, dry_run: bool) -> None:
    from orionflow.results.stores import store_named_by_reference

    asked = wanted(session, location=location, expired=True)
    found = [{**row, "there": True} for row in _unused(session, pages(session.api, asked)) if is_there(row)]
    what = f"{_total(found)} that have expired"
    if found and not dry_run:
        ask_before(f"delete {what}", yes=yes)
        for row in found:
            _delete(store_named_by_reference(row["storage"]), row["storage_key"])
    session.show_list(found, COLUMNS, empty="No result that this machine sees has expired.", name="storage_key")
    _conclude(session, found, what, dry_run=dry_run)


def _unused(session: Session, expired: Iterable[Json]) -> list[Json]:
    """Return those whose place is not shared by a result that has not expired: runs may share a result_storage_key."""
    from orionflow.contract.result_keys import MADE_BY_US

    rows = list(expired)
    shared = {row["storage"] for row in rows if not MADE_BY_US.fullmatch(row["storage_key"])}
    used = {
        _place(row)
        for where in shared
        for row in pages(session.api, {"storage": where})
        if row["expiration"] is None or datetime.fromisoformat(row["expiration"]) > session.clock.now
    }
    return [row for row in rows if _place(row) not in used]


def _place(row: Json) -> tuple[str | None, str]:
    return row["storage"], normpath(row["storage_key"])


def _purge_orphans(session: Session, location: str | None, *, and_archived: bool, yes: bool, dry_run: bool) -> None:
    from orionflow.results.orphans import orphans_in
    from orionflow.results.stores import store_of

    store = store_of(location)
    # Files first: results that are stored meanwhile are then among the known ones, and also too young.
    files = {one.key: one.size for one in orphans_in(store, ())}
    known = _known_keys(session.api, store.where, and_archived=and_archived) if files else set()
    found: list[Json] = [
        {"storage_key": key, "size": size, "storage": store.where} for key, size in files.items() if key not in known
    ]
    what = f"{_total(found)} that no run refers to"
    if found and not dry_run:
        ask_before(f"delete {what} in {store.where}", yes=yes)
        for row in found:
            _delete(store, row["storage_key"])
    session.show_list(found, _ORPHANS, empty=f"Every result in {store.where} has its run.", name="storage_key")
    _conclude(session, found, what, dry_run=dry_run)


def _known_keys(api: Backend, where: str, *, and_archived: bool) -> set[str]:
    """Return the keys that runs refer to. A user must see all runs, or results of others would seem orphaned."""
    if "runs.read" not in api.ask(read_me())["actions"]:
        raise CommandFailed(
            ExitCode.NOT_ALLOWED, "Orphans can only be found by who may see every run.",
            "results of the other runs would count as orphans", "use a key with a role on everything",
        )  # fmt: skip
    known: set[str] = set()
    for page in whole_pages(api, {"storage": where}):
        if page.get("archives") and not and_archived:
            raise CommandFailed(
                ExitCode.USAGE, "This server moves runs to an archive, and does not list their results.",
                "results that archived runs refer to would count as orphans", "add --and-archived to delete these, too",
            )  # fmt: skip
        known.update(row["storage_key"] for row in page["results"])
    return known


def _delete(store: Any, key: str) -> None:
    if delete := getattr(store, "delete", None):
        delete(key)


def _total(found: list[Json]) -> str:
    size = as_size(sum(row["size"] or 0 for row in found))
    return f"1 result ({size})" if len(found) == 1 else f"{len(found)} results ({size})"


def _conclude(session: Session, found: list[Json], what: str, *, dry_run: bool) -> None:
    if found and session.for_people:
        session.note(f"{'Would delete' if dry_run else 'Deleted'} {what}.")
