"""Saved searches of the dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import JSON, StrictWire, Text255, Wire
from runs.models import SavedSearch
from runs.saved_searches.services import delete_saved_search, save_search


class SavedSearchFilter(Wire):
    object: str
    property: str
    type: str
    operation: str
    value: JSON


class SavedSearchCreate(StrictWire):
    name: Text255
    filters: Annotated[list[SavedSearchFilter], Field(max_length=1000)] = []


class SavedSearchFilterOut(TypedDict):
    object: str
    property: str
    type: str
    operation: str
    value: Any


class SavedSearchOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    filters: list[SavedSearchFilterOut]


class SaveSearch(Operation):
    """Store a search under its name, in place of an older one."""

    method = "PUT"
    action_required = Action.CHANGE_RUNS
    answers = {201: SavedSearchOut, 200: SavedSearchOut}

    def perform(self, body: SavedSearchCreate) -> Response:
        filters = [filter.model_dump(mode="json") for filter in body.filters]
        search, created = save_search(name=body.name, filters=filters, now=timezone.now())
        return Response(_out(search), status=201 if created else 200)


class ReadSavedSearch(Operation):
    """Read a saved search."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: SavedSearchOut}

    def perform(self, id: UUID) -> SavedSearchOut:
        search = SavedSearch.objects.filter(pk=id).first()
        if search is None:
            raise Missing("Saved search")
        return _out(search)


class DeleteSavedSearch(Operation):
    """Delete a saved search."""

    method = "DELETE"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_saved_search(search_id=id)


class FilterSavedSearches(Operation):
    """List saved searches by name."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[SavedSearchOut]}
    body_optional = True

    def perform(self, body: Page) -> list[SavedSearchOut]:
        return [_out(search) for search in self.paginate_queryset(SavedSearch.objects.order_by("name"))]


def _out(search: SavedSearch) -> SavedSearchOut:
    return {
        "id": search.id,
        "created": search.created,
        "updated": search.updated,
        "name": search.name,
        "filters": search.filters,
    }
