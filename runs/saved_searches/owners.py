"""Whose a saved search is: who sees it, and who may change it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from orchestration.authors import OWNER, asker, made_by, may_everywhere, user_in
from orchestration.errors import BeyondRights
from runs.errors import SavedSearchOfAnother
from runs.models import SavedSearch

# The right of those who may change what others saved: to use the admin.
OPERATES = "operate"
# What `private_to` has for the owner of the server, who is no user.
OWNER_OF_THE_SERVER = 0


def own_number() -> int | None:
    """Return the number of whoever sent the request, for `private_to`; None for senders who own nothing, as runs.

    Outside requests the owner of the server acts.
    """
    one = asker.get()
    if one is not None and one.user_id is not None:
        return one.user_id
    return OWNER_OF_THE_SERVER if may_everywhere(OPERATES) else None


def saved_by() -> dict[str, Any]:
    """Return who sent the request, as stored with a search; never None, with which a search would be everyone's."""
    one = asker.get()
    if one is None or own_number() == OWNER_OF_THE_SERVER:
        return OWNER
    return made_by() or {"id": None, "type": "RUN", "display_value": one.name}


def owner_of(search: SavedSearch) -> int | None:
    """Return the number of the search's owner; None if a run saved it, or it is from before owners were recorded."""
    if search.created_by is None:
        return None
    return OWNER_OF_THE_SERVER if search.created_by.get("type") == OWNER["type"] else user_in(search.created_by)


def is_own(search: SavedSearch) -> bool:
    owner = owner_of(search)
    return owner is not None and owner == own_number()


def owner_name(search: SavedSearch) -> str:
    return str((search.created_by or {}).get("display_value") or "")


def visible_searches() -> QuerySet[SavedSearch]:
    """Return the searches for everyone, and those of whoever sent the request."""
    return SavedSearch.objects.filter(Q(private_to__isnull=True) | Q(private_to=own_number()))


def may_change(search: SavedSearch) -> bool:
    """Whether the sender of the request may change a search that they see."""
    return search.created_by is None or is_own(search) or may_everywhere(OPERATES)


def refuse_those_of_others(search: SavedSearch) -> None:
    """Raise SavedSearchOfAnother if the sender of the request may not change the search."""
    if not may_change(search):
        raise SavedSearchOfAnother(name=search.name, owner=owner_name(search))


def private_number(visibility: str, owner: int | None) -> int | None:
    """Return `private_to` for a search of this owner. Raises BeyondRights for a private search without an owner."""
    if visibility == "team":
        return None
    if owner is None:
        raise BeyondRights(what="a search that only you see")
    return owner
