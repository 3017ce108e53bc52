"""`orion problem`: failures of one cause as one line, and the decisions of users about them."""

from __future__ import annotations

from collections.abc import Callable
from string import hexdigits

import click

from orionflow.calls.problems import (
    PROBLEMS,
    assign_problem,
    mute_problem,
    preview_problem_retry,
    read_waiting,
    resolve_problem,
    retry_problem,
    unmute_problem,
)
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, Columns, absolute, ago, line
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import ambiguous, missing
from orionflow.cli.resource import Options, Resource
from orionflow.cli.session import Session, ask_before, command, destructive
from orionflow.cli.style import counted
from orionflow.contract.ids import uuid7

STATUSES = ("new", "regressed", "ongoing", "muted", "resolved")
# The statuses that need attention.
OPEN = STATUSES[:3]

problem = LazyGroup(
    "problem",
    __name__,
    help="Failures of one cause, grouped. A PROBLEM is its id, the beginning of one, or @last.",
    entries={
        "ls": "List problems: causes that runs fail by.",
        "waiting": "List what due runs are waiting for.",
        "show": "Show a problem: its cause, runs and history.",
        "retry": "Retry all failed runs of a problem.",
        "mute": "Hide a problem until something changes.",
        "unmute": "Show a muted problem again.",
        "resolve": "Close a problem; a later failure reopens it.",
        "assign": "Assign a problem to a person.",
    },
    examples=(
        ("orion problem ls", "what fails, and how often?"),
        ("orion problem show @last", "the one that failed last"),
        ("orion problem retry @last --dry-run", "how many can be retried?"),
    ),
)


def _find(session: Session, wanted: str) -> Json:
    digits = wanted.replace("-", "").lower()
    if wanted == "@last":
        found = list(session.api.pages(PROBLEMS, {}, 1))
    elif digits and len(digits) <= 32 and not set(digits) - set(hexdigits):
        found = list(session.api.pages(PROBLEMS, {"problems": {"id": {"startswith_": digits}}}, 10))
    else:
        found = []
    if len(found) > 1:
        raise ambiguous("problem", wanted, [f"{one['id']}  {one['title']}" for one in found])
    if not found:
        raise missing("problem", wanted, [], command="orion problem ls --all")
    return found[0]


def _extent(one: Json) -> str:
    return (
        f"{counted(one['runs'], 'run')}, {one['failed']} failed now" if one["failed"] else counted(one["runs"], "run")
    )


def _names(field: str) -> Callable[[Json], str]:
    def text(one: Json) -> str:
        names = one[field]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "-"

    return text


def _short_id(one: Json) -> str:
    return str(one["id"])[:8]


_COLUMNS: Columns = (
    Col("ID", "id", row=_short_id), Col("STATUS", "status"), Col("CAUSE", "title", line(70)), Col("IN", "place"),
    Col("RUNS", "runs"), Col("FLOWS", "flows", row=_names("flows")),
    Col("VERSIONS", "versions", row=_names("versions"), wide=True), Col("FIRST", "first_seen", ago, wide=True),
    Col("LAST", "last_seen", ago), Col("WHOSE", "assignee", wide=True),
)  # fmt: skip
PROBLEM = Resource("problem", PROBLEMS, _COLUMNS, metavar="PROBLEM", key="id", find=_find)


def _narrow(session: Session, options: Options) -> Json:
    wanted: Json = {}
    if options["status"]:
        wanted["status"] = {"any_": list(options["status"])}
    elif not options["every"]:
        wanted["status"] = {"any_": list(OPEN)}
    if options["assignee"]:
        wanted["assignee"] = {"any_": [options["assignee"]]}
    return {"problems": wanted} if wanted else {}


ls = PROBLEM.ls(
    "List problems that are new, regressed or ongoing, the latest failure first.",
    "orion problem ls",
    ("orion problem ls --status muted", "those that are muted"),
    ("orion problem ls --all -o json", "resolved ones as well, for a program"),
    empty="No open problems. To include muted and resolved ones: orion problem ls --all.",
    params=[
        click.Option(["--status"], type=click.Choice(STATUSES), multiple=True, help="Only these. May be repeated."),
        click.Option(["--all", "every"], is_flag=True, help="Include muted and resolved ones."),
        click.Option(["--assignee"], metavar="NAME", help="Only those of this person."),
    ],
    narrow=_narrow,
)


def _muting(one: Json) -> str:
    if one["status"] != "muted":
        return "-"
    parts = [
        f"until {one['muted_until']}" if one["muted_until"] else "",
        f"until it has failed {one['muted_until_failures']} times" if one["muted_until_failures"] else "",
        f"until another version than {one['muted_in_version'] or 'the unknown one'} fails"
        if one["muted_in_version"] is not None
        else "",
    ]
    return ", or ".join(filter(None, parts)) or "until it is unmuted"


_FIELDS: Columns = (
    Col("cause", "title"), Col("in", "place"), Col("message", "message"), Col("status", "status"),
    Col("runs", "runs", row=_extent), Col("failures", "failures"), Col("flows", "flows", row=_names("flows")),
    Col("versions", "versions", row=_names("versions")), Col("first", "first_seen", absolute),
    Col("last", "last_seen", absolute), Col("newest run", "newest_run_id"), Col("whose", "assignee"),
    Col("muted", "muted_until", row=_muting), Col("resolved", "resolution"), Col("id", "id"),
)  # fmt: skip


def _runs_below(session: Session, one: Json) -> None:
    if one["newest_run_id"]:
        session.note(f"What the newest run says: orion flow-run why {one['newest_run_id'][:8]}")
    if one["failed"]:
        session.note(f"Its runs: orion flow-run ls problem:{_short_id(one)}")
        session.note(f"Retry them: orion problem retry {_short_id(one)} --dry-run")


show = PROBLEM.inspect(
    "Show a problem: its cause, runs and history.",
    "orion problem show @last",
    fields=_FIELDS,
    below=_runs_below,
    plain=True,
)


_WAITING: Columns = (
    Col("WAITS FOR", "reason", line(80)), Col("RUNS", "runs"), Col("SINCE", "since", ago),
    Col("FLOWS", "flows", row=_names("flows")), Col("WHAT HELPS", "fix", line(80)),
    Col("OLDEST", "oldest_run_id", wide=True),
)  # fmt: skip


@command("orion problem waiting", times=True)
def waiting(session: Session) -> None:
    """List what late runs are waiting for."""
    found = session.api.ask(read_waiting())
    session.show_list(found, _WAITING, empty="No run waits longer than it should.", name="oldest_run_id")


@command(
    ("orion problem retry @last --dry-run", "how many can be retried, and why not the others?"),
    ("orion problem retry @last --yes", "retry them"),
)
@click.argument("problem", metavar="PROBLEM")
@destructive
def retry(session: Session, problem: str, yes: bool, dry_run: bool) -> None:
    """Retry all failed runs of a problem as one bulk action. The problem closes when they complete."""
    found = PROBLEM.found(session, problem)
    preview = session.api.ask(preview_problem_retry(found["id"]))
    if dry_run or not preview["can"]:
        if not session.for_people:
            session.show_one(preview, name="can")
            return
        session.announce(_previewed(preview))
        return
    ask_before(f"retry {counted(preview['can'], 'run')} that failed by {found['title']}", yes=yes)
    begun = session.api.ask(retry_problem(found["id"], id=uuid7()))
    numbers = ", ".join(f"{begun[name]} {name}" for name in ("done", "refused", "failed", "left") if begun[name])
    session.report(f"Retry {counted(begun['total'], 'run')}: {numbers}.", begun, name="id")
    if session.for_people and begun["status"] == "active":
        session.note(f"It continues: orion bulk inspect {begun['id']}")


def _previewed(preview: Json) -> str:
    newest = "Of the newest 1,000: " if preview["is_cut"] else ""
    reasons = "; ".join(f"{number}: {reason}" for reason, number in preview["reasons"].items())
    cannot = f", {preview['cannot']} cannot ({reasons})" if preview["cannot"] else ""
    return f"{newest}{preview['can']} can be retried{cannot}."


@command(
    ("orion problem mute @last --grows-by 100", "until it has failed 100 times more"),
    ("orion problem mute @last --other-version", "until another version of the code fails by it"),
    ("orion problem mute @last --until +2d", "for two days"),
    times=True,
)
@click.argument("problem", metavar="PROBLEM")
@click.option("--until", metavar="TIME", help="Until this time, such as +2d.")
@click.option("--grows-by", type=click.IntRange(min=1), metavar="N", help="Until it has failed N more times.")
@click.option("--other-version", is_flag=True, help="Until another version of the code has the same failure.")
def mute(session: Session, problem: str, until: str | None, grows_by: int | None, other_version: bool) -> None:
    """Hide a problem until the first of these conditions is met; without any, until it is unmuted."""
    found = PROBLEM.found(session, problem)
    wanted: Json = {"other_version": other_version}
    if until:
        wanted["until"] = session.clock.moment(until).isoformat()
    if grows_by:
        wanted["grows_by"] = grows_by
    muted = session.api.ask(mute_problem(found["id"], wanted))
    session.report(f"Muted {_muting(muted)}: {muted['title']}", muted, name="id")


@command("orion problem unmute @last")
@click.argument("problem", metavar="PROBLEM")
def unmute(session: Session, problem: str) -> None:
    """Reopen a problem that was muted or resolved."""
    changed = session.api.ask(unmute_problem(PROBLEM.found(session, problem)["id"]))
    session.report(f"It is {changed['status']}: {changed['title']}", changed, name="id")


@command("orion problem resolve @last")
@click.argument("problem", metavar="PROBLEM")
def resolve(session: Session, problem: str) -> None:
    """Close a problem. A later run that fails by it reopens it, as regressed."""
    changed = session.api.ask(resolve_problem(PROBLEM.found(session, problem)["id"]))
    session.report(f"Resolved: {changed['title']}", changed, name="id")


@command("orion problem assign @last ada", ("orion problem assign @last", "to nobody"))
@click.argument("problem", metavar="PROBLEM")
@click.argument("name", metavar="[NAME]", default="")
def assign(session: Session, problem: str, name: str) -> None:
    """Assign a problem to a user; without a name, remove the assignment."""
    changed = session.api.ask(assign_problem(PROBLEM.found(session, problem)["id"], name))
    whose = changed["assignee"] or "nobody"
    session.report(f"Assigned to {whose}: {changed['title']}", changed, name="id")
