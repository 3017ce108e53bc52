"""`orion api`: one raw request, with the address and the key in the settings."""

from __future__ import annotations

from urllib.parse import parse_qs

import click

from orionflow.cli.backend import Backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.parameters import read_json
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
    """Send one raw request to the API and print the answer. PATH is relative to /api."""
    from orionflow.client import Call

    below, _, query = ("/" + path.lstrip("/").removeprefix("api/")).partition("?")
    asked = None if body is None else read_json(body, "--data")
    answer = Backend().ask(Call(method.upper(), below, asked, parse_qs(query)))
    if answer is not None:
        current_terminal().out(as_json(answer, indent=2))
