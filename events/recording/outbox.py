"""Messages of notification policies, and events for automations, caused by new states of flow runs.

They are written in the transaction of the state; services send and evaluate them later. A leaf, like `record`. It is
called only if there are policies or automations, which the statement that inserts the state also returns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from deployments.models import Deployment, WorkQueue
from events.automations.core.message_templates import USUAL, fill
from events.models import Automation, Event, Notification, NotificationPolicy
from events.notifications.core.receivers import escape_for
from events.recording.record import new_event, record_events
from orchestration.core.states import State
from orionflow.contract.ids import uuid7
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from orionflow.contract.masking import known
from runs.models import FlowRun

SUBJECT = "Flow run notification"
# Characters. The run's page shows the whole value.
LONGEST_VALUE = 5_000


Change = tuple[UUID, State | None, State]


def flow_runs_changed(changes: Sequence[Change], now: datetime) -> None:
    """Queue the messages of policies about these new states, and record events for automations.

    A change is a flow run's id, the state that it left, and the state that it has just entered.
    """
    runs = FlowRun.objects.select_related("flow").in_bulk({run_id for run_id, _, _ in changes})
    entered = [(runs[run_id], before, state) for run_id, before, state in changes]
    active = NotificationPolicy.objects.filter(is_active=True).select_related("block_document__block_type")
    policies = list(active)
    Notification.objects.bulk_create(
        _notification(policy, run, state, now)
        for run, _, state in entered
        for policy in policies
        if wants(policy, run, state)
    )
    if Automation.objects.filter(enabled=True).exists():
        related = Related(list(runs.values()))
        record_events([event_of_change(run, before, state, related.to(run), now) for run, before, state in entered])


def wants(policy: NotificationPolicy, run: FlowRun, state: State) -> bool:
    any_state = not policy.state_names and not policy.state_types
    entered = any_state or state.name in policy.state_names or state.type.value in policy.state_types
    tagged = not policy.tags or not set(run.tags).isdisjoint(policy.tags)
    of_flow = not policy.flow_names or run.flow.name in policy.flow_names
    deployed = not policy.deployment_ids or str(run.deployment_id) in policy.deployment_ids
    return entered and tagged and of_flow and deployed


def _notification(policy: NotificationPolicy, run: FlowRun, state: State, now: datetime) -> Notification:
    return Notification(
        id=uuid7(),
        created=now,
        due_at=now,
        block_document_id=policy.block_document_id,
        policy=policy,
        flow_run_id=run.pk,
        subject=SUBJECT,
        body=fill(policy.message_template or USUAL, values_for(policy, run, state)),
    )


def values_for(policy: NotificationPolicy, run: FlowRun, state: State) -> dict[str, str]:
    """Return values for the placeholders of a message: limited in length, and escaped for the receiving service."""
    escape = escape_for(policy.block_document.block_type.slug)
    return {name: escape(_bounded(value)) for name, value in _facts(policy, run, state).items()}


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def sample_values(policy: NotificationPolicy, now: datetime) -> dict[str, str]:
    """Return example values, with which a policy is tested."""
    escape = escape_for(policy.block_document.block_type.slug)
    made_up = {
        "flow_run_notification_policy_id": str(policy.pk),
        "flow_name": "example",
        "flow_run_name": "test-run",
        "flow_run_parameters": "{}",
        "flow_run_state_type": (policy.state_types or ["FAILED"])[0],
        "flow_run_state_name": (policy.state_names or ["Failed"])[0],
        "flow_run_state_timestamp": str(now),
        "flow_run_state_message": "This is a test: nothing has failed.",
        "flow_run_url": settings.ORION_EXTERNAL_URL,
    }
    return {name: escape(value) for name, value in made_up.items()}


def _facts(policy: NotificationPolicy, run: FlowRun, state: State) -> dict[str, str]:
    return {
        "flow_run_notification_policy_id": str(policy.pk),
        "flow_id": str(run.flow_id),
        "flow_name": run.flow.name,
        "flow_run_url": f"{settings.ORION_EXTERNAL_URL}/runs/{run.pk}",
        "flow_run_id": str(run.pk),
        "flow_run_name": run.name,
        # They are stored in clear if the run needs them, but a message leaves the server.
        "flow_run_parameters": json.dumps(known.masked_value(run.parameters), ensure_ascii=False),
        "flow_run_state_type": state.type.value,
        "flow_run_state_name": state.name,
        "flow_run_state_timestamp": str(state.timestamp or ""),
        "flow_run_state_message": state.message or "",
    }


def event_of_change(
    run: FlowRun, before: State | None, state: State, related: list[dict[str, str]], now: datetime
) -> Event:
    resource = {
        RESOURCE_ID: f"prefect.flow-run.{run.pk}",
        "prefect.resource.name": run.name,
        "prefect.run-count": str(run.run_count),
        "prefect.state-message": (state.message or "")[:1000],
        "prefect.state-name": state.name,
        "prefect.state-timestamp": state.timestamp.isoformat() if state.timestamp else "",
        "prefect.state-type": state.type.value,
    }
    payload: dict[str, Any] = {
        "intended": {"from": before and before.type.value, "to": state.type.value},
        "initial_state": before and {"type": before.type.value, "name": before.name},
        "validated_state": {"type": state.type.value, "name": state.name, "message": state.message},
    }
    event = f"prefect.flow-run.{state.name}"[:255]
    return new_event(event, resource=resource, related=related, payload=payload, now=now)


class Related:
    """The flows, deployments, queues and tags of runs, read for all of the runs at once."""

    def __init__(self, runs: Sequence[FlowRun]) -> None:
        deployments = {run.deployment_id for run in runs if run.deployment_id}
        self._deployments = Deployment.objects.in_bulk(deployments) if deployments else {}
        queues = {run.work_queue_id for run in runs if run.work_queue_id}
        self._queues = WorkQueue.objects.select_related("work_pool").in_bulk(queues) if queues else {}

    def to(self, run: FlowRun) -> list[dict[str, str]]:
        others = [_other("flow", run.flow_id, run.flow.name)]
        deployment = self._deployments.get(run.deployment_id) if run.deployment_id else None
        if deployment:
            others.append(_other("deployment", deployment.pk, deployment.name))
        if run.work_queue_id and (queue := self._queues.get(run.work_queue_id)):
            others.append(_other("work-queue", queue.pk, queue.name))
            if queue.work_pool:
                others.append(_other("work-pool", queue.work_pool.pk, queue.work_pool.name))
        tags = sorted({*run.tags, *(deployment.tags if deployment else ())})
        return [*others, *({RESOURCE_ID: f"prefect.tag.{tag}", RESOURCE_ROLE: "tag"} for tag in tags)]


def _other(role: str, id: UUID, name: str) -> dict[str, str]:
    return {RESOURCE_ID: f"prefect.{role}.{id}", RESOURCE_ROLE: role, "prefect.resource.name": name}
