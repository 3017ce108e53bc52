"""Trials: send a message or run an automation now, for the user who sets it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.errors import BlockDocumentNotFound
from deployments.models import BlockDocument
from events.automations.core.message_templates import USUAL, fill
from events.automations.errors import AutomationNotFound, PolicyNotFound
from events.automations.services.actions import MESSAGES, queued_by
from events.models import ActionRun, Automation, Notification, NotificationPolicy
from events.notifications.services.notifications import CLAIMED_FOR, deliver
from events.recording.outbox import sample_values
from orchestration.errors import DomainError
from orchestration.transactions import write_transaction
from orionflow.contract.ids import uuid7
from runs.models import FlowRun

SUBJECT = "Test message from Orion"
BODY = "If you can read this, messages of Orion arrive here."


@dataclass(frozen=True, slots=True)
class Trial:
    """One action of an automation: the message that it sent, or the reason why it could not."""

    action: dict[str, Any]
    outcome: str
    notification: Notification | None = None


def try_block(*, block_id: UUID, subject: str | None, body: str | None, now: datetime) -> Notification:
    """Send a message through a block, once, even if its circuit is open."""
    if not BlockDocument.objects.filter(pk=block_id).exists():
        raise BlockDocumentNotFound(id=block_id)
    return _sent(Notification(block_document_id=block_id, subject=subject or SUBJECT, body=body or BODY), now)


def try_policy(*, policy_id: UUID, now: datetime) -> Notification:
    """Send a policy's message as it would be for an example run."""
    policies = NotificationPolicy.objects.select_related("block_document__block_type")
    policy = policies.filter(pk=policy_id).first()
    if policy is None:
        raise PolicyNotFound
    body = fill(policy.message_template or USUAL, sample_values(policy, now))
    message = Notification(policy=policy, block_document_id=policy.block_document_id, subject=SUBJECT, body=body)
    return _sent(message, now)


def try_automation(*, automation_id: UUID, now: datetime) -> list[Trial]:
    """Send the messages of an automation about the newest run. Its other actions are only described."""
    automation = Automation.objects.filter(pk=automation_id).first()
    if automation is None:
        raise AutomationNotFound
    event = _event_of_newest_run(now)
    actions = [*automation.actions, *automation.actions_on_trigger]
    return [_tried(ActionRun(id=uuid7(), automation=automation, action=one, event=event), now) for one in actions]


def _tried(action_run: ActionRun, now: datetime) -> Trial:
    if action_run.action["type"] not in MESSAGES:
        return Trial(action_run.action, "would be done")
    try:
        message = queued_by(action_run, now)
    except DomainError as problem:
        return Trial(action_run.action, str(problem))
    sent = _sent(message, now)
    return Trial(action_run.action, sent.tries[-1]["outcome"], sent)


def _sent(message: Notification, now: datetime) -> Notification:
    message.id, message.created, message.due_at = uuid7(), now, now + CLAIMED_FOR
    with write_transaction():
        message.save(force_insert=True)
    # At most one more attempt, in the short form.
    if not deliver(message, now) and message.is_short and message.standing == Notification.Standing.WAITING:
        deliver(message, now)
    if message.standing == Notification.Standing.WAITING:
        # Give up, because a test message that arrives an hour later would be confusing.
        message.standing = Notification.Standing.GIVEN_UP
        with write_transaction():
            message.save(update_fields=["standing"])
    return message


def _event_of_newest_run(now: datetime) -> dict[str, Any]:
    run = FlowRun.objects.order_by("-id").first()
    resource = dict(_labels(run)) if run else {"prefect.resource.id": "orion.test"}
    event = {"event": "orion.test", "occurred": now.isoformat(), "resource": resource, "related": [], "payload": {}}
    return {"id": str(uuid7()), **event}


def _labels(run: FlowRun) -> Iterator[tuple[str, str]]:
    yield "prefect.resource.id", f"prefect.flow-run.{run.pk}"
    yield "prefect.resource.name", run.name
    yield "prefect.state-name", run.state_name or ""
    yield "prefect.state-type", run.state_type or ""
