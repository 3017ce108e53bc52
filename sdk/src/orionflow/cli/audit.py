"""`orion audit`: who changed what, and whether the audit log is complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from orionflow.calls.server import read_audit_log, verify_audit_log
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import ID, Col, ago
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.safe_text import as_json
from orionflow.cli.session import SPAN, Session, command, limit_option, span_of, with_params

PAGE = 200

audit = LazyGroup(
    "audit",
    __name__,
    help="The audit log: who changed what, when and from where. Its entries are chained and never changed.",
    entries={
        "ls": "List entries of the audit log, newest first.",
        "verify": "Follow the chain, and name the first wrong entry.",
    },
    examples=(
        ("orion audit ls --since -24h", "what was changed today"),
        ("orion audit verify", "is the record whole?"),
    ),
)


@command(
    ("orion audit ls", "the newest 20"),
    ("orion audit ls --actor 'local owner' --since -24h", "what one user did"),
    ("orion audit ls --action blocks.secrets", "who read secrets"),
    ("orion audit ls -o json", "with the values before and after"),
    times=True,
)
@click.option("--actor", metavar="NAME", help="Of this user, key or program.")
@click.option("--action", metavar="ACTION", help="Such as deployments.change or blocks.secrets.")
@click.option("--object", metavar="ID", help="About this object: its id, or kind:id.")
@click.option("--kind", metavar="KIND", help="About objects of this kind, such as deployment.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@with_params(*SPAN, limit_option(20))
def ls(
    session: Session, since: str | None, until: str | None, refused: bool, limit: int, **options: str | None
) -> None:
    """List entries of the audit log, newest first."""
    asked: Json = {name: value for name, value in options.items() if value} | span_of(session, since, until)
    asked |= {"result": "refused"} if refused else {}
    columns = [
        Col("WHEN", "at", ago),
        Col("ACTOR", "actor"),
        Col("WHAT", "operation"),
        Col("OBJECT", "object_name", row=_object),
        Col("RESULT", "result"),
        Col("FROM", "address", wide=True),
        Col("ENTRANCE", "entrance", wide=True),
        Col("BEFORE", "before", row=lambda one: as_json(one["before"]) if one["before"] else "-", wide=True),
        Col("AFTER", "after", row=lambda one: as_json(one["after"]) if one["after"] else "-", wide=True),
        Col("REASON", "reason", wide=True),
        ID,
    ]
    session.show_list(list(_entries(session.api, asked, limit)), columns, empty="No entries.", name="id")


def _object(entry: Json) -> str:
    return " ".join(filter(None, (entry["object_kind"], entry["object_name"] or entry["object_id"]))) or "-"


def _entries(api: Backend, asked: Json, limit: int) -> Iterator[Json]:
    """Yield entries, page by page. A page may be empty without being the last one, as each search is limited."""
    after = None
    while limit > 0:
        page: Json = api.ask(read_audit_log(asked, limit=min(PAGE, limit), after=after))
        yield from page["entries"]
        limit, after = limit - len(page["entries"]), page["after"]
        if after is None:
            return


@command(
    ("orion audit verify", "exit code 1 if something is wrong"),
    ("orion audit verify -o json", "with the last hash, to be kept elsewhere"),
)
def verify(session: Session) -> None:
    """Follow the chain of all entries, and name the first that is missing, changed, inserted or swapped.

    Store the printed hash elsewhere: a user with write access to the database could compute a new chain, but not one
    with this hash.
    """
    entries, reached, go_on = 0, None, None
    while True:
        step: Json = session.api.ask(verify_audit_log(go_on))
        entries, reached, go_on = entries + step["entries"], step["reached"] or reached, step["go_on"]
        if step["finding"] or go_on is None:
            break
    found: Json | None = step["finding"]
    outcome: dict[str, Any] = {"ok": found is None, "entries": entries, "reached": reached, "finding": found}
    if found is None:
        head = f" The last one is number {reached['number']} of {reached['day']}: {reached['hash']}." if reached else ""
        session.report(f"The audit log is whole; entries: {entries}.{head}", outcome, name="ok")
        return
    if not session.for_people:
        session.report("", outcome, name="ok")
    raise CommandFailed(ExitCode.FAILED, f"Entry {found['number']} of {found['day']}: {found['problem']}.")
