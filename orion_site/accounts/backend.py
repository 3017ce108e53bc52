"""Django's backend for passwords and users, with the permissions of Orion's roles for the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User

from orion_site.accounts.permissions import Action
from orion_site.accounts.users import actions_of_user


class RolesBackend(ModelBackend):
    """Gives users with the action `operate` every permission of the admin, and others none."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        return self._may_operate(user_obj)

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        return self._may_operate(user_obj)

    def _may_operate(self, user: User | AnonymousUser) -> bool:
        if not isinstance(user, User) or not user.is_active:
            return False
        # The index of the admin asks for each model.
        known: bool | None = getattr(user, "_may_operate", None)
        if known is None:
            known = Action.OPERATE in actions_of_user(user)
            user._may_operate = known  # type: ignore[attr-defined]
        return known
