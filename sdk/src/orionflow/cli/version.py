"""`orion version`: which client, which server package, which API."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options


def client_version() -> str:
    return installed_version("orionflow")


def server_package_version() -> str | None:
    try:
        return installed_version("orionflow-server")
    except PackageNotFoundError:
        return None


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion version", ""),
        ("orion version --check", "ask the API too; exit 10 when they do not fit"),
        ("orion version -o json", "for scripts"),
    ),
)
@click.option("--check", is_flag=True, help="Ask the API for its version and compare.")
@output_options
def version(check: bool, output: Output) -> int:
    """Versions of client and server."""
    facts: dict[str, object] = {
        "client": client_version(),
        "server_package": server_package_version(),
        "python": platform.python_version(),
        "platform": sys.platform,
    }
    if check:
        facts["api"] = _api_version()
    output.show_one(facts)
    return _verdict(facts) if check else 0


def _api_version() -> str:
    from orionflow.cli.backend import backend

    return str(backend().get("/admin/version"))


def _verdict(facts: dict[str, object]) -> int:
    from orionflow.cli.boundary import CommandFailed
    from orionflow.cli.exit_codes import ExitCode

    if str(facts["api"]).split(".")[:2] == str(facts["client"]).split(".")[:2]:
        return ExitCode.DONE
    raise CommandFailed(
        ExitCode.VERSIONS_DIFFER,
        f"The API has version {facts['api']}, this client {facts['client']}.",
        "client and server fit when major and minor version are the same",
        f"pip install orionflow=={facts['api']}",
    )
