"""`orion key`: keys by which programs use the API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from orion_site.accounts.cli.database import accounts_ready, iso
from orion_site.accounts.role import NAMES
from orionflow.cli.columns import Col, ago, near
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import Session, command
from orionflow.cli.times import read_period

if TYPE_CHECKING:
    from orion_site.accounts.models import ApiKey

NEVER = "never"
_COLUMNS = [
    Col("ID", "id"),
    Col("NAME", "name"),
    Col("BEGINS", "begins"),
    Col("USER", "user"),
    Col("ROLE", "role"),
    Col("STATE", "state"),
    Col("LAST USED", "last_used", ago),
    Col("EXPIRES", "expires", near),
]


@command(
    ("orion key ls", ""),
    ("orion key ls --user ada --all", "with those that are revoked or have expired"),
    times=True,
)
@click.option("--user", metavar="NAME", help="Those of one user.")
@click.option("--all", "every", is_flag=True, help="Include revoked and expired ones.")
def ls(session: Session, user: str | None, every: bool) -> None:
    """List keys by their first characters, and when they were last used. The keys themselves are not stored."""
    with accounts_ready():
        from orion_site.accounts.models import ApiKey

        found = ApiKey.objects.select_related("user").order_by("user__username", "id")
        rows = [_row(one) for one in (found.filter(user__username=user) if user else found)]
    shown = [row for row in rows if every or row["state"] == "valid"]
    session.show_list(shown, _COLUMNS, empty="No keys. `orion key create NAME --role agent` makes one.")


@command(
    ("orion key create agent-1 --role agent", "creates a service account of that name"),
    ("orion key create laptop --user ada", "may do what ada may"),
    ("orion key create ci --user ci --role operator --expires 90d -o json", "for scripts"),
)
@click.argument("name")
@click.option(
    "--user", metavar="NAME", help="The user of the key; otherwise a service account with the name of the key."
)
@click.option(
    "--role", type=click.Choice(NAMES), help="Limit the key to this role; otherwise it may do what its user may."
)
@click.option("--expires", default="365d", show_default=True, metavar="PERIOD", help="Such as 90d, or never.")
def create(session: Session, name: str, user: str | None, role: str | None, expires: str) -> None:
    """Create a key, and show it once: it is not stored."""
    life = None if expires == NEVER else read_period(expires)
    if life is not None and life <= timedelta():
        raise click.UsageError("--expires must be more than nothing; write 90d, 12h or never.")
    if user is None and role is None:
        raise click.UsageError("Say whose key it is with --user, or what it may do with --role.")
    with accounts_ready("CreateKey"):
        from django.utils import timezone

        from orion_site.accounts import users
        from orion_site.accounts.keys import create_key

        now = timezone.now()
        owner = users.user_named(user) if user else users.create_user(name=name, roles=[role] if role else [])
        key, text = create_key(
            user=owner, name=name, role=role or "", expires=None if life is None else now + life, now=now
        )
        row = {**_row(key), "key": text}
    if not session.for_people:
        session.show_one(row)
        return
    session.terminal.out(text)
    session.note(
        "Keep it now: it is shown this once. A program sends it with ORION_API_KEY (or PREFECT_API_KEY), "
        "and `orion auth login` keeps it for the command line."
    )


@command(("orion key revoke 7", ""), ("orion key revoke orn_Ab3dE6gH", "by its first characters"))
@click.argument("key")
def revoke(session: Session, key: str) -> None:
    """Revoke a key at once, by its number or by the first characters that `orion key ls` shows."""
    with accounts_ready("RevokeKey"):
        from django.utils import timezone

        from orion_site.accounts.keys import HINT_LENGTH, revoke_key
        from orion_site.accounts.models import ApiKey

        found = [int(key)] if key.isdecimal() else list(
            ApiKey.objects.filter(hint=key[:HINT_LENGTH]).values_list("pk", flat=True)
        )  # fmt: skip
        if len(found) != 1:
            raise CommandFailed(
                ExitCode.NOT_FOUND, f"No key begins with {key[:HINT_LENGTH]!r}.", fix="orion key ls --all"
            )
        row = _row(revoke_key(key_id=found[0], now=timezone.now()))
    session.report(f"Revoked the key {row['name']} of {row['user']}.", row)


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "name": key.name,
        "begins": key.hint,
        "user": key.user.get_username(),
        "role": key.role or None,
        "state": key.state,
        "created": iso(key.created),
        "last_used": iso(key.last_used),
        "expires": iso(key.expires),
    }
