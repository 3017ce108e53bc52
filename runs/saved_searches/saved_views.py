"""Views of lists: saved searches whose only filter is the query of a list.

In the API they are ordinary saved searches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.db.models import QuerySet

from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.errors import SavedSearchTaken
from runs.models import SavedSearch
from runs.saved_searches.owners import (
    is_own,
    may_change,
    owner_name,
    owner_of,
    private_number,
    refuse_those_of_others,
    saved_by,
    visible_searches,
)
from runs.saved_searches.services import locked_search, save_search, searches_called

# The most views above a list.
MOST = 200
# Longer queries, and those of more fields, open no list: Django refuses addresses of more than 1,000 fields.
LONGEST_QUERY, MOST_FIELDS = 4_000, 500
# Parameters of an address that are not part of a view, such as the position in the list.
PASSING = frozenset({"after", "refresh", "view"})


@dataclass(frozen=True, slots=True)
class View:
    """A named query of one list."""

    id: UUID | None
    name: str
    query: str
    # Whether only its owner sees it; whose it is, unless it is the reader's or nobody knows; and whether the reader may
    # change it, also by deciding who sees it.
    is_private: bool = False
    owner: str = ""
    may_change: bool = False
    may_hide: bool = False

    @property
    def key(self) -> str:
        """The key by which a browser remembers the view; the name for built-in views."""
        return str(self.id or self.name)

    @property
    def visibility(self) -> str:
        return "me" if self.is_private else "team"


def same_query(text: str) -> str:
    """Return the query in a normal form, in which equal filters are equal."""
    return urlencode(sorted((key, value) for key, value in parse_qsl(text.lstrip("?")) if key not in PASSING))


def opens_a_list(query: str) -> bool:
    """Whether a query in its normal form can be in the address of a list. NUL is in no text of PostgreSQL."""
    return len(query) <= LONGEST_QUERY and query.count("&") < MOST_FIELDS and "%00" not in query


def views_of(list_name: str) -> tuple[Sequence[View], bool]:
    """Return the first views of the list, by name, and whether there are more."""
    found = list(_searches(list_name).order_by("name", "id")[: MOST + 1])
    return list(_views(found[:MOST], list_name)), len(found) > MOST


def view_of(list_name: str, search_id: UUID) -> View | None:
    return next(_views(_searches(list_name).filter(pk=search_id), list_name), None)


def view_with(list_name: str, query: str) -> View | None:
    """Return the view with this query, as `save_view` stores it."""
    found = _searches(list_name).filter(filters__0__value=query).order_by("name")[:1]
    return next(_views(found, list_name), None)


def _searches(list_name: str) -> QuerySet[SavedSearch]:
    found = visible_searches().filter(filters__0__object=list_name, filters__0__property="query")
    # A search with a second filter is not a view.
    return found.filter(filters__1__isnull=True).only("name", "filters", "created_by", "private_to")


def _views(searches: Iterable[SavedSearch], list_name: str) -> Iterator[View]:
    for search in searches:
        if (query := _query_in(search.filters, list_name)) is not None:
            yield View(
                search.pk,
                search.name,
                query,
                is_private=search.private_to is not None,
                owner="" if is_own(search) else owner_name(search),
                may_change=may_change(search),
                may_hide=is_own(search) or search.created_by is None,
            )


def save_view(*, list_name: str, name: str, query: str, now: datetime, visibility: str = "team") -> SavedSearch:
    """Save the query under this name, replacing a view of this list with the same name that as many users see."""
    older = searches_called(name, visibility).first()
    if older is not None and _query_in(older.filters, list_name) is None:
        raise SavedSearchTaken(name=name)
    filters = [_filter(list_name, same_query(query))]
    search, _ = save_search(name=name, filters=filters, now=now, visibility=visibility)
    return search


@repeated_on_conflict
def change_view(*, search_id: UUID, name: str, visibility: str | None, now: datetime) -> None:
    """Rename a view, and say who sees it: everyone ("team"), its owner ("me"), or whoever saw it before (None).

    A view of nobody known belongs to whoever hides it from the others. Raises SavedSearchNotFound, SavedSearchTaken and
    SavedSearchOfAnother.
    """
    with write_transaction():
        view = locked_search(search_id)
        refuse_those_of_others(view)
        refuse_unreadable(name, unless=SavedSearch.objects.filter(pk=search_id, name=name))
        if visibility == "me" and view.created_by is None:
            view.created_by = saved_by()
        if visibility is not None:
            view.private_to = private_number(visibility, owner_of(view))
        if SavedSearch.objects.filter(name=name, private_to=view.private_to).exclude(pk=search_id).exists():
            raise SavedSearchTaken(name=name)
        view.name, view.updated = name, now
        view.save(update_fields=["name", "private_to", "created_by", "updated"])


def _filter(list_name: str, query: str) -> dict[str, Any]:
    return {"object": list_name, "property": "query", "type": "string", "operation": "equals", "value": query}


def _query_in(filters: Any, list_name: str) -> str | None:
    """Return the query if this is a view of this list; None for any other saved search, which programs store."""
    match filters:
        # The length is checked before parsing, because each page would parse what can be megabytes.
        case [{"object": str(of), "property": "query", "value": str(text)}] if (
            of == list_name and len(text) <= LONGEST_QUERY
        ):
            query = same_query(text)
            return query if opens_a_list(query) else None
    return None
