"""Entry points on the command line: what cannot be found or imported is told in three lines, with an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.code.entrypoints import NoEntrypoint, split_entrypoint
from orionflow.code.entrypoints import load_flow as load

if TYPE_CHECKING:
    from orionflow.flows import Flow


def load_flow(entrypoint: str) -> Flow[Any, Any]:
    """The flow that is meant. Without `:name`, the only one in the file."""
    try:
        return load(entrypoint)
    except NoEntrypoint as error:
        code = ExitCode.NOT_FOUND if error.is_missing else ExitCode.USAGE
        raise CommandFailed(code, error.what, error.why, error.fix) from error.__cause__


def absolute_entrypoint(entrypoint: str) -> str:
    """The same entry point, from whatever folder it is used later."""
    where, name = split_entrypoint(entrypoint)
    path = Path(where)
    return f"{path.absolute() if path.exists() else where}{':' + name if name else ''}"
