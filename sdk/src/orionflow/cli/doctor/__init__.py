"""`orion doctor`: checks this installation, and reports the condition of each part and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

from orionflow.cli.errors import ExitCode
from orionflow.cli.output import plain_column
from orionflow.cli.safe_text import styled
from orionflow.cli.session import Session, command
from orionflow.cli.style import arrow
from orionflow.cli.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the installation: its condition (ok, warning or problem), and what to do."""

    check: str
    verdict: Literal["ok", "warning", "problem"]
    text: str
    fix: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def size(count: float) -> str:
    """Return a size in a readable unit: `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


LOOKS = {"ok": ("✓", "+", "green"), "warning": ("!", "!", "yellow"), "problem": ("✗", "x", "red")}
COLUMNS = [plain_column(key) for key in ("check", "verdict", "text", "fix")]


@command(
    ("orion doctor", "exit 0 when all is well, 1 when something is to be repaired"),
    ("orion doctor --deep", "read the whole database file too"),
    ("orion doctor -o json", "for monitoring"),
)
@click.option("--deep", is_flag=True, help="Also read the whole SQLite file; takes a while for a large one.")
def doctor(session: Session, deep: bool) -> int:
    """Check versions, home, database, API, clock, disk and unsent reports. Changes nothing."""
    found: list[Finding] = []
    for finding in examine(deep=deep):
        found.append(finding)
        if session.for_people:
            _show(finding, session.terminal)
    if not session.for_people:
        session.output.show_many([finding.as_row() for finding in found], COLUMNS, name="check")
    return _conclude(found, session.terminal)


def examine(*, deep: bool) -> Iterator[Finding]:
    """Yield the finding of each part in turn; a part that cannot be examined is a problem and stops no others."""
    from orionflow.cli.doctor import connection, database, home

    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", home.versions),
        ("settings", home.settings),
        ("home", home.home),
        ("results", home.results),
        ("disk", home.disk),
        ("spool", home.spool),
        ("database", lambda: database.database(deep=deep)),
        ("api", connection.api),
    ]
    for name, examination in parts:
        try:
            yield from examination()
        except Exception as error:
            yield Finding(name, "problem", f"{type(error).__name__}: {error}")


def _show(finding: Finding, terminal: Terminal) -> None:
    icon, plain, color = LOOKS[finding.verdict]
    mark = styled(icon if terminal.has_unicode else plain, fg=color)
    terminal.out(f" {mark} {finding.check.ljust(10)}{finding.text}")
    if finding.fix:
        terminal.out(f"   {' ' * 10}{arrow(terminal)} {finding.fix}")


def _conclude(found: list[Finding], terminal: Terminal) -> int:
    problems = sum(finding.verdict == "problem" for finding in found)
    warnings = sum(finding.verdict == "warning" for finding in found)
    terminal.note(f"problems: {problems}, warnings: {warnings}" if problems or warnings else "All is well.")
    return ExitCode.FAILED if problems else ExitCode.DONE
