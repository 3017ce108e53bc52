"""docs/reference/cli.md names every command with the sentence that its help shows, and every exit code."""

from __future__ import annotations

from pathlib import Path

from orionflow.cli.errors import MEANINGS
from orionflow.cli.lazy import LazyGroup
from tests.cli.commands import SERVER_GROUPS, all_groups

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def test_the_page_has_a_line_for_every_command():
    missing = [
        f"orion {' '.join((*path, name))}: {entry.summary}"
        for path, group in all_groups()
        for name, entry in group.entries.items()
        if not is_group(group, name) and not has_line(f"`orion {' '.join((*path, name))}", entry.summary)
    ]

    assert missing == []


def is_group(group: LazyGroup, name: str) -> bool:
    return any(path and path[-1] == name for path, _ in all_groups()) and name not in SERVER_GROUPS


def has_line(command: str, summary: str) -> bool:
    return any(command in line and line.endswith(f"| {summary} |") for line in PAGE.splitlines())


def test_the_page_explains_every_exit_code():
    lines = {line.replace("`", "") for line in PAGE.splitlines()}

    assert all(f"| {int(code)} | {meaning.replace('`', '')} |" in lines for code, meaning in MEANINGS.items())
