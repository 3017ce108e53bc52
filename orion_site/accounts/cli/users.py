"""`orion user`: the people who sign in, and service accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from orion_site.accounts.cli.database import accounts_ready, iso
from orion_site.accounts.role import NAMES
from orionflow.cli.columns import Col, ago, yes_or
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import YES, Session, ask_before, command, with_params
from orionflow.cli.terminal import current_terminal

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_COLUMNS = [
    Col("NAME", "name"),
    Col("ROLES", "roles"),
    Col("GROUPS", "groups"),
    Col("SIGNS IN", "signs_in", yes_or("no")),
    Col("ENABLED", "enabled", yes_or("no")),
    Col("KEYS", "keys"),
    Col("LAST SIGN-IN", "last_sign_in", ago),
]
_groups = click.Option(["-g", "--group", "groups"], multiple=True, metavar="NAME", help="A group of the user.")


@command(("orion user ls", ""), ("orion user ls -o json", "for scripts"), times=True)
def ls(session: Session) -> None:
    """List users with their groups and the roles that these give them."""
    with accounts_ready():
        from orion_site.accounts.users import users

        rows = [_row(one) for one in users()]
    session.show_list(rows, _COLUMNS, empty="No users. The first one: orion user create NAME --role admin")


@command(
    ("orion user create ada --role admin", "asks for the password"),
    ("orion user create bob -g night-shift < password.txt", "reads it from stdin"),
    ("orion user create ci --service --role deployer", "has keys only: orion key create --user ci"),
)
@click.argument("name")
@with_params(_groups)
@click.option("--role", "roles", multiple=True, type=click.Choice(NAMES), help="Join the group of this role.")
@click.option("--service", is_flag=True, help="A service account: no password, keys only.")
def create(session: Session, name: str, groups: tuple[str, ...], roles: tuple[str, ...], service: bool) -> None:
    """Create a user. The password is asked for, or read from stdin."""
    password = None if service else _password(name)
    with accounts_ready("CreateUser"):
        from orion_site.accounts.users import create_user

        row = _row(create_user(name=name, password=password, groups=groups, roles=roles))
    session.report(f"Created {'the service account' if service else 'the user'} {name}.", row)
    if not groups and not roles:
        session.note("It may do nothing yet: give it a group with `orion user set-groups`.")


@command(("orion user set-password ada", "asks for it"), ("orion user set-password ada < password.txt", ""))
@click.argument("name")
def set_password(session: Session, name: str) -> None:
    """Set the password of a user, who has to sign in again everywhere."""
    with accounts_ready("SetPassword"):
        from orion_site.accounts import users

        users.user_named(name)
        users.set_password(name=name, password=_password(name))
        row = _row(users.user_named(name))
    session.report(f"The password of {name} is set; sessions with the old one are over.", row)


@command(("orion user set-groups ada -g admins", ""), ("orion user set-groups bob", "no groups: bob may do nothing"))
@click.argument("name")
@with_params(_groups)
def set_groups(session: Session, name: str, groups: tuple[str, ...]) -> None:
    """Put a user into these groups, and no others. Sessions of the user end if the roles change."""
    with accounts_ready("SetGroups"):
        from orion_site.accounts import users

        users.set_groups(name=name, groups=groups)
        row = _row(users.user_named(name))
    session.report(f"{name} is in {', '.join(groups) or 'no group'} now.", row)


@command(("orion user link ada 248289761001", "the subject, as the provider names it"))
@click.argument("name")
@click.argument("subject")
def link(session: Session, name: str, subject: str) -> None:
    """Let the person with this subject at ORION_OIDC_ISSUER sign in as this user. A refused sign-on shows it."""
    with accounts_ready("LinkUser"):
        from django.conf import settings

        from orion_site.accounts import users

        if not settings.ORION_OIDC_ISSUER:
            raise CommandFailed(ExitCode.USAGE, "No provider of sign-on is named.", fix="set ORION_OIDC_ISSUER")
        users.link(name=name, issuer=settings.ORION_OIDC_ISSUER, subject=subject)
        row = _row(users.user_named(name))
    session.report(f"{name} signs in as {subject} of {settings.ORION_OIDC_ISSUER} now.", row)


@command(("orion user disable bob", "sessions and keys are refused from now on"))
@click.argument("name")
def disable(session: Session, name: str) -> None:
    """Refuse a user, and all keys of the user, until `orion user enable`."""
    _switch(session, name, is_active=False)


@command(("orion user enable bob", ""))
@click.argument("name")
def enable(session: Session, name: str) -> None:
    """Enable a disabled user, with the old password and keys."""
    _switch(session, name, is_active=True)


@command(("orion user delete bob --yes", ""))
@click.argument("name")
@with_params(YES)
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a user and their keys."""
    ask_before(f"delete the user {name} with all keys", yes=yes)
    with accounts_ready("DeleteUser"):
        from orion_site.accounts import users

        row = _row(users.user_named(name))
        users.delete_user(name=name)
    session.report(f"Deleted the user {name}.", row)


def _switch(session: Session, name: str, *, is_active: bool) -> None:
    with accounts_ready("SwitchUser"):
        from orion_site.accounts import users

        users.set_active(name=name, is_active=is_active)
        row = _row(users.user_named(name))
    session.report(f"{name} is {'enabled' if is_active else 'disabled'} now.", row)


def _row(user: User) -> dict[str, Any]:
    from orion_site.accounts.models import ApiKey
    from orion_site.accounts.users import roles_of

    return {
        "name": user.get_username(),
        "roles": ["admin (superuser)"] * user.is_superuser + [str(one) for one in roles_of(user)],
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "signs_in": user.has_usable_password(),
        "enabled": user.is_active,
        "keys": ApiKey.objects.filter(user=user, revoked=None).count(),
        "last_sign_in": iso(user.last_login),
    }


def _password(name: str) -> str:
    if current_terminal().is_interactive:
        asked: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not password:
        raise CommandFailed(ExitCode.USAGE, "No password came on stdin.", "nothing was changed")
    return password
