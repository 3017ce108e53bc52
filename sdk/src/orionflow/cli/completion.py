"""`orion completion`: the script by which a shell completes the names of commands and options."""

from __future__ import annotations

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.terminal import current_terminal

VARIABLE = "_ORION_COMPLETE"


@click.command(
    cls=OrionCommand,
    examples=(
        ('eval "$(orion completion bash)"', "in ~/.bashrc"),
        ('eval "$(orion completion zsh)"', "in ~/.zshrc"),
        ("orion completion fish > ~/.config/fish/completions/orion.fish", ""),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    from orionflow.cli.root import root

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    completer = completion_class(root, {}, "orion", VARIABLE)
    # Only the template: click's own `source()` starts a bash to find its version.
    current_terminal().out(completer.source_template % completer.source_vars())
