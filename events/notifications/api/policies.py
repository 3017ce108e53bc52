"""Notification policies: messages about flow runs in certain states, sent through a block."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from events.models import NotificationPolicy
from events.notifications.services.policies import create_policy, delete_policy, update_policy
from events.recording.filters import PolicyFilter
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import notifications as contract
from runs.lists.filters.conditions import matched


class PolicyListing(Page):
    flow_run_notification_policy_filter: PolicyFilter | None = None


class CreateFlowRunNotificationPolicy(Operation):
    """Send messages through a block when flow runs enter certain states."""

    method = "POST"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {201: contract.FlowRunNotificationPolicy}
    missing = 409

    def perform(self, body: contract.FlowRunNotificationPolicyCreate) -> dict[str, Any]:
        policy = create_policy(columns=_columns(body.model_dump()), now=current_time())
        return as_answer(contract.FlowRunNotificationPolicy, policy)


class ReadFlowRunNotificationPolicy(Operation):
    """Read a policy by its id."""

    method = "GET"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: contract.FlowRunNotificationPolicy}

    def perform(self, id: UUID) -> dict[str, Any]:
        policy = existing(NotificationPolicy.objects.filter(pk=id).first(), "Flow run notification policy")
        return as_answer(contract.FlowRunNotificationPolicy, policy)


class UpdateFlowRunNotificationPolicy(Operation):
    """Change a policy, or switch it off and on."""

    method = "PATCH"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.FlowRunNotificationPolicyUpdate) -> None:
        update_policy(policy_id=id, changes=_columns(changes_in(body, NotificationPolicy)), now=current_time())


class DeleteFlowRunNotificationPolicy(Operation):
    """Delete a policy; messages that wait are not sent."""

    method = "DELETE"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_policy(policy_id=id)


class FilterFlowRunNotificationPolicies(Operation):
    """List policies in the order of their creation."""

    method = "POST"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: list[contract.FlowRunNotificationPolicy]}
    body_optional = True

    def perform(self, body: PolicyListing) -> list[dict[str, Any]]:
        found = NotificationPolicy.objects.filter(matched(body.flow_run_notification_policy_filter)).order_by("id")
        return [as_answer(contract.FlowRunNotificationPolicy, policy) for policy in self.paginate_queryset(found)]


def _columns(sent: dict[str, Any]) -> dict[str, Any]:
    """Return the values for JSON columns."""
    named = {name: [str(one) for one in sent[name]] for name in ("state_types", "deployment_ids") if sent.get(name)}
    return {**sent, **named}
