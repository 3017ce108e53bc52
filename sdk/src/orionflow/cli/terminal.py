"""The terminal of a command: data goes to stdout, everything else to stderr.

Colours and icons are only used if they can be shown, and untrusted text is always cleaned before it is printed.
"""

from __future__ import annotations

import os
import sys

import click

from orionflow.cli.safe_text import printable, styled


class Terminal:
    """Flags and environment that decide how the command communicates with its user."""

    def __init__(self) -> None:
        self.debug = False
        self.quiet = False
        self.verbose = 0
        self.no_color = False

    @property
    def is_interactive(self) -> bool:
        """Whether a user can answer a question."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def shows_live(self) -> bool:
        """Whether stdout is a screen that can be redrawn."""
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def has_color(self, *, stderr: bool = False) -> bool:
        if self.no_color or os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        stream = sys.stderr if stderr else sys.stdout
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_unicode(self) -> bool:
        return "utf" in (getattr(sys.stdout, "encoding", "") or "").lower()

    @property
    def width(self) -> int:
        import shutil

        return shutil.get_terminal_size((100, 24)).columns

    def out(self, text: str) -> None:
        """Print data."""
        click.echo(printable(text), color=self.has_color())

    def announce(self, text: str) -> None:
        """Print on stdout that something was done, unless the user asked for quiet."""
        if not self.quiet:
            self.out(text)

    def out_exactly(self, text: str) -> None:
        """Print a value unchanged for programs; on a screen it is cleaned like all output."""
        if sys.stdout.isatty():
            self.out(text)
        else:
            click.echo(text, color=True)

    def note(self, text: str) -> None:
        if not self.quiet:
            self._to_stderr(text)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.note(text)

    def error(self, text: str) -> None:
        self._to_stderr(styled("error: ", fg="red", bold=True) + text)

    def error_detail(self, text: str) -> None:
        self._to_stderr(text)

    def _to_stderr(self, text: str) -> None:
        click.echo(printable(text), err=True, color=self.has_color(stderr=True))


def current_terminal() -> Terminal:
    """Return the terminal of the current command."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Terminal) if context else None
    return found or Terminal()
