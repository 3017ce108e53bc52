"""`orion api`: one raw request, with the address and the key of the settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from orionflow.cli.backend import backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.safe_text import as_json
from orionflow.cli.terminal import current_terminal


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion api GET /health", ""),
        ("""orion api POST /flow_runs/filter -d '{"limit": 1}'""", "with a body"),
        ("orion api POST /flow_runs/count -d @body.json", "the body from a file; @- is stdin"),
    ),
)
@click.argument("method", type=click.Choice(["GET", "POST", "PATCH", "PUT", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("-d", "--data", "body", metavar="JSON", help="The body: JSON, or @FILE.")
def api(method: str, path: str, body: str | None) -> None:
    """Send one raw request to the API and print the answer. PATH begins below /api."""
    below = "/" + path.lstrip("/").removeprefix("api/")
    answer = backend().request(method.upper(), below, _read_body(body))
    if answer is not None:
        current_terminal().out(as_json(answer, indent=2))


def _read_body(body: str | None) -> Any:
    if body is None:
        return None
    return read_json(body, "--data")


def read_json(text: str, option: str) -> Any:
    """JSON that stands on the command line, or in a file as @FILE, or comes on stdin as @-."""
    if text == "@-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = _file(text[1:], option)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"{option} is not JSON: {error}.") from None


def _file(name: str, option: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {name!r}, which {option} names.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"{option} @{name} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
