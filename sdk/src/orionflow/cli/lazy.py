"""Groups that know the names and summaries of their commands without importing them.

`orion --help` must be quick, and a command should pay only for itself: modules are imported when they are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module

import click

from orionflow.cli.command import OrionCommand, WithExamples, shared_options
from orionflow.spelling import near


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives (`module:attribute`), and the line that lists it."""

    target: str
    summary: str
    aliases: tuple[str, ...] = ()
    section: str = "Commands"


class LazyGroup(WithExamples, click.Group):
    """A group whose commands are imported when they are chosen."""

    command_class = OrionCommand

    def __init__(
        self,
        *args: object,
        entries: Mapping[str, Entry],
        fallback: Callable[[str], click.Command | None] | None = None,
        examples: tuple[tuple[str, str], ...] = (),
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.entries = {name: _with_long_name(name, entry) for name, entry in entries.items()}
        self.examples = examples
        self.fallback = fallback
        self.params.extend(shared_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self.full_name(cmd_name)
        if name in self.entries:
            return load(self.entries[name].target)
        return self.fallback(cmd_name) if self.fallback else None

    def full_name(self, typed: str) -> str:
        """The command behind an alias (`fr` is `flow-run`)."""
        return next((name for name, entry in self.entries.items() if typed in entry.aliases), typed)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        typed = args[0]
        if not typed.startswith("-") and self.get_command(ctx, typed) is None:
            raise UnknownCommand(typed, near(typed, self.all_names()), ctx)
        _, command, rest = super().resolve_command(ctx, args)
        # Usage lines show the full name, whatever alias was typed.
        return self.full_name(typed), command, rest

    def all_names(self) -> list[str]:
        return [name for full, entry in self.entries.items() for name in (full, *entry.aliases)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [
                (", ".join((name, *entry.aliases)), entry.summary)
                for name, entry in self.entries.items()
                if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def _with_long_name(name: str, entry: Entry) -> Entry:
    return replace(entry, aliases=("list", *entry.aliases)) if name == "ls" else entry


class UnknownCommand(click.UsageError):
    """No command has this name; the nearest names are proposed."""

    def __init__(self, typed: str, proposals: list[str], ctx: click.Context) -> None:
        super().__init__(f"There is no command {ctx.command_path} {typed}.", ctx)
        meant = " or ".join(f"{ctx.command_path} {name}" for name in proposals)
        self.fix = f"did you mean {meant}?" if meant else f"{ctx.command_path} --help"


def load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command
