"""Triggers, events and actions, as tests of automations write them."""

from __future__ import annotations

from deployments.models import Deployment
from events.automations.services.actions import do_actions
from events.automations.services.evaluation import judge_events
from events.models import ActionRun
from events.recording.record import record_event
from tests.factories import NOON, later, make_flow

NOTHING = {"type": "do-nothing"}


def trigger(**fields):
    return {"type": "event", "posture": "Reactive", **fields}


def happen(event="sensor.read", at=NOON, resource="sensor.1", related=(), **labels):
    return record_event(event, resource={"prefect.resource.id": resource, **labels}, related=related, now=at)


def firings():
    return ActionRun.objects.count()


def make_deployment(**fields):
    return Deployment.objects.create(name="nightly", flow=make_flow(), **fields)


def about(kind, row):
    return {"prefect.resource.id": f"prefect.{kind}.{row.pk}", "prefect.resource.role": kind}


def act(at=1):
    judge_events(later(at))
    return do_actions(later(at))


def notify(block, body):
    return {"type": "send-notification", "block_document_id": str(block), "body": body}
