"""Saved searches: named filters of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.errors import SavedSearchNotFound
from runs.models import DefaultView, SavedSearch
from runs.saved_searches.owners import (
    own_number,
    private_number,
    refuse_those_of_others,
    saved_by,
    visible_searches,
)


@repeated_on_conflict
def save_search(
    *, name: str, filters: Sequence[dict[str, Any]], now: datetime, visibility: str = "team"
) -> tuple[SavedSearch, bool]:
    """Store the search under its name, replacing an older one. Return it, and whether the name is new.

    A search for everyone ("team") and one for its owner ("me") may have the same name. Raises SavedSearchOfAnother if
    the older one is somebody else's.
    """
    with write_transaction():
        older = searches_called(name, visibility).select_for_update(no_key=True).first()
        refuse_unreadable(name, unless=visible_searches().filter(name=name))
        if older is None:
            search = SavedSearch(name=name, filters=list(filters), created=now, created_by=saved_by())
            search.private_to = private_number(visibility, own_number())
            search.save(force_insert=True)
            return search, True
        refuse_those_of_others(older)
        older.filters, older.updated = list(filters), now
        older.save(update_fields=["filters", "updated"])
        return older, False


def searches_called(name: str, visibility: str) -> QuerySet[SavedSearch]:
    """Return the one search with this name that everyone sees, or the one that only the sender of the request sees."""
    private_to = private_number(visibility, own_number())
    return visible_searches().filter(name=name, private_to=private_to)


@repeated_on_conflict
def delete_saved_search(*, search_id: UUID) -> None:
    """Delete a search. Raises SavedSearchNotFound, and SavedSearchOfAnother if it is somebody else's."""
    with write_transaction():
        search = locked_search(search_id)
        refuse_those_of_others(search)
        search.delete()
        DefaultView.objects.filter(key=str(search_id)).delete()


def delete_searches_of_user(*, user_id: int) -> None:
    """Delete the private searches and the default views of a user, in the transaction that deletes the user."""
    SavedSearch.objects.filter(private_to=user_id).delete()
    DefaultView.objects.filter(user=user_id).delete()


def locked_search(search_id: UUID) -> SavedSearch:
    """Return a search that the sender of the request sees, locked until it is written. Raises SavedSearchNotFound."""
    # Without the lock, a search that another request deletes or hides meanwhile would be changed by what was read.
    search = visible_searches().select_for_update(no_key=True).filter(pk=search_id).first()
    if search is None:
        raise SavedSearchNotFound(id=search_id)
    return search
