"""The class of all commands: help with examples, and the few options that every command accepts."""

from __future__ import annotations

from collections.abc import Collection

import click

from orionflow.cli.terminal import Terminal

Examples = tuple[tuple[str, str], ...]
HELP_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class WithExamples:
    """Shows examples below the options."""

    examples: Examples = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)  # type: ignore[misc]
        if not self.examples:
            return
        with formatter.section("Examples"):
            width = max(len(line) for line, _ in self.examples)
            for line, note in self.examples:
                formatter.write(f"  {line.ljust(width)}  # {note}\n" if note else f"  {line}\n")


class OrionCommand(WithExamples, click.Command):
    """A command with examples; tests require that each command has some."""

    def __init__(self, *args: object, examples: Examples = (), **kwargs: object) -> None:
        kwargs.setdefault("context_settings", HELP_NAMES)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.examples = examples
        self.params.extend(shared_options(taken={name for one in self.params for name in one.opts}))


def shared_options(taken: Collection[str] = ()) -> list[click.Option]:
    """Return options that may stand anywhere on the line: `orion --debug fr ls` and `orion fr ls --debug` are the same.

    If a command uses `-q` for its queues, as is common for such commands, only `--quiet` is available.
    """
    quiet = ["--quiet"] if "-q" in taken else ["-q", "--quiet"]
    shared = [
        _flag(["--debug"], "debug", "Show the whole trace of an error."),
        _flag(quiet, "quiet", "Print only data and errors."),
        _flag(["-v", "--verbose"], "verbose", "Say more; twice for even more.", count=True),
        _flag(["--no-color"], "no_color", "Print without colours."),
    ]
    # A command may use one of these names for an option of its own.
    return [one for one in shared if not set(one.opts).intersection(taken)]


def _flag(names: list[str], attribute: str, text: str, *, count: bool = False) -> click.Option:
    def remember(ctx: click.Context, parameter: click.Parameter, value: int) -> None:
        terminal = ctx.find_object(Terminal)
        if value and terminal:
            setattr(terminal, attribute, value)

    return click.Option(
        [*names, f"shared_{attribute}"],
        is_flag=not count,
        count=count,
        expose_value=False,
        callback=remember,
        help=text,
    )
