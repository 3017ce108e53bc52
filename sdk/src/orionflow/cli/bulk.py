"""`orion bulk`: one command for all runs that a query finds, executed by the server."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.calls.bulk_actions import BULK_ACTIONS, stop_bulk_action
from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, Columns, absolute, ago
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import ambiguous, by_prefix, listed, missing
from orionflow.cli.query import flow_run_filters
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, ask_before, command, destructive
from orionflow.cli.style import counted
from orionflow.contract.ids import uuid7

ACTIONS = ("retry", "cancel", "delete")

bulk = LazyGroup(
    "bulk",
    __name__,
    help="One command for many runs, carried out by the server. A BULK is its id, the beginning of one, or @last.",
    entries={
        "ls": "List bulk actions.",
        "inspect": "Show the progress of a bulk action.",
        "start": "Retry, cancel or delete all runs that match.",
        "stop": "Stop a bulk action; what was changed stays.",
    },
    examples=(
        ('orion bulk start retry "state:failed since:-24h" --yes', "the newest 10,000 at most"),
        ("orion bulk inspect @last", "how far has it come?"),
    ),
)


def _find(session: Session, wanted: str) -> Json:
    every = listed(session.api, BULK_ACTIONS)
    found = every[:1] if wanted == "@last" else by_prefix(every, wanted)
    if len(found) > 1:
        raise ambiguous("bulk action", wanted, [f"{one['id']}  {_title(one)}" for one in found])
    if not found:
        raise missing("bulk action", wanted, [], command="orion bulk ls")
    return found[0]


def _title(one: Json) -> str:
    return f"{one['action']} {counted(one['total'], 'run')}"


def _progress(one: Json) -> str:
    numbers = [f"{one[name]} {name}" for name in ("done", "refused", "failed", "left") if one[name]]
    return ", ".join(numbers) or "-"


_COLUMNS: Columns = (
    Col("ID", "id"), Col("ACTION", "action", row=_title), Col("STATUS", "status"),
    Col("RUNS", "done", row=_progress), Col("BY", "author"), Col("BEGUN", "created", ago),
)  # fmt: skip
BULK = Resource("bulk action", BULK_ACTIONS, _COLUMNS, metavar="BULK", key="id", find=_find)
ls = BULK.ls(
    "List bulk actions, the newest first.",
    "orion bulk ls",
    empty="No bulk actions; begin one with orion bulk start.",
)


def _stayed(one: Json) -> str:
    """Return the reasons, the most frequent ones first."""
    reasons = sorted(one["reasons"].items(), key=lambda reason: -reason[1])
    return "; ".join(f"{number}: {reason}" for reason, number in reasons) or "-"


_FIELDS: Columns = (
    Col("action", "action", row=_title), Col("from tasks", row=lambda one: ", ".join(one.get("from_tasks", [])) or "-"),
    Col("status", "status"), Col("runs", "done", row=_progress),
    Col("unchanged", "reasons", row=_stayed), Col("by", "author"), Col("begun", "created", absolute),
    Col("ended", "ended_at", absolute), Col("id", "id"),
)  # fmt: skip
inspect = BULK.inspect("Show the progress of a bulk action.", "orion bulk inspect @last", fields=_FIELDS, plain=True)


@command(
    ('orion bulk start retry "state:failed since:-24h" --yes', "what failed today"),
    ('orion bulk start retry "flow:etl state:failed" --from @failed --yes', "from the tasks that did not complete"),
    ('orion bulk start cancel "flow:etl state:pending" --dry-run', "only say how many"),
    times=True,
)
@click.argument("action", metavar="ACTION", type=click.Choice(ACTIONS))
@click.argument("query", metavar="QUERY")
@click.option("--from", "from_tasks", metavar="TASK", multiple=True, help="Retry each run from this task, or @failed.")
@destructive
def start(
    session: Session, action: str, query: str, from_tasks: Sequence[str], yes: bool, dry_run: bool
) -> None:  # fmt: skip
    """Retry, cancel or delete all runs that match. The server does it; this command does not wait.

    Up to 200 runs are changed at once. Runs that the rules refuse stay as they are.
    """
    if from_tasks and action != "retry":
        raise click.UsageError("--from goes with retry.")
    filters = flow_run_filters([query], session.clock, session.api)
    number = session.api.ask(FLOW_RUNS.count(filters))
    if dry_run or not number:
        session.note(f"Would {action} {counted(number, 'run')}." if number else "No runs match.")
        return
    ask_before(f"{action} {counted(number, 'run')}", yes=yes)
    more = {"from_tasks": list(from_tasks)} if from_tasks else {}
    begun = session.api.ask(BULK_ACTIONS.create({**filters, **more, "action": action, "id": str(uuid7())}))
    session.report(f"{_title(begun).capitalize()}: {_progress(begun)}.", begun, name="id")
    if session.for_people and begun["status"] == "active":
        session.note(f"It continues: orion bulk inspect {begun['id']}")


@command("orion bulk stop @last")
@click.argument("bulk", metavar="BULK")
def stop(session: Session, bulk: str) -> None:
    """Stop a bulk action. Runs that it changed stay changed."""
    found = BULK.found(session, bulk)
    session.api.ask(stop_bulk_action(found["id"]))
    ended = session.api.ask(BULK_ACTIONS.read(found["id"]))
    session.report(f"{_title(ended).capitalize()}: {ended['status']}, {_progress(ended)}.", ended, name="id")
