"""`orion database …`: check the database, upgrade it, or empty it. Django is imported when a command runs."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orionflow.cli.errors import CommandFailed, ExitCode

if TYPE_CHECKING:
    from deployments.upkeep.selectors.invariants.laws import Violation
    from orion_site.database.lifecycle import Change, Report

# Cases that are shown of each violated invariant.
MOST_SHOWN = 5
SECONDS_BETWEEN_WORDS = 5.0


_output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the outcome."
)


def _as_json(outcome: object) -> None:
    click.echo(json.dumps(outcome, default=str))


@click.group()
def database() -> None:
    """Create, check, upgrade or reset the database of this machine's Orion."""


@database.command(short_help="Bring the database up to date; create it if there is none.")
@click.option("--dry-run", is_flag=True, help="Show what would be applied, and change nothing.")
@click.option("--later", is_flag=True, help="Leave rows of earlier versions as they are until the next upgrade.")
@click.option("--ahead", is_flag=True, help="Copy a SQLite file that is to be rewritten, while servers work on it.")
@click.option("--drop-copy", is_flag=True, help="Delete what --ahead copied, and have changes noted no longer.")
@_output_option
def upgrade(dry_run: bool, later: bool, ahead: bool, drop_copy: bool, output: str) -> None:
    """Bring the database up to date; create it if there is none.

    Then states that an earlier version stored are folded into the rows of their runs. Servers may run meanwhile. If
    the command is stopped, run it again to continue.

    A SQLite file whose ids are texts is rewritten, for which no process may have it open. With --ahead most of that is
    done while servers of the earlier version work; the upgrade takes what has changed since, and is short. Two million
    changes are noted at most; after that, everything is copied again. --drop-copy gives up such an upgrade.

    \b
    Example: orion database upgrade
    Example: orion database upgrade --ahead
    Example: orion database upgrade --later
    """
    with django_ready():
        from orion_site.database import lifecycle as whole

        if dry_run:
            report = whole.check()
            _as_json(asdict(report)) if output == "json" else _print_plan(report)
        elif ahead:
            _copy_ahead(output)
        elif drop_copy:
            _drop_copy(output)
        else:
            change = whole.upgrade()
            _as_json(asdict(change)) if output == "json" else _print_change(change)
            if not later and not change.created:
                _fold_states()


def _copy_ahead(output: str) -> None:
    from orion_site.database import lifecycle as whole

    copied = whole.copy_ahead()
    if output == "json":
        _as_json({"place": str(whole.place()), "copied": copied})
    elif copied:
        click.echo(
            f"Copied the database {whole.place()}. Now stop whatever has it open and run: orion database upgrade\n"
            "Changes are noted until then. If you will not upgrade, run: orion database upgrade --drop-copy",
            err=True,
        )
    else:
        click.echo(f"The database {whole.place()} need not be copied; run: orion database upgrade", err=True)


def _drop_copy(output: str) -> None:
    from orion_site.database import lifecycle as whole

    dropped = whole.drop_copy()
    if output == "json":
        _as_json({"place": str(whole.place()), "dropped": dropped})
    else:
        outcome = "Dropped the copy of the database" if dropped else "There is no copy of the database"
        click.echo(f"{outcome} {whole.place()}.", err=True)


@database.command(short_help="Report whether the database can be used.")
@click.option("--deep", is_flag=True, help="Have the database verify its own pages and rows, which takes a while.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the report.")
def check(deep: bool, output: str) -> None:
    """Report whether the database can be used; exit code 1 if not.

    Example: orion database check --deep
    """
    with django_ready():
        from orion_site.database import lifecycle as whole

        report = whole.check(deep=deep)
    if output == "json":
        click.echo(json.dumps({**asdict(report), "ok": report.ok}))
    else:
        _print_report(report)
    if not report.ok:
        raise click.exceptions.Exit(1)


@database.command(short_help="Check the invariants of stored runs.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the findings."
)
def verify(output: str) -> None:
    """Check the invariants of stored runs, without disturbing servers; exit code 1 if one is violated.

    Example: orion database verify
    """
    with django_ready():
        from deployments.upkeep.selectors.invariants import violations
        from orchestration.database_clock import current_time
        from orion_site.database.lifecycle import sorting_in_files

        with sorting_in_files():
            found = violations(current_time())
            number = _print_all(found) if output == "json" else _print_summary(found)
    if number:
        raise click.exceptions.Exit(1)


@database.command(short_help="Delete everything and start empty.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_output_option
def reset(yes: bool, output: str) -> None:
    """Delete every run and everything else that Orion stored, and start with an empty database.

    Example: orion database reset --yes
    """
    with django_ready():
        from orion_site.audit.entrances import record_command
        from orion_site.database import lifecycle as whole

        if not yes:
            ask_first(f"Delete everything that is stored in {whole.place()}?")
        whole.reset()
        record_command("database.reset", "ResetDatabase")
        click.echo(f"The database {whole.place()} is empty now.", err=True)
        if output == "json":
            _as_json({"place": str(whole.place()), "empty": True})


@database.command(short_help="Copy the SQLite database while servers run.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_output_option
def backup(file: Path, output: str) -> None:
    """Copy the SQLite database to FILE, whole and checked, while servers run.

    Example: orion database backup /backups/orion-2026-11-21.db
    """
    with django_ready():
        from orion_site.database.backup import BackupRefused
        from orion_site.database.backup import backup as copy

        try:
            megabytes = copy(file) / 1e6
        except FileExistsError as error:
            raise CommandFailed(ExitCode.CONFLICT, str(error)) from error
        except BackupRefused as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from error
        click.echo(f"Copied the database to {file} ({megabytes:.1f} MB).", err=True)
        if output == "json":
            _as_json({"file": str(file), "megabytes": round(megabytes, 3)})


def ask_first(question: str) -> None:
    """Continue only if the user confirms."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is there to ask; repeat the command with --yes.")
    click.confirm(question, abort=True, err=True)


@contextmanager
def django_ready() -> Iterator[None]:
    """Set up Django with the server's settings; errors end with the exit codes of the SDK's commands.

    An unusable database exits with code 3, as in the SDK's commands; invalid settings with code 2.
    """
    from orion_site.http.options import CannotStart
    from orion_site.http.startup import settings_ready

    try:
        settings_ready()
    except CannotStart as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from error
    from django.db import DatabaseError, OperationalError

    from orion_site.database.lifecycle import DatabaseUnusable

    try:
        yield
    except (DatabaseUnusable, DatabaseError) as error:
        # Other subclasses are errors in statements, not of the database. A damaged file raises DatabaseError itself.
        if isinstance(error, DatabaseError) and type(error) not in (DatabaseError, OperationalError):
            raise
        raise CommandFailed(ExitCode.UNREACHABLE, str(error)) from error


def _migrations(number: int) -> str:
    return "one migration" if number == 1 else f"{number} migrations"


def _print_all(found: Iterable[Violation]) -> int:
    number = 0
    for number, violation in enumerate(found, 1):
        click.echo(("[" if number == 1 else ", ") + json.dumps(violation._asdict()), nl=False)
    click.echo("]" if number else "[]")
    return number


def _print_summary(found: Iterable[Violation]) -> int:
    """Print each violated invariant with the number of cases and the first ones, instead of thousands of lines."""
    cases: Counter[str] = Counter()
    first: dict[str, list[Violation]] = {}
    for violation in found:
        law = violation.invariant
        cases[law] += 1
        if cases[law] <= MOST_SHOWN:
            first.setdefault(law, []).append(violation)
    for law, number in cases.most_common():
        click.echo(f"{number:>8,}  {law}")
        for violation in first[law]:
            click.echo(f"          {violation}")
        if number > MOST_SHOWN:
            click.echo(f"          … and {number - MOST_SHOWN:,} more (-o json has all)")
    if not cases:
        click.echo("Everything holds.")
    return cases.total()


def _print_plan(report: Report) -> None:
    if report.missing:
        click.echo("\n".join(report.missing))
    else:
        click.echo(report.problem or f"The database {report.place} is up to date.", err=True)


def _print_change(change: Change) -> None:
    if change.created:
        click.echo(f"Created the database {change.place}.", err=True)
    elif change.applied:
        click.echo(f"Applied {_migrations(len(change.applied))} to {change.place}.", err=True)
    else:
        click.echo(f"The database {change.place} is up to date.", err=True)


def _fold_states() -> None:
    """Fold the states of earlier runs, and print the progress every few seconds."""
    from runs.states.services import Progress, fold_stored_states, is_folded

    if is_folded():
        return
    printed_at = began = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal printed_at
        if time.monotonic() - printed_at > SECONDS_BETWEEN_WORDS:
            if printed_at == began:
                click.echo("Folding the states of earlier task runs; servers may start in the meantime.", err=True)
            printed_at = time.monotonic()
            click.echo(f"{progress.looked_at:,} task runs so far.", err=True)

    done = fold_stored_states(show)
    # Print nothing about a few runs whose states cannot be folded.
    if done.folded or printed_at != began:
        click.echo(f"Folded the states of {done.folded:,} of {done.looked_at:,} task runs.", err=True)


def _print_report(report: Report) -> None:
    click.echo(f"database  {report.vendor} {report.version}".rstrip())
    click.echo(f"place     {report.place}")
    if report.unknown:
        click.echo(f"newer     {_migrations(len(report.unknown))} of a newer Orion applied")
    click.echo(f"state     {report.problem or 'good'}")
