"""Policies that say of which flow runs people are told, in which states, and through which block."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NotRequired
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from typing_extensions import TypedDict

from events.models import NotificationPolicy
from events.notifications.services.policies import create_policy, delete_policy, update_policy
from events.recording.filters import PolicyFilter
from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.core.states import StateType
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import StrictWire, Text255, Text1024
from runs.lists.filters.conditions import matched

Texts = Annotated[list[Text255], Field(max_length=1000)]
StateTypes = Annotated[list[StateType], Field(max_length=20)]
FlowNames = Annotated[list[Text1024], Field(max_length=1000)]
Ids = Annotated[list[UUID], Field(max_length=1000)]
Template = Annotated[str, Field(max_length=10_000)]


class FlowRunNotificationPolicyCreate(StrictWire):
    """Empty lists stand for any state and any run; a run may be in one of the types or have one of the names."""

    is_active: bool = True
    state_names: Texts
    tags: Texts
    block_document_id: UUID
    message_template: Template | None = None
    name: Text255 | None = None
    state_types: StateTypes = []
    flow_names: FlowNames = []
    deployment_ids: Ids = []


class FlowRunNotificationPolicyUpdate(StrictWire):
    """Only what is sent is changed; a template of null gives the usual message."""

    is_active: bool | None = None
    state_names: Texts | None = None
    tags: Texts | None = None
    block_document_id: UUID | None = None
    message_template: Template | None = None
    name: Text255 | None = None
    state_types: StateTypes | None = None
    flow_names: FlowNames | None = None
    deployment_ids: Ids | None = None


class PolicyListing(Page):
    flow_run_notification_policy_filter: PolicyFilter | None = None


class FlowRunNotificationPolicyOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    is_active: bool
    state_names: list[str]
    tags: list[str]
    block_document_id: UUID
    message_template: str | None
    # Only where they say something: the contract's clients know no such fields.
    name: NotRequired[str]
    state_types: NotRequired[list[str]]
    flow_names: NotRequired[list[str]]
    deployment_ids: NotRequired[list[UUID]]


class CreateFlowRunNotificationPolicy(Operation):
    """Have people told, through a block, of flow runs that enter certain states."""

    method = "POST"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {201: FlowRunNotificationPolicyOut}
    missing = 409

    def perform(self, body: FlowRunNotificationPolicyCreate) -> FlowRunNotificationPolicyOut:
        return _out(create_policy(columns=_columns(body.model_dump()), now=timezone.now()))


class ReadFlowRunNotificationPolicy(Operation):
    """Read a policy by its id."""

    method = "GET"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: FlowRunNotificationPolicyOut}

    def perform(self, id: UUID) -> FlowRunNotificationPolicyOut:
        policy = NotificationPolicy.objects.filter(pk=id).first()
        if policy is None:
            raise Missing("Flow run notification policy")
        return _out(policy)


class UpdateFlowRunNotificationPolicy(Operation):
    """Change a policy, or switch it off and on."""

    method = "PATCH"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {204: None}

    def perform(self, id: UUID, body: FlowRunNotificationPolicyUpdate) -> None:
        sent = body.model_dump(exclude_unset=True)
        emptied = {"message_template", "name"}
        changes = {name: value for name, value in sent.items() if value is not None or name in emptied}
        update_policy(policy_id=id, changes=_columns(changes), now=timezone.now())


class DeleteFlowRunNotificationPolicy(Operation):
    """Delete a policy; what it has still to send is not sent."""

    method = "DELETE"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_policy(policy_id=id)


class FilterFlowRunNotificationPolicies(Operation):
    """List policies in the order of their making."""

    method = "POST"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: list[FlowRunNotificationPolicyOut]}
    body_optional = True

    def perform(self, body: PolicyListing) -> list[FlowRunNotificationPolicyOut]:
        wanted = matched(body.flow_run_notification_policy_filter)
        return [_out(one) for one in self.paginate_queryset(NotificationPolicy.objects.filter(wanted).order_by("id"))]


def _columns(sent: dict[str, Any]) -> dict[str, Any]:
    """As JSON columns hold them."""
    named = {name: [str(one) for one in sent[name]] for name in ("state_types", "deployment_ids") if sent.get(name)}
    return {**sent, **named}


def _out(policy: NotificationPolicy) -> FlowRunNotificationPolicyOut:
    told: FlowRunNotificationPolicyOut = {
        "id": policy.id,
        "created": policy.created,
        "updated": policy.updated,
        "is_active": policy.is_active,
        "state_names": policy.state_names,
        "tags": policy.tags,
        "block_document_id": policy.block_document_id,
        "message_template": policy.message_template,
    }
    if policy.name:
        told["name"] = policy.name
    if policy.state_types:
        told["state_types"] = policy.state_types
    if policy.flow_names:
        told["flow_names"] = policy.flow_names
    if policy.deployment_ids:
        told["deployment_ids"] = [UUID(one) for one in policy.deployment_ids]
    return told
