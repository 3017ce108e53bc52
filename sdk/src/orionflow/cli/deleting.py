"""How commands delete one thing: named beforehand, asked about, and told of when it is gone."""

from __future__ import annotations

from orionflow.cli.backend import Backend
from orionflow.cli.options import ask_before
from orionflow.cli.terminal import current_terminal


def delete_at(api: Backend, path: str, what: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether it is gone; in a dry run it is only named."""
    terminal = current_terminal()
    if dry_run:
        terminal.note(f"Would delete {what}.")
        return False
    ask_before(f"delete {what}", yes=yes)
    api.delete(path)
    terminal.note(f"Deleted {what}.")
    return True
