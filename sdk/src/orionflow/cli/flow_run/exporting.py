"""`orion flow-run export`: a run as one HTML file, for tickets, auditors and offline readers."""

from __future__ import annotations

import re
from pathlib import Path

import click

from orionflow.calls.flow_runs import export_flow_run
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.session import Session, command

_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


@command(
    ("orion flow-run export @last --html", "as brave-otter.html"),
    ("orion fr export brave-otter --html -f /tmp/for-the-ticket.html --force", "over a file that is there"),
)
@click.argument("run", metavar="RUN")
@click.option("--html", "as_html", is_flag=True, help="As a page: timeline, tasks, log, why, parameters, states.")
@click.option("-f", "--file", "file", metavar="FILE", help="The file to write; otherwise the name of the run.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def export(session: Session, run: str, as_html: bool, file: str | None, force: bool) -> None:
    """Write a flow run as one HTML file that a browser shows without a server or a network.

    Secrets that the server knows are masked in it.
    """
    if not as_html:
        raise CommandFailed(
            ExitCode.USAGE, "As what?", fix="--html; for the API's object, orion flow-run inspect -o json"
        )
    found = find_flow_run(session.api, run)
    target = Path(file) if file else Path(f"{_PLAIN.sub('-', found['name']).strip('.-')[:80] or found['id']}.html")
    if target.exists() and not force:
        raise CommandFailed(ExitCode.CONFLICT, f"{target} is there already.", fix="name another --file, or add --force")
    content = session.api.raw(export_flow_run(found["id"]))
    try:
        target.write_bytes(content)
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{target} cannot be written: {error.strerror or error}.") from None
    session.report(
        f"{found['name']} is in {target} ({len(content) / 1000:.0f} kB).",
        {"file": str(target), "size": len(content), "flow_run_id": found["id"]},
        name="file",
    )
