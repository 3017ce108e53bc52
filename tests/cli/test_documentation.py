"""The reference names every command with the sentence that its group shows, and every exit code."""

from __future__ import annotations

from pathlib import Path

from orionflow.cli.errors import MEANINGS
from tests.cli.commands import SERVER_GROUPS, all_groups

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMANDS = (REFERENCE / "commands.md").read_text(encoding="utf-8")
CODES = (REFERENCE / "errors.md").read_text(encoding="utf-8")
GROUPS = {*SERVER_GROUPS, *(path[-1] for path, _ in all_groups() if path)}


def test_the_page_has_a_line_for_every_command():
    missing = [
        f"orion {' '.join((*path, name))}: {entry.summary}"
        for path, group in all_groups()
        for name, entry in group.entries.items()
        if name not in GROUPS and not has_line(f"[`orion {' '.join((*path, name))}`]", entry.summary)
    ]

    assert missing == []


def has_line(command: str, summary: str) -> bool:
    return any(command in line and line.endswith(f"| {summary} |") for line in COMMANDS.splitlines())


def test_the_page_explains_every_exit_code():
    assert all(f"| {int(code)} | `{code.name}` | {meaning} |" in CODES for code, meaning in MEANINGS.items())
