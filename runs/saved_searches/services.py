"""Saved searches: named filters of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.errors import SavedSearchNotFound
from runs.models import SavedSearch


@repeated_on_conflict
def save_search(*, name: str, filters: Sequence[dict[str, Any]], now: datetime) -> tuple[SavedSearch, bool]:
    """Store the search under its name, replacing an older one. Return it, and whether the name is new."""
    with write_transaction():
        refuse_unreadable(name, unless=SavedSearch.objects.filter(name=name))
        return SavedSearch.objects.update_or_create(
            name=name,
            defaults={"filters": list(filters), "updated": now},
            create_defaults={"filters": list(filters), "created": now},
        )


def delete_saved_search(*, search_id: UUID) -> None:
    with write_transaction():
        deleted, _ = SavedSearch.objects.filter(pk=search_id).delete()
        if not deleted:
            raise SavedSearchNotFound(id=search_id)
