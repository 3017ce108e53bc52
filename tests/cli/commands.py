"""Every command of the tree that this distribution brings, with the words that lead to it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from orionflow.cli.lazy import LazyGroup
from orionflow.cli.root import OF_THE_SERVER, root

SERVER_GROUPS = tuple(sorted(OF_THE_SERVER))


def all_groups(group: LazyGroup = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], LazyGroup]]:
    yield path, group
    for name in group.entries:
        command = None if name in SERVER_GROUPS else group.get_command(click.Context(group), name)
        if isinstance(command, LazyGroup):
            yield from all_groups(command, (*path, name))


def all_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for path, group in all_groups():
        for name in group.entries:
            if name in SERVER_GROUPS:
                continue
            command = group.get_command(click.Context(group), name)
            assert command is not None
            if not isinstance(command, click.Group):
                yield (*path, name), command


def words_of(line: str) -> list[str]:
    """The words after `orion`, without what belongs to the shell."""
    inner = line.partition("$(")[2].rstrip('")') if "$(" in line else line
    return shlex.split(inner.split(" > ")[0].split(" < ")[0].split(" && ")[0])[1:]


def parse(words: list[str]) -> bool:
    """Let click read the words down to the last command, without running it."""
    command: click.Command = root
    context = click.Context(root, info_name="orion")
    while isinstance(command, LazyGroup):
        context = command.make_context(command.name, list(words), parent=context, resilient_parsing=False)
        words = [*context._protected_args, *context.args]
        if not words:
            return True
        if words[0] in SERVER_GROUPS:
            return True
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context(command.name, list(words), parent=context)
    return True
