"""Saved searches of the dashboard."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import records
from orionflow.contract.wire import Shaped
from runs.models import SavedSearch
from runs.saved_searches.owners import OWNER_OF_THE_SERVER, owner_of, visible_searches
from runs.saved_searches.services import delete_saved_search, save_search

SavedSearchOut = Annotated[dict[str, Any], Shaped(records.SavedSearch)]


def answered(search: SavedSearch) -> dict[str, Any]:
    # Answers about other objects name users, too, and not the owner of the server.
    by = None if owner_of(search) == OWNER_OF_THE_SERVER else search.created_by
    return as_answer(records.SavedSearch, search, created_by=by)


class SaveSearch(Operation):
    """Store a search under its name, replacing an older one.

    One that everyone sees and one that only you see may have the same name. Only who saved a search, or an admin, may
    replace it.
    """

    method = "PUT"
    action_required = Action.CHANGE_RUNS
    answers = {201: SavedSearchOut, 200: SavedSearchOut}

    def perform(self, body: records.SavedSearchCreate) -> Response:
        filters = [filter.model_dump(mode="json") for filter in body.filters]
        search, created = save_search(name=body.name, filters=filters, visibility=body.visibility, now=current_time())
        return Response(answered(search), status=201 if created else 200)


class ReadSavedSearch(Operation):
    """Read a saved search."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: SavedSearchOut}

    def perform(self, id: UUID) -> SavedSearchOut:
        return answered(existing(visible_searches().filter(pk=id).first(), "Saved search"))


class DeleteSavedSearch(Operation):
    """Delete a saved search. Only who saved it, or an admin, may do so."""

    method = "DELETE"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_saved_search(search_id=id)


class FilterSavedSearches(Operation):
    """List saved searches by name: those that everyone sees, and your own."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[SavedSearchOut]}
    body_optional = True

    def perform(self, body: Page) -> list[SavedSearchOut]:
        searches = self.paginate_queryset(visible_searches().order_by("name", "id"))
        return [answered(search) for search in searches]
