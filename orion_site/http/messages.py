"""The messages of `orion server start`: a banner when the server is ready, and single sentences."""

from __future__ import annotations

from orionflow import json_lines


def address_for_browsers(address: str) -> str:
    """Return the address to open in the owner's browser, with a link to sign in if it needs one."""
    from orion_site.accounts.local_owner import OwnerBy, owner_by
    from orion_site.accounts.local_token import new_code

    return f"{address}/enter/{new_code()}" if owner_by() is OwnerBy.TOKEN else address


def banner(address: str, way_in: str = "") -> str:
    """Return the text that a server prints when it is ready."""
    from django.db import connection

    from orion_site import __version__
    from orion_site.database.lifecycle import place

    lines = [
        (
            "Dashboard",
            address if way_in in {"", address} else f"{way_in}\n{'':13}once, within a minute; then `orion open`",
        ),
        ("API", f"{address}/api (reference: {address}/docs)"),
        ("Database", f"{connection.display_name}, {place()}"),
        ("Clients", f"orion config set ORION_API_URL {address}/api"),
        ("Access", _who_may()),
    ]
    body = "\n".join(f"  {name:<10} {text}" for name, text in lines)
    return f"\n  Orion {__version__}\n\n{body}\n\n  Ctrl-C stops the server.\n"


def _who_may() -> str:
    from orion_site.accounts.local_owner import OwnerBy, anybody_can_sign_in, owner_by

    others = ", and who signs in or sends a key" if anybody_can_sign_in() else ""
    match owner_by():
        case OwnerBy.USER:
            return f"programs of your Unix user{others}"
        case OwnerBy.TOKEN:
            return f"programs of Orion that your Unix user runs, browsers by `orion open`{others}"
    return "every user of this machine can run code as you here (see SECURITY.md)"


def print_line(text: str) -> None:
    json_lines.print_line(text, "orion.server")
