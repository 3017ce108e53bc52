"""Variables: by id, and by the name that flows know them by."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.blocks.services.variables import create_variable, delete_variable, update_variable
from deployments.filters import VariableFilter, VariableSort
from deployments.models import Variable
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.errors import VariableNotFound
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import StrictWire, Tags, Wire
from runs.lists.filters.conditions import matched
from runs.lists.filters.sorts import ORDERS

VariableName = Annotated[str, Field(min_length=1, max_length=255, pattern="^[a-z0-9_]+$")]
Value = Annotated[str, Field(max_length=5000)]


class VariableCreate(StrictWire):
    name: VariableName
    value: Value
    tags: Tags = []


class VariableUpdate(StrictWire):
    """Only what is sent is changed."""

    name: VariableName | None = None
    value: Value | None = None
    tags: Tags | None = None


class VariableSearch(Wire):
    variables: VariableFilter | None = None


class VariableListing(VariableSearch, Page):
    sort: VariableSort = VariableSort.NAME_ASC


class VariableOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    value: str
    tags: list[str]


class CreateVariable(Operation):
    """Store a variable under a new name."""

    method = "POST"
    action_required = Action.CHANGE_VARIABLES
    answers = {201: VariableOut}

    def perform(self, body: VariableCreate) -> Response:
        variable = create_variable(name=body.name, value=body.value, tags=body.tags, now=timezone.now())
        return Response(_out(variable), status=201)


class ReadVariable(Operation):
    """Read a variable by its id."""

    method = "GET"
    action_required = Action.READ_VARIABLES
    odd_id = 404
    answers = {200: VariableOut}

    def perform(self, id: UUID) -> VariableOut:
        return _found(Q(pk=id))


class ReadVariableByName(Operation):
    """Read a variable by its name."""

    method = "GET"
    action_required = Action.READ_VARIABLES
    answers = {200: VariableOut}

    def perform(self, name: str) -> VariableOut:
        return _found(Q(name=name))


class UpdateVariable(Operation):
    """Change a variable, found by its id."""

    method = "PATCH"
    action_required = Action.CHANGE_VARIABLES
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID, body: VariableUpdate) -> None:
        update_variable(which=Q(pk=id), changes=_changes(body), now=timezone.now())


class UpdateVariableByName(Operation):
    """Change a variable, found by its name."""

    method = "PATCH"
    action_required = Action.CHANGE_VARIABLES
    answers = {204: None}

    def perform(self, name: str, body: VariableUpdate) -> None:
        update_variable(which=Q(name=name), changes=_changes(body), now=timezone.now())


class DeleteVariable(Operation):
    """Delete a variable, found by its id."""

    method = "DELETE"
    action_required = Action.CHANGE_VARIABLES
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_variable(which=Q(pk=id))


class DeleteVariableByName(Operation):
    """Delete a variable, found by its name."""

    method = "DELETE"
    action_required = Action.CHANGE_VARIABLES
    answers = {204: None}

    def perform(self, name: str) -> None:
        delete_variable(which=Q(name=name))


class FilterVariables(Operation):
    """List variables."""

    method = "POST"
    action_required = Action.READ_VARIABLES
    answers = {200: list[VariableOut]}
    body_optional = True

    def perform(self, body: VariableListing) -> list[VariableOut]:
        found = Variable.objects.filter(matched(body.variables)).order_by(*ORDERS[body.sort])
        return [_out(variable) for variable in self.paginate_queryset(found)]


class CountVariables(Operation):
    """Count variables."""

    method = "POST"
    action_required = Action.READ_VARIABLES
    answers = {200: int}
    body_optional = True

    def perform(self, body: VariableSearch) -> int:
        return Variable.objects.filter(matched(body.variables)).count()


def _changes(body: VariableUpdate) -> dict[str, object]:
    return body.model_dump(exclude_none=True)


def _found(which: Q) -> VariableOut:
    variable = Variable.objects.filter(which).first()
    if variable is None:
        raise VariableNotFound
    return _out(variable)


def _out(variable: Variable) -> VariableOut:
    return {
        "id": variable.id,
        "created": variable.created,
        "updated": variable.updated,
        "name": variable.name,
        "value": variable.value,
        "tags": variable.tags,
    }
