"""`orion group`: groups of users, and the roles that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orion_site.accounts.cli.database import accounts_ready
from orionflow.cli.columns import Col
from orionflow.cli.session import YES, Session, ask_before, command, with_params

if TYPE_CHECKING:
    from django.contrib.auth.models import Group

_COLUMNS = [Col("NAME", "name"), Col("ROLES", "roles"), Col("MEMBERS", "members")]
_roles = click.Option(
    ["--role", "roles"],
    multiple=True,
    metavar="ROLE[:KIND:NAME]",
    help="A role of the group: monitor, viewer, operator, deployer, agent or admin; or one that holds for named "
    "objects only: operator:deployment:FLOW/NAME, viewer:tag:NAME, operator:work-pool:NAME, "
    "operator:work-queue:POOL/NAME.",
)


@command(("orion group ls", ""))
def ls(session: Session) -> None:
    """List groups with their roles and members."""
    with accounts_ready():
        from django.contrib.auth.models import Group

        rows = [_row(one) for one in Group.objects.order_by("name")]
    session.show_list(rows, _COLUMNS, empty="No groups. `orion user create NAME --role ROLE` makes that of a role.")


@command(
    ("orion group create night-shift --role operator", ""),
    ("orion group create etl-team --role operator:deployment:etl/daily", "its deployment, and nothing else"),
)
@click.argument("name")
@with_params(_roles)
def create(session: Session, name: str, roles: tuple[str, ...]) -> None:
    """Create a group whose members may do what its roles allow."""
    with accounts_ready("CreateGroup"):
        from orion_site.accounts.users import create_group

        row = _row(create_group(name=name, roles=roles))
    session.report(f"Created the group {name}; put users into it with `orion user set-groups`.", row)


@command(("orion group set-roles night-shift --role operator --role viewer", ""))
@click.argument("name")
@with_params(_roles)
def set_roles(session: Session, name: str, roles: tuple[str, ...]) -> None:
    """Give a group these roles, and no others."""
    with accounts_ready("SetRoles"):
        from orion_site.accounts import users

        users.set_roles(name=name, roles=roles)
        row = _row(users.group_named(name))
    session.report(f"The group {name} has {', '.join(roles) or 'no role'} now.", row)


@command(("orion group delete night-shift --yes", ""))
@click.argument("name")
@with_params(YES)
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a group. Its members stay, without its roles."""
    ask_before(f"delete the group {name}", yes=yes)
    with accounts_ready("DeleteGroup"):
        from orion_site.accounts import users

        row = _row(users.group_named(name))
        users.delete_group(name=name)
    session.report(f"Deleted the group {name}.", row)


def _row(group: Group) -> dict[str, Any]:
    from orion_site.accounts.models import Grant

    return {
        "name": group.name,
        "roles": sorted(map(str, Grant.objects.filter(group=group))),
        "members": sorted(group.user_set.values_list("username", flat=True)),
    }
