"""Views of lists: saved searches whose only filter is the query of a list.

In the API they are ordinary saved searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from orchestration.errors import SavedSearchNotFound, SavedSearchTaken, refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import SavedSearch
from runs.saved_searches.services import save_search

# The most saved searches that a list reads to find its views.
MOST = 200
# Parameters of an address that are not part of a view, such as the position in the list.
PASSING = frozenset({"after", "refresh", "view"})


@dataclass(frozen=True, slots=True)
class View:
    """A named query of one list."""

    id: UUID | None
    name: str
    query: str

    @property
    def key(self) -> str:
        """The key by which a browser remembers the view; the name for built-in views."""
        return str(self.id or self.name)


def same_query(text: str) -> str:
    """Return the query in a normal form, in which equal filters are equal."""
    return urlencode(sorted((key, value) for key, value in parse_qsl(text.lstrip("?")) if key not in PASSING))


def views_of(list_name: str) -> Sequence[View]:
    found = SavedSearch.objects.order_by("name").only("name", "filters")[:MOST]
    views = [(search, _query_in(search.filters, list_name)) for search in found]
    return [View(search.pk, search.name, query) for search, query in views if query is not None]


def save_view(*, list_name: str, name: str, query: str, now: datetime) -> SavedSearch:
    """Save the query under this name, replacing a view of this list with the same name."""
    older = SavedSearch.objects.filter(name=name).first()
    if older is not None and _query_in(older.filters, list_name) is None:
        raise SavedSearchTaken(name=name)
    if older is None:
        refuse_unreadable(name)
    search, _ = save_search(name=name, filters=[_filter(list_name, same_query(query))], now=now)
    return search


@repeated_on_conflict
def rename_view(*, search_id: UUID, name: str, now: datetime) -> None:
    refuse_unreadable(name)
    with write_transaction():
        if SavedSearch.objects.filter(name=name).exclude(pk=search_id).exists():
            raise SavedSearchTaken(name=name)
        if not SavedSearch.objects.filter(pk=search_id).update(name=name, updated=now):
            raise SavedSearchNotFound(id=search_id)


def _filter(list_name: str, query: str) -> dict[str, Any]:
    return {"object": list_name, "property": "query", "type": "string", "operation": "equals", "value": query}


def _query_in(filters: Any, list_name: str) -> str | None:
    """Return the query if this is a view of this list; None for any other saved search."""
    match filters:
        case [{"object": str(of), "property": "query", "value": str(query)}] if of == list_name:
            return same_query(query)
    return None
