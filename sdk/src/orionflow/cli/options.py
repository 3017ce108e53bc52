"""Options that many commands share: the form of the answer, the time zone, the guards of what destroys."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.output import Output, chosen_output, output_option_list
from orionflow.cli.safe_text import one_line
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import make_clock

__all__ = ["Output", "ask_before", "destructive", "output_options", "time_options"]

Command = Callable[..., Any]


def output_options(command: Command) -> Command:
    """Adds -o, --json and --columns; the command gets one `output`."""

    @wraps(command)
    def with_output(*args: Any, format: str, as_json: bool, columns: str | None, **kwargs: Any) -> Any:
        return command(*args, output=chosen_output(format, as_json, columns), **kwargs)

    return _with_options(with_output, output_option_list())


def time_options(command: Command) -> Command:
    """Adds --tz and --utc; the command gets one `clock`."""

    @wraps(command)
    def with_clock(*args: Any, tz: str | None, utc: bool, **kwargs: Any) -> Any:
        return command(*args, clock=make_clock(zone_name=tz, utc=utc), **kwargs)

    options = [
        click.option("--tz", metavar="ZONE", help="Show and read times in this zone, such as Europe/Berlin."),
        click.option("--utc", is_flag=True, help="Show and read times in UTC."),
    ]
    return _with_options(with_clock, options)


def destructive(command: Command) -> Command:
    """Adds --yes and --dry-run."""
    options = [
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    ]
    return _with_options(command, options)


def forced(command: Command) -> Command:
    """Adds --force."""
    return _with_options(command, [click.option("--force", is_flag=True, help="Also if deployments or runs use it.")])


def _with_options(command: Command, options: list[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def ask_before(what: str, *, yes: bool) -> None:
    """Go on only if the user agrees; where nobody can answer, refuse instead of waiting for ever."""
    terminal = current_terminal()
    if yes:
        return
    if not terminal.is_interactive:
        raise CommandFailed(
            ExitCode.USAGE,
            f"Refused to {what} without being asked to.",
            "nobody can answer a question here",
            "add --yes",
        )
    if not click.confirm(f"Really {one_line(what)}?", err=True):
        raise CommandFailed(ExitCode.USAGE, "Nothing was done.")
