"""Things that are found by their name: what is not there is told with the names that come near."""

from __future__ import annotations

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.spelling import near


def named(api: Backend, path: str, kind: str, name: str, listing: str, *, key: str = "name", command: str = "") -> Json:
    """The thing at a path; otherwise exit 5, with names of a listing that are like it."""
    from orionflow.errors import NotFound

    try:
        found: Json = api.get(path)
    except NotFound:
        known = [str(row[key]) for row in api.pages(listing, {}, 1000)]
        raise missing(kind, name, known, command=command) from None
    return found


def missing(kind: str, name: str, known: list[str], *, command: str = "") -> CommandFailed:
    """Exit 5, with the names that are like it or the command that lists them all."""
    proposals = near(name, known)
    command = command or f"orion {kind.replace(' ', '-')} ls"
    fix = f"did you mean {' or '.join(proposals)}?" if proposals else command
    return CommandFailed(ExitCode.NOT_FOUND, f"There is no {kind} {name!r}.", fix=fix)
