"""`orion open`: the dashboard in a browser; the owner of the server needs no user name for it."""

from __future__ import annotations

import click

from orionflow.calls.server import make_link
from orionflow.cli.backend import Backend
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import Session, command
from orionflow.cli.terminal import current_terminal


@command(
    ("orion open", "as the user who runs the server, on its machine"),
    ("orion open --no-browser", "only prints the link"),
    name="open",
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Whether to start a browser.")
def open_dashboard(session: Session, browser: bool) -> None:
    """Open the dashboard in a browser: of the API in the settings, or of the server of this home.

    On the server's machine, the owner gets a link that works once, within a minute. On other machines, people sign
    in."""
    address = _address()
    link = _link(address)
    session.report(link, {"address": link})
    if browser and current_terminal().is_interactive and click.launch(link):
        session.note("No browser could be started: copy the link into one.")


def _address() -> str:
    from orionflow.settings import current_settings
    from orionflow.settings.local_token import servers_of

    settings = current_settings()
    if settings.api_url is not None:
        return settings.api_url.rstrip("/").removesuffix("/api")
    running = next(servers_of(settings.home), None)
    if running is None:
        raise CommandFailed(ExitCode.USAGE, "No server of this home is running.", fix="orion server start --open")
    return running


def _link(address: str) -> str:
    from orionflow.client.transport import is_this_machine
    from orionflow.errors import NotAllowed
    from orionflow.settings.values import shown_url

    shown = shown_url(address)
    if not is_this_machine(address):
        return shown
    try:
        made = Backend(url=f"{address}/api").ask(make_link())
    except NotAllowed as error:
        # The key belongs to a user who is not the owner and has to sign in.
        if error.status == 401:
            raise
        return shown
    return f"{shown}{made['path']}"
