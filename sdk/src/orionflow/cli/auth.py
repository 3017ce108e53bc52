"""`orion auth`: the key by which commands and programs of this user authenticate."""

from __future__ import annotations

import sys

import click

from orionflow.calls.server import read_me
from orionflow.cli.backend import PATIENCE_SECONDS, Json
from orionflow.cli.columns import Col
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.session import Session, command
from orionflow.cli.terminal import current_terminal

auth = LazyGroup(
    "auth",
    __name__,
    help="The API key for a server. It is kept in the home, for that server's address alone.",
    entries={
        "login": "Store a key for the current API.",
        "logout": "Remove the key for the current API.",
        "whoami": "Show which user you are.",
    },
    examples=(("orion auth login", "asks for the key"), ("orion auth whoami", "")),
)


@command(
    ("orion auth login", "asks for the key that `orion key create` showed"),
    ("orion auth login < key.txt", "reads it from stdin"),
    ("orion --api-url https://orion.example/api auth login", "for another server"),
)
def login(session: Session) -> None:
    """Store a key for the current API, after checking it with the server.

    The key is asked for, or read from stdin, because arguments appear in the shell's history and in the list of
    processes. It is stored in `keys.json` in the home, readable only by its owner. ORION_API_KEY wins over it."""
    from orionflow.client import OrionClient
    from orionflow.settings import current_settings
    from orionflow.settings.stored_keys import store_key

    address, key = _address(), _key()
    with OrionClient(address, api_key=key, retry_budget_seconds=PATIENCE_SECONDS) as client:
        me: Json = dict(client.send(read_me()))
    path = store_key(current_settings().home, address, key)
    session.report(f"Signed in at {_shown(address)} as {me['name']}; the key is in {path}.", me)
    if current_settings().api_key:
        session.note(f"ORION_API_KEY ({current_settings().origin('api_key')}) wins over it.")


@command(("orion auth logout", "the key itself stays valid: `orion key revoke` ends it"))
def logout(session: Session) -> None:
    """Remove the key for the current API. The key itself stays valid until it is revoked."""
    from orionflow.settings import current_settings
    from orionflow.settings.stored_keys import forget_key

    address = _address()
    was_there = forget_key(current_settings().home, address)
    words = f"The key for {_shown(address)} is forgotten." if was_there else f"No key was kept for {_shown(address)}."
    session.report(words, {"api_url": _shown(address), "forgotten": was_there})


@command(("orion auth whoami", ""), ("orion auth whoami -o json", "for scripts"))
def whoami(session: Session) -> None:
    """Show which user you are, how you were authenticated, and what you may do."""
    me: Json = session.api.ask(read_me())
    session.show_one(me, [Col("name", "name"), Col("by", "by"), Col("may", "actions")])


def _address() -> str:
    from orionflow.settings import current_settings

    address = current_settings().api_url
    if address is None:
        raise CommandFailed(
            ExitCode.USAGE,
            "There is no server to sign in to: the API is in this process.",
            fix="orion config set ORION_API_URL https://orion.example/api",
        )
    return address


def _key() -> str:
    if current_terminal().is_interactive:
        asked: str = click.prompt("Key", hide_input=True, err=True)
        return asked.strip()
    key = sys.stdin.readline().strip()
    if not key:
        raise CommandFailed(ExitCode.USAGE, "No key came on stdin.", "nothing was changed", "orion auth login < FILE")
    return key


def _shown(address: str) -> str:
    from orionflow.settings.values import shown_url

    return shown_url(address)
