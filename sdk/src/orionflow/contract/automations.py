"""Automations on the wire: nested triggers, the actions that follow, and their outcomes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError, to_json

from orionflow.contract.events import Label, Specification, Texts
from orionflow.contract.notifications import Notification
from orionflow.contract.states import StateType
from orionflow.contract.wire import (
    Answer,
    JSONObject,
    Known,
    Seconds,
    Stored,
    StrictWire,
    Text255,
    Text1024,
    Wire,
)

Long = Annotated[str, Field(max_length=10_000)]
DEEPEST = 4
SHORTEST_WATCH_SECONDS = 10.0


class EventTriggerIn(Wire):
    """A trigger on enough of the expected events within a time, or on too few of them."""

    type: Literal["event"] = "event"
    id: UUID | None = None
    match: Specification = {}
    match_related: Specification = {}
    after: Texts = []
    expect: Texts = []
    for_each: Annotated[list[Label], Field(max_length=10)] = []
    posture: Literal["Reactive", "Proactive"]
    threshold: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    within: Seconds = 0.0

    @model_validator(mode="after")
    def _watch_long_enough(self) -> EventTriggerIn:
        if self.posture == "Proactive" and self.within == 0:
            self.within = SHORTEST_WATCH_SECONDS
        if self.posture == "Proactive" and self.within < SHORTEST_WATCH_SECONDS:
            raise PydanticCustomError("too_short", "Proactive triggers watch for 10 seconds at least")
        return self


class CompoundTriggerIn(Wire):
    """A trigger on some or all of several triggers, in any order."""

    type: Literal["compound"] = "compound"
    id: UUID | None = None
    triggers: Annotated[list[TriggerIn], Field(min_length=1, max_length=20)]
    within: Seconds | None = None
    require: Annotated[int, Field(ge=1)] | Literal["any", "all"]

    @model_validator(mode="after")
    def _require_no_more_than_there_are(self) -> CompoundTriggerIn:
        if isinstance(self.require, int) and self.require > len(self.triggers):
            raise PydanticCustomError("too_many_required", "No more triggers can be required than there are")
        return self


class SequenceTriggerIn(Wire):
    """A trigger on all of several triggers, in their order."""

    type: Literal["sequence"] = "sequence"
    id: UUID | None = None
    triggers: Annotated[list[TriggerIn], Field(min_length=1, max_length=20)]
    within: Seconds | None = None


def _with_its_type(trigger: Any) -> Any:
    """Add the type of a trigger that was sent without one, by the fields that only one type has."""
    if isinstance(trigger, dict) and "type" not in trigger:
        return {
            "type": "compound" if "require" in trigger else "sequence" if "triggers" in trigger else "event",
            **trigger,
        }
    return trigger


TriggerIn = Annotated[
    EventTriggerIn | CompoundTriggerIn | SequenceTriggerIn, Field(discriminator="type"), BeforeValidator(_with_its_type)
]


class Sourced(Wire):
    """An action on the object that it names, or on the one that the event is about."""

    source: Literal["selected", "inferred"] = "selected"


class DoNothing(Wire):
    type: Literal["do-nothing"] = "do-nothing"


class RunDeployment(Sourced):
    type: Literal["run-deployment"] = "run-deployment"
    deployment_id: UUID | None = None
    parameters: JSONObject | None = None
    job_variables: JSONObject | None = None


class PauseDeployment(Sourced):
    type: Literal["pause-deployment"] = "pause-deployment"
    deployment_id: UUID | None = None


class ResumeDeployment(Sourced):
    type: Literal["resume-deployment"] = "resume-deployment"
    deployment_id: UUID | None = None


class CancelFlowRun(Wire):
    type: Literal["cancel-flow-run"] = "cancel-flow-run"


class SuspendFlowRun(Wire):
    type: Literal["suspend-flow-run"] = "suspend-flow-run"


class ChangeFlowRunState(Wire):
    type: Literal["change-flow-run-state"] = "change-flow-run-state"
    name: Text255 | None = None
    state: StateType
    message: Long | None = None


class PauseWorkQueue(Sourced):
    type: Literal["pause-work-queue"] = "pause-work-queue"
    work_queue_id: UUID | None = None


class ResumeWorkQueue(Sourced):
    type: Literal["resume-work-queue"] = "resume-work-queue"
    work_queue_id: UUID | None = None


class PauseWorkPool(Sourced):
    type: Literal["pause-work-pool"] = "pause-work-pool"
    work_pool_id: UUID | None = None


class ResumeWorkPool(Sourced):
    type: Literal["resume-work-pool"] = "resume-work-pool"
    work_pool_id: UUID | None = None


class PauseAutomation(Sourced):
    type: Literal["pause-automation"] = "pause-automation"
    automation_id: UUID | None = None


class ResumeAutomation(Sourced):
    type: Literal["resume-automation"] = "resume-automation"
    automation_id: UUID | None = None


class SendNotification(Wire):
    type: Literal["send-notification"] = "send-notification"
    block_document_id: UUID
    subject: Long = "Automated notification"
    body: Long


class CallWebhook(Wire):
    type: Literal["call-webhook"] = "call-webhook"
    block_document_id: UUID
    payload: Annotated[str, Field(max_length=100_000)] = ""

    @field_validator("payload", mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:
        return to_json(given, indent=2).decode() if isinstance(given, dict) else (given or "")


ActionIn = Annotated[
    DoNothing
    | RunDeployment
    | PauseDeployment
    | ResumeDeployment
    | CancelFlowRun
    | ChangeFlowRunState
    | PauseWorkQueue
    | ResumeWorkQueue
    | SendNotification
    | CallWebhook
    | PauseAutomation
    | ResumeAutomation
    | SuspendFlowRun
    | PauseWorkPool
    | ResumeWorkPool,
    Field(discriminator="type"),
]
Actions = Annotated[list[ActionIn], Field(max_length=50)]


class AutomationUpdate(StrictWire):
    """A new definition of an automation. The optional fields keep their values if they are not sent."""

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    description: Long = ""
    enabled: bool = True
    trigger: TriggerIn
    actions: Actions
    actions_on_trigger: Actions = []
    actions_on_resolve: Actions = []

    @field_validator("trigger")
    @classmethod
    def _not_too_deep(cls, trigger: Any) -> Any:
        if _depth(trigger) > DEEPEST:
            raise PydanticCustomError("too_deep", "Triggers may be nested four levels deep at most")
        return trigger


class AutomationCreate(AutomationUpdate):
    owner_resource: Text1024 | None = None


class AutomationPartialUpdate(StrictWire):
    enabled: bool = True


def _depth(trigger: EventTriggerIn | CompoundTriggerIn | SequenceTriggerIn) -> int:
    return 1 if isinstance(trigger, EventTriggerIn) else 1 + max(_depth(one) for one in trigger.triggers)


class Automation(Stored):
    """An automation: actions to take when events match a trigger."""

    name: str
    description: str = ""
    enabled: bool = True
    trigger: dict[str, Any]
    actions: list[dict[str, Any]] = []
    actions_on_trigger: list[dict[str, Any]] = []
    actions_on_resolve: list[dict[str, Any]] = []


class Firing(Answer):
    """An action that an automation took, and its outcome."""

    id: UUID
    created: Known = None
    automation_id: UUID
    action: dict[str, Any]
    event: dict[str, Any] | None = None
    done_at: datetime | None = None
    error: str = ""


class AutomationTrial(Answer):
    """A tested action of an automation, with the message that it sent."""

    action: dict[str, Any]
    outcome: str
    notification: Notification | None = None


class TemplateProblem(Answer):
    line: int
    message: str
    source: str
