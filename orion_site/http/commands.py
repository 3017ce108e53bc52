"""`orion server status` and `orion server stop`: the servers of this ORION_HOME on this machine."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.columns import Col, ago
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import Session, command

if TYPE_CHECKING:
    from orion_site.http.running_servers import RunningServer

HEALTH_SECONDS = 5.0
_COLUMNS = [
    Col("ADDRESS", "address"),
    Col("STATE", "state"),
    Col("PROCESS", "pid"),
    Col("STARTED", "started", ago),
    Col("PARTS", row=lambda one: ", ".join(_part(part) for part in one["processes"]) or "one process"),
]


@command(
    ("orion server status", "exit 0 if all is well; 1 if there is none, one does not answer, or a process is frozen"),
    ("orion server status -o json", "with the processes of each"),
    times=True,
)
def status(session: Session) -> int:
    """List servers of this home on this machine, their processes, and whether they answer.

    The exit code is 0 if there are servers, all of them answer, and all of their processes work. Otherwise it is 1,
    also if a process is frozen, or has ended and was not started again yet.
    """
    rows = [_row(one) for one in _servers()]
    session.show_list(rows, _COLUMNS, empty="No server of this home runs here. `orion server start` starts one.")
    return ExitCode.DONE if rows and all(_is_well(row) for row in rows) else ExitCode.FAILED


@command(
    ("orion server stop", "requests end, and runs of its agent have their time"),
    ("orion server stop --port 4300", "where more than one runs"),
    ("orion server stop --now", "without that time"),
)
@click.option("--port", type=int, help="Which server, if this home has several.")
@click.option("--now", is_flag=True, help="End runs of its agent at once, as a second Ctrl-C does.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=90.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait this long.",
)
def stop(session: Session, port: int | None, now: bool, timeout: float) -> None:
    """Stop the server of this home on this machine, and wait until it has ended."""
    server = _chosen(port)
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
        if now:
            # Two signals at the same moment may arrive as one.
            time.sleep(0.5)
            os.kill(server.pid, signal.SIGTERM)
    until = time.monotonic() + timeout
    # By the lock on its file: the number of a process that has ended may belong to another one.
    while server.pid in {one.pid for one in _servers()}:
        if time.monotonic() > until:
            raise CommandFailed(
                ExitCode.FAILED, f"The server at {server.address} still ends its work.", fix="orion server stop --now"
            )
        time.sleep(0.1)
    session.report(f"The server at {server.address} has stopped.", {"address": server.address, "pid": server.pid})


def _servers() -> list[RunningServer]:
    from orion_site.env import orion_home
    from orion_site.http.running_servers import running_servers

    return running_servers(orion_home())


def _chosen(port: int | None) -> RunningServer:
    found = [one for one in _servers() if port is None or one.address.split("/")[2].endswith(f":{port}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise click.UsageError(
            f"Servers of this home: {', '.join(one.address for one in found)}. Choose one with --port."
        )
    raise CommandFailed(ExitCode.FAILED, "No server of this home runs on this machine.", fix="orion server status")


def _row(server: RunningServer) -> dict[str, Any]:
    from orion_site.http.worker import label_of
    from orion_site.metrics.figure_files import folder_of, silent_in

    silent = silent_in(folder_of(server.pid))
    processes = [{**asdict(one), "silent_seconds": silent.get(label_of(one.name))} for one in server.processes]
    state = "answers" if _answers(server.address) else "does not answer"
    return {**asdict(server), "processes": processes, "state": state}


def _is_well(row: dict[str, Any]) -> bool:
    work = all(one["pid"] and one["silent_seconds"] is None for one in row["processes"])
    return bool(row["state"] == "answers" and work)


def _answers(address: str) -> bool:
    with (
        suppress(OSError),
        urllib.request.urlopen(f"{address.rstrip('/')}/api/health", timeout=HEALTH_SECONDS) as answer,  # noqa: S310 (our own address)
    ):
        return bool(answer.status == 200)
    return False


def _part(part: dict[str, Any]) -> str:
    again = f", started {part['starts']} times" if part["starts"] > 1 else ""
    silent = f", no sign of life for {part['silent_seconds']:.0f} s" if part["silent_seconds"] else ""
    return f"{part['name']} ({part['pid'] or 'not there'}{again}{silent})"
