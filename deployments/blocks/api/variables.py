"""Variables: by id, and by the name that flows use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.response import Response

from deployments.blocks.services.variables import create_variable, delete_variable, update_variable
from deployments.errors import VariableNotFound
from deployments.filters import VariableFilter, VariableSort
from deployments.models import Variable
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import blocks as contract
from orionflow.contract.wire import Wire
from runs.lists.filters.conditions import matched
from runs.lists.filters.sorts import ORDERS


class VariableSearch(Wire):
    variables: VariableFilter | None = None


class VariableListing(VariableSearch, Page):
    sort: VariableSort = VariableSort.NAME_ASC


class CreateVariable(Operation):
    """Create a variable."""

    method = "POST"
    action_required = Action.CHANGE_VARIABLES
    answers = {201: contract.Variable}

    def perform(self, body: contract.VariableCreate) -> Response:
        variable = create_variable(**body.model_dump(), now=current_time())
        return Response(as_answer(contract.Variable, variable), status=201)


class ReadVariable(Operation):
    """Read a variable by its id."""

    method = "GET"
    action_required = Action.READ_VARIABLES
    odd_id = 404
    answers = {200: contract.Variable}

    def perform(self, id: UUID) -> dict[str, Any]:
        return _found(Q(pk=id))


class ReadVariableByName(Operation):
    """Read a variable by its name."""

    method = "GET"
    action_required = Action.READ_VARIABLES
    answers = {200: contract.Variable}

    def perform(self, name: str) -> dict[str, Any]:
        return _found(Q(name=name))


class UpdateVariable(Operation):
    """Change a variable, found by its id."""

    method = "PATCH"
    action_required = Action.CHANGE_VARIABLES
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID, body: contract.VariableUpdate) -> None:
        update_variable(which=Q(pk=id), changes=changes_in(body, Variable), now=current_time())


class UpdateVariableByName(Operation):
    """Change a variable, found by its name."""

    method = "PATCH"
    action_required = Action.CHANGE_VARIABLES
    answers = {204: None}

    def perform(self, name: str, body: contract.VariableUpdate) -> None:
        update_variable(which=Q(name=name), changes=changes_in(body, Variable), now=current_time())


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
    answers = {200: list[contract.Variable]}
    body_optional = True

    def perform(self, body: VariableListing) -> list[dict[str, Any]]:
        found = Variable.objects.filter(matched(body.variables)).order_by(*ORDERS[body.sort])
        return [as_answer(contract.Variable, variable) for variable in self.paginate_queryset(found)]


class CountVariables(Operation):
    """Count variables."""

    method = "POST"
    action_required = Action.READ_VARIABLES
    answers = {200: int}
    body_optional = True

    def perform(self, body: VariableSearch) -> int:
        return Variable.objects.filter(matched(body.variables)).count()


def _found(which: Q) -> dict[str, Any]:
    variable = Variable.objects.filter(which).first()
    if variable is None:
        raise VariableNotFound
    return as_answer(contract.Variable, variable)
