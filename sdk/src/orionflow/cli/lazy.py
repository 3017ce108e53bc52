"""Groups that know the names and summaries of their commands without importing them.

`orion --help` must be quick, and a command should only load its own code: modules are imported when their command is
used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module

import click

from orionflow.cli.command import HELP_NAMES, Examples, OrionCommand, WithExamples, shared_options
from orionflow.spelling import did_you_mean

_OWN = "orionflow.cli."
# A command that more groups have, such as `ls`, is not suggested.
MOST_ELSEWHERE = 3
# Every group accepts these aliases of its commands.
USUAL_ALIASES = {"ls": ("list",), "inspect": ("show",), "delete": ("rm",)}


@dataclass(frozen=True, slots=True)
class Entry:
    """The help line of a command, its aliases, and its location.

    The target is `module:attribute`; `.module` is a module of the group's package. Omitted parts are derived: the
    command `set-limit` is `set_limit` of the group's module, and `import` is `import_`.
    """

    summary: str
    target: str = ""
    aliases: tuple[str, ...] = ()
    section: str = "Commands"


class LazyGroup(WithExamples, click.Group):
    """A group whose commands are imported when they are used."""

    command_class = OrionCommand

    def __init__(
        self,
        name: str,
        module: str,
        *,
        entries: Mapping[str, str | Entry | Mapping[str, str | Entry]],
        fallback: Callable[[str], click.Command | None] | None = None,
        examples: Examples = (),
        **kwargs: object,
    ) -> None:
        """Create the group with entries by the names of commands, or by the titles of sections and then by names."""
        super().__init__(name, **{"context_settings": HELP_NAMES, **kwargs})  # type: ignore[arg-type]
        self.entries = dict(_entries(module, entries))
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
        """Return the command behind an alias (`fr` is `flow-run`)."""
        return next((name for name, entry in self.entries.items() if typed in entry.aliases), typed)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        typed = args[0]
        if not typed.startswith("-") and self.get_command(ctx, typed) is None:
            raise UnknownCommand(typed, self.all_names(), ctx, elsewhere=self._of_groups(typed))
        _, command, rest = super().resolve_command(ctx, args)
        # Usage lines show the full name, whatever alias was typed.
        return self.full_name(typed), command, rest

    def all_names(self) -> list[str]:
        return [name for full, entry in self.entries.items() for name in (full, *entry.aliases)]

    def _of_groups(self, typed: str) -> list[str]:
        """Return the commands of this name in groups: `flow-run why` for `why`."""
        found = []
        for name, entry in self.entries.items():
            # Groups of other distributions may not be installed, or may be slow to import.
            group = load(entry.target) if entry.target.startswith(_OWN) else None
            if isinstance(group, LazyGroup) and (command := group.full_name(typed)) in group.entries:
                found.append(f"{name} {command}")
        return found if len(found) <= MOST_ELSEWHERE else []

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [
                (", ".join((name, *entry.aliases)), entry.summary)
                for name, entry in self.entries.items()
                if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def _entries(
    module: str, entries: Mapping[str, str | Entry | Mapping[str, str | Entry]], section: str = "Commands"
) -> Iterator[tuple[str, Entry]]:
    for name, given in entries.items():
        if isinstance(given, Mapping):
            yield from _entries(module, given, name)
            continue
        entry = Entry(given) if isinstance(given, str) else given
        aliases = (*USUAL_ALIASES.get(name, ()), *entry.aliases)
        yield name, replace(entry, target=_whole_target(module, name, entry.target), aliases=aliases, section=section)


def _whole_target(module: str, name: str, target: str) -> str:
    """Complete a target; a module that ends in a dot contains one module for each command."""
    place, _, attribute = target.partition(":")
    attribute = attribute or name.replace("-", "_")
    place = module.rstrip(".") + place if place.startswith(".") else place or module
    return f"{place}{attribute}:{attribute}" if place.endswith(".") else f"{place}:{attribute}"


class UnknownCommand(click.UsageError):
    """No command has this name; the nearest names are suggested."""

    def __init__(self, typed: str, known: list[str], ctx: click.Context, *, elsewhere: list[str]) -> None:
        super().__init__(f"There is no command {ctx.command_path} {typed}.", ctx)
        path = f"{ctx.command_path} "
        meant = " or ".join(f"{path}{words}" for words in elsewhere)
        self.fix = did_you_mean(typed, known, f"did you mean {meant}?" if meant else f"{path}--help", before=path)


def load(target: str) -> click.Command:
    """Import the command at `module:attribute`; an attribute that would be a keyword ends in an underscore."""
    module, _, attribute = target.partition(":")
    place = import_module(module)
    command: click.Command = getattr(place, f"{attribute}_", None) or getattr(place, attribute)
    return command
