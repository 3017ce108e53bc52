"""Users and groups: create, change, delete. A user without a password is a service account, which has keys only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from orchestration.transactions import write_transaction
from orion_site.accounts.errors import (
    BadName,
    BadPassword,
    BadRole,
    GroupNotFound,
    LastAdmin,
    NameLooksAlike,
    NameTaken,
    UserNotFound,
)
from orion_site.accounts.local_owner import OWNER_NAME, who_can_sign_in
from orion_site.accounts.look_alikes import look_alike
from orion_site.accounts.models import Grant, Identity
from orion_site.accounts.permissions import Action, Actor
from orion_site.accounts.recognised import rights_changed
from orion_site.accounts.roles import Held, Role, actions_of, objects_of, read_held
from orionflow.contract.names import fault_of
from runs.saved_searches.services import delete_searches_of_user

LONGEST_NAME = 150
# The groups that stand for one role each, created when a user is first given the role by its name.
GROUP_OF_ROLE = {role: f"{role.value}s" for role in Role}


def users() -> QuerySet[User]:
    """Return all users except the row of the local owner."""
    return User.objects.exclude(username=OWNER_NAME).order_by("username")


def user_named(name: str) -> User:
    user = users().filter(username=name).first()
    if user is None:
        raise UserNotFound(id=name)
    return user


def group_named(name: str) -> Group:
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise GroupNotFound(id=name)
    return group


def roles_of(user: User) -> list[Held]:
    return held(Grant.objects.filter(group__user=user))


def held(grants: QuerySet[Grant]) -> list[Held]:
    """Return the roles of these grants, each once."""
    return sorted({Held(*row) for row in grants.values_list("role", "kind", "name")}, key=str)


def actions_of_user(user: User) -> frozenset[Action]:
    return actions_of(roles_of(user), is_superuser=user.is_superuser)


def actor_of_user(user: User) -> tuple[Actor, str]:
    """Return the actor of the user's sessions, and its rights as a text with which a session compares them."""
    roles = roles_of(user)
    actions = actions_of(roles, is_superuser=user.is_superuser)
    actor = Actor(user.get_username(), actions, user_id=user.pk, objects=objects_of(roles))
    return actor, ",".join(["superuser"] * user.is_superuser + [str(one) for one in roles])


def create_user(
    *, name: str, password: str | None = None, groups: Sequence[str] = (), roles: Iterable[str] = ()
) -> User:
    """Create a user who signs in with the password, or without one a service account."""
    refuse_bad_name(name)
    if password is not None:
        refuse_bad_password(password, User(username=name))
    with write_transaction():
        refuse_look_alike("a user", name, [*User.objects.values_list("username", flat=True), OWNER_NAME])
        user = User.objects.create_user(name, password=password)
        user.groups.set([*map(group_named, groups), *map(group_of_role, roles)])
    return user


def set_password(*, name: str, password: str) -> None:
    """Set a password, and so end sessions that were opened with the old one."""
    with write_transaction():
        user = user_named(name)
        refuse_bad_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])


def link(*, name: str, issuer: str, subject: str) -> None:
    """Link a subject of a provider of single sign-on to the user. Raises NameTaken."""
    with write_transaction():
        user = user_named(name)
        if Identity.objects.filter(issuer=issuer, subject=subject).exists():
            raise NameTaken(what="a user for", name=subject)
        Identity.objects.create(user=user, issuer=issuer, subject=subject)


def set_active(*, name: str, is_active: bool) -> None:
    """Disable a user, whose sessions and keys are then refused, or enable it again."""
    with write_transaction():
        user = user_named(name)
        if not is_active:
            refuse_last_admin(user)
        user.is_active = is_active
        user.save(update_fields=["is_active"])


def set_groups(*, name: str, groups: Sequence[str]) -> None:
    """Put a user into these groups and no others. A user who loses or gains a role must sign in again."""
    with write_transaction():
        # Before the groups are read: another request may be about to take their roles away.
        _hold_admins()
        user = user_named(name)
        before = Action.MANAGE_USERS in actions_of_user(user)
        found = [*map(group_named, groups)]
        roles = held(Grant.objects.filter(group__in=found))
        if before and Action.MANAGE_USERS not in actions_of(roles, is_superuser=user.is_superuser):
            refuse_last_admin(user)
        user.groups.set(found)


def delete_user(*, name: str) -> None:
    """Delete a user, their keys, and the views that only they saw."""
    with write_transaction():
        user = user_named(name)
        refuse_last_admin(user)
        delete_searches_of_user(user_id=user.pk)
        user.delete()


def create_group(*, name: str, roles: Iterable[str]) -> Group:
    refuse_bad_name(name)
    wanted = _read(roles)
    with write_transaction():
        refuse_look_alike("a group", name, Group.objects.values_list("name", flat=True), meant=GROUP_OF_ROLE.values())
        group = Group.objects.create(name=name)
        _grant(group, wanted)
    return group


def set_roles(*, name: str, roles: Iterable[str]) -> None:
    """Give a group these roles and no others."""
    wanted = _read(roles)
    with write_transaction():
        group = group_named(name)
        if Held(Role.ADMIN) not in wanted:
            _refuse_without_admins(but=group)
        had = {Held(one.role, one.kind, one.name): one.pk for one in Grant.objects.filter(group=group)}
        Grant.objects.filter(pk__in=[had[one] for one in had.keys() - wanted]).delete()
        _grant(group, wanted - had.keys())


def _read(roles: Iterable[str]) -> set[Held]:
    try:
        return {read_held(one) for one in roles}
    except ValueError as error:
        raise BadRole(reason=str(error)) from None


def _grant(group: Group, roles: Iterable[Held]) -> None:
    Grant.objects.bulk_create(
        Grant(group=group, role=one.role, kind=one.kind, name=one.name) for one in sorted(roles, key=str)
    )
    # Bulk statements send no signals, by which caches of keys learn of other changes.
    rights_changed()


def delete_group(*, name: str) -> None:
    with write_transaction():
        group = group_named(name)
        _refuse_without_admins(but=group)
        group.delete()


def group_of_role(role: str) -> Group:
    """Return the group that stands for a role; create it if needed."""
    group, is_new = Group.objects.get_or_create(name=GROUP_OF_ROLE[Role(role)])
    if is_new:
        Grant.objects.create(group=group, role=role)
    return group


def refuse_bad_name(name: str) -> None:
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError:
        raise BadName(name=name[:100]) from None
    # Some letters are drawn as nothing.
    if name == OWNER_NAME or len(name) > LONGEST_NAME or fault_of(name):
        raise BadName(name=name[:100])


def refuse_look_alike(what: str, name: str, names: Iterable[str], *, meant: Iterable[str] = ()) -> None:
    """Refuse a name that exists, or that looks like an existing one or like one that is `meant` for others."""
    there = {*names}
    if name in there:
        raise NameTaken(what=what, name=name)
    others = sorted(there | {*meant} - {name})
    if taken := look_alike(name, others):
        raise NameLooksAlike(what=what, name=name, taken=taken)


def refuse_bad_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadPassword(reason=" ".join(error.messages)) from None


def refuse_last_admin(user: User) -> None:
    """Refuse to remove the last admin who can sign in."""
    _hold_admins()
    admins = _admins()
    if admins.filter(pk=user.pk).exists() and not admins.exclude(pk=user.pk).exists():
        raise LastAdmin(name=user.get_username())


def _refuse_without_admins(*, but: Group) -> None:
    _hold_admins()
    left = who_can_sign_in().filter(
        Q(is_superuser=True) | Q(groups__in=Group.objects.filter(grants__role=Role.ADMIN).exclude(pk=but.pk))
    )
    if (concerned := _admins().filter(groups=but).first()) and not left.exists():
        raise LastAdmin(name=concerned.get_username())


def _hold_admins() -> None:
    """Lock the admins who can sign in until the end of the transaction, which then reads who there are.

    Otherwise, of the last two, each could be removed because there is still the other one.
    """
    # In one order, so that two transactions do not wait for each other.
    list(User.objects.select_for_update(no_key=True).filter(pk__in=_admins().values("pk")).order_by("pk").values("pk"))


def _admins() -> QuerySet[User]:
    admin = Q(is_superuser=True) | Q(groups__grants__role=Role.ADMIN)
    return who_can_sign_in().filter(admin).distinct()
