"""Notifications on the wire: policies that send messages about flow runs, and the log of what was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from orionflow.contract.states import StateType
from orionflow.contract.wire import OWN, Answer, Known, Stored, StrictWire, Text255, Text1024

Texts = Annotated[list[Text255], Field(max_length=1000)]
StateTypes = Annotated[list[StateType], Field(max_length=20)]
FlowNames = Annotated[list[Text1024], Field(max_length=1000)]
Ids = Annotated[list[UUID], Field(max_length=1000)]
Template = Annotated[str, Field(max_length=10_000)]


class FlowRunNotificationPolicyCreate(StrictWire):
    """Empty lists mean any state and any run; a run matches by one of the types or one of the names."""

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
    """Changes of a policy. Only the fields that are sent are changed; a template of null restores the default."""

    is_active: bool | None = None
    state_names: Texts | None = None
    tags: Texts | None = None
    block_document_id: UUID | None = None
    message_template: Template | None = None
    name: Text255 | None = None
    state_types: StateTypes | None = None
    flow_names: FlowNames | None = None
    deployment_ids: Ids | None = None


class FlowRunNotificationPolicy(Stored):
    """A policy; fields that Prefect's clients do not know are only included if they are not at their default."""

    is_active: bool = True
    state_names: list[str] = []
    tags: list[str] = []
    block_document_id: UUID
    message_template: str | None = None
    name: Annotated[str, OWN] = ""
    state_types: Annotated[list[str], OWN] = []
    flow_names: Annotated[list[str], OWN] = []
    deployment_ids: Annotated[list[UUID], OWN] = []


class Attempt(Answer):
    """An attempt to deliver a message."""

    at: datetime
    seconds: float
    outcome: str


class Notification(Answer):
    """A message with the attempts to deliver it."""

    id: UUID
    created: Known = None
    block_document_id: UUID
    policy_id: UUID | None = None
    automation_id: UUID | None = None
    flow_run_id: UUID | None = None
    subject: str
    body: str
    standing: str
    due_at: datetime
    sent_at: datetime | None = None
    is_short: bool = False
    attempts: list[Attempt] = []


class NotificationTrial(StrictWire):
    """A policy whose message is sent, or a block and a custom message."""

    policy_id: UUID | None = None
    block_document_id: UUID | None = None
    subject: Annotated[str, Field(max_length=1000)] | None = None
    body: Annotated[str, Field(max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> NotificationTrial:
        if (self.policy_id is None) == (self.block_document_id is None):
            raise PydanticCustomError("one_of_both", "Give a policy_id or a block_document_id")
        return self
