"""`orion version`: the versions of client, server package and API."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click

from orionflow.cli.session import Session, command


def client_version() -> str:
    return installed_version("orionflow")


def server_package_version() -> str | None:
    try:
        return installed_version("orionflow-server")
    except PackageNotFoundError:
        return None


@command(
    ("orion version", ""),
    ("orion version --check", "ask the API too; exit 10 when they do not fit"),
    ("orion version -o json", "for scripts"),
)
@click.option("--check", is_flag=True, help="Ask the API for its version and compare.")
def version(session: Session, check: bool) -> int:
    """Show the versions of client and server."""
    facts: dict[str, object] = {
        "client": client_version(),
        "server_package": server_package_version(),
        "python": platform.python_version(),
        "platform": sys.platform,
    }
    if check:
        from orionflow.calls.server import read_version

        facts["api"] = str(session.api.ask(read_version()))
    session.show_one(facts)
    return _verdict(facts) if check else 0


def _verdict(facts: dict[str, object]) -> int:
    from orionflow.cli.errors import CommandFailed, ExitCode

    if str(facts["api"]).split(".")[:2] == str(facts["client"]).split(".")[:2]:
        return ExitCode.DONE
    raise CommandFailed(
        ExitCode.VERSIONS_DIFFER,
        f"The API has version {facts['api']}, this client {facts['client']}.",
        "client and server fit when major and minor version are the same",
        f"pip install orionflow=={facts['api']}",
    )
