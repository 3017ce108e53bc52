"""The views with which lists open for a user, in every browser of that user.

The owner of the server is no user: those defaults, and those from before this table, are in cookies
(`orion_site.preferences`).
"""

from __future__ import annotations

from orchestration.authors import asking_user
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import DefaultView


def default_of_user(list_name: str) -> str | None:
    """Return the key of the default view of the user who sent the request; None without one."""
    user = asking_user()
    if user is None:
        return None
    return DefaultView.objects.filter(user=user, list_name=list_name).values_list("key", flat=True).first()


@repeated_on_conflict
def keep_default(*, list_name: str, key: str | None) -> bool:
    """Store the user's default view of a list, or remove it. Return False for a sender who is no user."""
    user = asking_user()
    if user is None:
        return False
    with write_transaction():
        if key is None:
            DefaultView.objects.filter(user=user, list_name=list_name).delete()
        else:
            DefaultView.objects.update_or_create(user=user, list_name=list_name, defaults={"key": key})
    return True
