"""The context of one command: the API, the output format, and the time zone.

`command` turns a function whose first argument is the session into a command. It adds the shared options: -o, --json
and --columns, and with `times=True` also --tz and --utc.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import Any

import click

from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Columns, columns_for
from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.output import TABLES, Output, chosen_output, output_params
from orionflow.cli.safe_text import one_line
from orionflow.cli.terminal import Terminal, current_terminal
from orionflow.cli.times import Clock, make_clock

Example = str | tuple[str, str]


class Session:
    """The context of a command while it runs."""

    def __init__(self, output: Output, clock: Clock) -> None:
        self.output = output
        self.clock = clock

    @cached_property
    def api(self) -> Backend:
        return Backend()

    @property
    def terminal(self) -> Terminal:
        return self.output.terminal

    @property
    def for_people(self) -> bool:
        """Whether a user reads the answer; programs get the API's own objects."""
        return self.output.is_for_people

    @property
    def shows_columns(self) -> bool:
        """Whether the answer has the columns of a table, so that names for ids are worth a request."""
        return self.output.format in TABLES

    def announce(self, text: str) -> None:
        """Print on stdout that something was done."""
        self.terminal.announce(text)

    def note(self, text: str) -> None:
        """Print on stderr."""
        self.terminal.note(text)

    def show_list(self, rows: Sequence[Json], columns: Columns, *, empty: str = "", name: str = "name") -> None:
        """Show a list; in place of an empty table, users get the sentence `empty`."""
        self.output.show_many(rows, columns_for(self.clock, columns), name=name)
        if self.for_people and not rows and empty:
            self.note(empty)

    def show_one(self, thing: Json, fields: Columns | None = None, *, name: str = "name") -> None:
        """Show the fields of one object."""
        self.output.show_one(thing, columns_for(self.clock, fields, texts=True) if fields else None, name=name)

    def report(self, sentence: str, thing: Json | Callable[[], Json], *, name: str = "name") -> None:
        """Report what was done: to a user by a sentence, to a program by the current object."""
        if self.for_people:
            self.announce(sentence)
        else:
            self.show_one(thing() if callable(thing) else thing, name=name)


def bare_session() -> Session:
    """Return the session of a command without output options."""
    return Session(Output("table", (), current_terminal()), make_clock())


def command(
    *examples: Example, name: str | None = None, times: bool = False
) -> Callable[[Callable[..., Any]], OrionCommand]:
    """Turn a function that takes a session and the values of its options into a command."""

    def build(run: Callable[..., Any]) -> OrionCommand:
        own = getattr(run, "__click_params__", [])
        return make_command(run, [*reversed(own)], examples, name=name, times=times)

    return build


def make_command(
    run: Callable[..., Any], params: Sequence[click.Parameter], examples: Sequence[Example], *, help: str = "",
    name: str | None = None, times: bool = False,
) -> OrionCommand:  # fmt: skip
    """Return a command whose parameters are given as data; the shared options follow them."""

    @wraps(run)
    def with_session(
        *, format: str, as_json: bool, columns: str | None, tz: str | None = None, utc: bool = False, **options: Any
    ) -> Any:
        session = Session(chosen_output(format, as_json, columns), make_clock(zone_name=tz, utc=utc))
        return run(session, **options)

    return OrionCommand(
        name or run.__name__.strip("_").replace("_", "-"),
        callback=with_session,
        params=[*params, *output_params(), *(time_params() if times else [])],
        help=inspect.cleandoc(help or run.__doc__ or ""),
        examples=tuple((one, "") if isinstance(one, str) else one for one in examples),
    )


def time_params() -> list[click.Parameter]:
    """Return the options for the zone in which times are shown and read."""
    return [
        click.Option(["--tz"], metavar="ZONE", help="Show and read times in this zone, such as Europe/Berlin."),
        click.Option(["--utc"], is_flag=True, help="Show and read times in UTC."),
    ]


def with_params(*params: click.Parameter) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add parameters to a function decorated by `command`, in the order in which help shows them."""

    def add(run: Callable[..., Any]) -> Callable[..., Any]:
        # click collects them from the last decorator to the first.
        run.__dict__.setdefault("__click_params__", []).extend(reversed(params))
        return run

    return add


MOST_ROWS = 1_000_000_000


def limit_option(default: int = 200, *, help: str = "Show at most this many.") -> click.Option:
    """Return --limit, which every list has."""
    # Not 0: a list that shows nothing would say that there is nothing.
    return click.Option(["--limit"], default=default, show_default=True, type=click.IntRange(1, MOST_ROWS), help=help)


def sort_option(sorts: Sequence[str]) -> click.Option:
    """Return --sort, whose default is the first order."""
    return click.Option(["--sort"], type=click.Choice(sorts), default=sorts[0], show_default=True, help="The order.")


SPAN = (
    click.Option(["--since"], metavar="TIME", help="Only those since then, such as -1h."),
    click.Option(["--until"], metavar="TIME", help="Only those until then."),
)


def span_of(session: Session, since: str | None, until: str | None) -> Json:
    """Return the time bounds in the API's form."""
    given = {"since": since, "until": until}
    return {name: session.clock.moment(text).isoformat() for name, text in given.items() if text}


YES = click.Option(["-y", "--yes"], is_flag=True, help="Do not ask.")
DRY_RUN = click.Option(["--dry-run"], is_flag=True, help="Only show what would be done.")
FORCE = click.Option(["--force"], is_flag=True, help="Delete it even if something uses it.")
destructive = with_params(YES, DRY_RUN)


def ask_before(what: str, *, yes: bool) -> None:
    """Continue only if the user agrees; without a terminal, refuse instead of waiting forever."""
    terminal = current_terminal()
    if yes:
        return
    if not terminal.is_interactive:
        raise CommandFailed(
            ExitCode.USAGE,
            f"Refused to {what} without being asked to.",
            "this is not a terminal, so questions cannot be answered",
            "add --yes",
        )
    if not click.confirm(f"Really {one_line(what)}?", err=True):
        raise CommandFailed(ExitCode.USAGE, "Nothing was done.")
