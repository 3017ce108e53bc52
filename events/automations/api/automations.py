"""Automations: actions that follow certain events."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from rest_framework.response import Response

from events.automations.core.templates import misplaced
from events.automations.services.automations import (
    actions_of,
    create_automation,
    delete_automation,
    delete_automations_owned_by,
    replace_automation,
    switch_automation,
)
from events.models import Automation
from events.recording.filters import AutomationFilter, AutomationSort
from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.api.parsing import StrictJSONParser, TextParser
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import automations as contract
from runs.lists.filters.conditions import matched

ORDERS = {
    AutomationSort.CREATED_DESC: ("-created", "-id"),
    AutomationSort.UPDATED_DESC: ("-updated", "-id"),
    AutomationSort.NAME_ASC: ("name", "id"),
    AutomationSort.NAME_DESC: ("-name", "-id"),
}
MOST_RELATED = 1000


class AutomationListing(Page):
    sort: AutomationSort = AutomationSort.NAME_ASC
    automations: AutomationFilter | None = None


class CreateAutomation(Operation):
    """Create an automation, which runs actions when certain events occur, or fail to occur."""

    method = "POST"
    action_required = Action.CHANGE_AUTOMATIONS
    answers = {201: contract.Automation}

    def perform(self, body: contract.AutomationCreate) -> dict[str, Any]:
        automation = create_automation(columns=body.model_dump(mode="json"), now=current_time())
        return as_answer(contract.Automation, automation)


class ReadAutomation(Operation):
    """Read an automation by its id."""

    method = "GET"
    action_required = Action.READ_AUTOMATIONS
    odd_id = 404
    answers = {200: contract.Automation}

    def perform(self, id: UUID) -> dict[str, Any]:
        automation = existing(Automation.objects.filter(pk=id).first(), "Automation")
        return as_answer(contract.Automation, automation)


class ReplaceAutomation(Operation):
    """Replace an automation. Its counts start again. Optional fields that are not sent stay as they are."""

    method = "PUT"
    action_required = Action.CHANGE_AUTOMATIONS
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID, body: contract.AutomationUpdate) -> None:
        # Not `exclude_unset`, which would also omit defaults within the trigger and the actions.
        columns = body.model_dump(mode="json", include=body.model_fields_set)
        replace_automation(automation_id=id, columns=columns, now=current_time())


class SwitchAutomation(Operation):
    """Switch an automation on or off. Events while it is off are not processed later."""

    method = "PATCH"
    action_required = Action.CHANGE_AUTOMATIONS
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID, body: contract.AutomationPartialUpdate) -> None:
        switch_automation(automation_id=id, enabled=body.enabled, now=current_time())


class DeleteAutomation(Operation):
    """Delete an automation."""

    method = "DELETE"
    action_required = Action.CHANGE_AUTOMATIONS
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_automation(automation_id=id)


class FilterAutomations(Operation):
    """List automations."""

    method = "POST"
    action_required = Action.READ_AUTOMATIONS
    answers = {200: list[contract.Automation]}
    body_optional = True

    def perform(self, body: AutomationListing) -> list[dict[str, Any]]:
        found = Automation.objects.filter(matched(body.automations)).order_by(*ORDERS[body.sort])
        return [as_answer(contract.Automation, one) for one in self.paginate_queryset(found)]


class CountAutomations(Operation):
    """Count automations."""

    method = "POST"
    action_required = Action.READ_AUTOMATIONS
    answers = {200: int}

    def perform(self) -> int:
        return Automation.objects.count()


class ReadRelatedAutomations(Operation):
    """List the automations that belong to a resource, or act on it, such as `prefect.deployment.<id>`."""

    method = "GET"
    action_required = Action.READ_AUTOMATIONS
    answers = {200: list[contract.Automation]}

    def perform(self, resource_id: str) -> list[dict[str, Any]]:
        every = Automation.objects.order_by("name", "id")[:MOST_RELATED]
        return [as_answer(contract.Automation, one) for one in every if _is_related(one, resource_id)]


class DeleteOwnedAutomations(Operation):
    """Delete the automations that belong to a resource."""

    method = "DELETE"
    action_required = Action.CHANGE_AUTOMATIONS
    answers = {202: None}

    def perform(self, resource_id: str) -> None:
        delete_automations_owned_by(resource_id=resource_id)


class ValidateTemplate(Operation):
    """Check a template of an automation, sent as text or as JSON. A valid one returns no content."""

    parser_classes = (StrictJSONParser, TextParser)

    method = "POST"
    action_required = Action.READ_AUTOMATIONS
    answers = {204: None, 422: dict[str, contract.TemplateProblem]}
    body_optional = True

    def perform(self, body: Annotated[str | dict[str, Any], Field(union_mode="left_to_right")]) -> Response:
        text = body if isinstance(body, str) else ""
        wrong = misplaced(text)
        if wrong is None:
            return Response(status=204)
        return Response({"error": {"line": wrong.line, "message": wrong.message, "source": text}}, status=422)


def _is_related(automation: Automation, resource_id: str) -> bool:
    if automation.owner_resource == resource_id:
        return True
    kind, _, id = resource_id.removeprefix("prefect.").rpartition(".")
    actions = actions_of({"actions": automation.actions, "actions_on_trigger": automation.actions_on_trigger})
    return bool(kind) and any(action.get(f"{kind.replace('-', '_')}_id") == id for action in actions)
