"""The command `orion`: a light click tree whose commands are imported when they are used."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    import os
    import sys

    from orionflow.cli.errors import guarded
    from orionflow.cli.root import root
    from orionflow.cli.terminal import Terminal

    # When started with `>&-`, there is no stream to write to.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    terminal = Terminal()
    words = list(sys.argv[1:] if argv is None else argv)
    # click would turn Ctrl-C and usage errors into exits of its own; `guarded` has to see them.
    return guarded(lambda: root.main(words, prog_name="orion", obj=terminal, standalone_mode=False), terminal)
