"""Do what automations ask for. Each action and its record are one transaction: both are written, or neither."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import OperationalError, transaction

from deployments.definitions.services.deployments import update_deployment
from deployments.definitions.services.runs import AskedRun, create_run_of_deployment
from deployments.models import BlockDocument, WorkPool
from deployments.work.services.work_pools import update_work_pool
from deployments.work.services.work_queues import update_work_queue
from events.automations.core.matching import RESOURCE_ID, RESOURCE_ROLE
from events.automations.core.texts import BadText, fill_in, filled_parameters
from events.automations.errors import BadAutomation, NothingToActOn
from events.automations.services.automations import switch_automation
from events.automations.services.deeds import record_action
from events.models import Firing, Notification
from events.notifications.core.receivers import escape_for
from events.notifications.services.messages import values_for
from orchestration.core.states import State, StateDetails, StateType, cancelling
from orchestration.errors import BlockDocumentNotFound, DomainError, WorkPoolNotFound
from orchestration.services import propose_flow_run_state
from orchestration.transactions import write_transaction
from orionflow.contract.ids import uuid7

logger = logging.getLogger("orion.automations")
T = TypeVar("T")

MOST_AT_ONCE = 500
KEPT_FOR = timedelta(days=7)
AUTHOR = "automation"


def do_actions(now: datetime) -> int:
    """Do what automations have set off, in its order; how much of it was done."""
    done = 0
    waiting = Firing.objects.filter(done_at=None).order_by("created", "id").values_list("pk", flat=True)
    for firing_id in list(waiting[:MOST_AT_ONCE]):
        done += _do(firing_id, now)
    over = Firing.objects.filter(done_at__lt=now - KEPT_FOR)
    # Asked without a lock first: on SQLite a transaction holds up every writer, and mostly there is nothing.
    if over.exists():
        with write_transaction():
            over.delete()
    return done


def _do(firing_id: UUID, now: datetime) -> bool:
    with write_transaction():
        held = Firing.objects.select_for_update(skip_locked=True, of=("self",)).select_related("automation")
        firing = held.filter(pk=firing_id, done_at=None).first()
        if firing is None:
            return False
        error = ""
        try:
            with transaction.atomic():
                _ACTIONS[firing.action["type"]](firing, now)
        except DomainError as problem:
            error = str(problem)
            logger.warning("Automation %s could not %s: %s", firing.automation, firing.action["type"], problem)
        except OperationalError:
            # The database is away, or wants this transaction repeated: the next tick does it.
            raise
        except Exception as problem:
            # Tried again it would fail again, and all that was set off later would wait behind it.
            error = f"{type(problem).__name__}: {problem}"
            logger.exception("Automation %s failed to %s.", firing.automation, firing.action["type"])
        Firing.objects.filter(pk=firing_id).update(done_at=now, error=error)
        record_action(firing, error, now)
        return not error


def target(firing: Firing, kind: str) -> UUID:
    """Find what the action acts on: the one that it names, or the one of this kind that the event is about."""
    if named := firing.action.get(f"{kind.replace('-', '_')}_id"):
        return UUID(named)
    event = firing.event or {}
    others = [one for one in event.get("related", ()) if one.get(RESOURCE_ROLE) == kind]
    for labels in (event.get("resource", {}), *others):
        prefix, _, id = str(labels.get(RESOURCE_ID, "")).rpartition(".")
        if prefix == f"prefect.{kind}":
            try:
                return UUID(id)
            except ValueError:
                break
    raise NothingToActOn(kind=kind, action=firing.action["type"])


def _run_deployment(firing: Firing, now: datetime) -> None:
    action = firing.action
    asked = AskedRun(
        parameters=_filled(filled_parameters, action.get("parameters") or {}, firing),
        job_variables=action.get("job_variables") or {},
        idempotency_key=f"automation:{firing.pk}",
        created_by={"id": str(firing.automation_id), "type": "AUTOMATION", "display_value": firing.automation.name},
    )
    create_run_of_deployment(deployment_id=target(firing, "deployment"), asked=asked, state=None, now=now)


def _deployment(paused: bool) -> Callable[[Firing, datetime], None]:
    def switch(firing: Firing, now: datetime) -> None:
        update_deployment(deployment_id=target(firing, "deployment"), changes={"paused": paused}, now=now)

    return switch


def _work_queue(paused: bool) -> Callable[[Firing, datetime], None]:
    def switch(firing: Firing, now: datetime) -> None:
        update_work_queue(queue_id=target(firing, "work-queue"), changes={"is_paused": paused}, now=now)

    return switch


def _work_pool(paused: bool) -> Callable[[Firing, datetime], None]:
    def switch(firing: Firing, now: datetime) -> None:
        pool_id = target(firing, "work-pool")
        name = WorkPool.objects.filter(pk=pool_id).values_list("name", flat=True).first()
        if name is None:
            raise WorkPoolNotFound(name=pool_id)
        update_work_pool(name=name, changes={"is_paused": paused}, now=now)

    return switch


def _automation(enabled: bool) -> Callable[[Firing, datetime], None]:
    def switch(firing: Firing, now: datetime) -> None:
        switch_automation(automation_id=target(firing, "automation"), enabled=enabled, now=now)

    return switch


def _propose(firing: Firing, state: State, now: datetime) -> None:
    run_id = target(firing, "flow-run")
    propose_flow_run_state(run_id=run_id, proposed=state, now=now, author=AUTHOR)


def _cancel(firing: Firing, now: datetime) -> None:
    _propose(firing, cancelling(f"Cancelled by the automation {firing.automation.name!r}."), now)


def _suspend(firing: Firing, now: datetime) -> None:
    details = StateDetails(pause_reschedule=True, pause_timeout=now + timedelta(days=1))
    _propose(firing, State(type=StateType.PAUSED, name="Suspended", details=details), now)


def _change_state(firing: Firing, now: datetime) -> None:
    """By force, as a person would: what an automation decides is not asked of the rules again."""
    action = firing.action
    proposed = State(type=StateType(action["state"]), name=action.get("name") or "", message=action.get("message"))
    run_id = target(firing, "flow-run")
    propose_flow_run_state(run_id=run_id, proposed=proposed, now=now, author=AUTHOR, force=True)


def _notification(firing: Firing, now: datetime) -> Notification:
    block = _block_of(firing)
    filling = partial(fill_in, escaping=escape_for(block.block_type.slug))
    subject, body = (_filled(filling, firing.action[name], firing) for name in ("subject", "body"))
    return _message(firing, now, block, subject=subject, body=body)


def _webhook_call(firing: Firing, now: datetime) -> Notification:
    block = _block_of(firing)
    payload = _filled(fill_in, firing.action.get("payload") or "", firing)
    return _message(firing, now, block, subject="Automation", body=payload, is_payload=True)


def _filled(filling: Callable[[Any, Mapping[str, Any]], T], text: Any, firing: Firing) -> T:
    try:
        return filling(text, values_for(firing))
    except BadText as problem:
        raise BadAutomation(reason=str(problem)) from problem


def _block_of(firing: Firing) -> BlockDocument:
    block_id = UUID(firing.action["block_document_id"])
    block = BlockDocument.objects.select_related("block_type").filter(pk=block_id).first()
    if block is None:
        raise BlockDocumentNotFound(id=block_id)
    return block


def _message(firing: Firing, now: datetime, block: BlockDocument, **message: Any) -> Notification:
    about = {"automation_id": firing.automation_id, "flow_run_id": _flow_run_of(firing)}
    return Notification(id=uuid7(), created=now, due_at=now, block_document=block, **about, **message)


def queued_by(firing: Firing, now: datetime) -> Notification:
    """The message of an action that sends one, not stored yet."""
    return MESSAGES[firing.action["type"]](firing, now)


def _queue(firing: Firing, now: datetime) -> None:
    queued_by(firing, now).save(force_insert=True)


def _flow_run_of(firing: Firing) -> UUID | None:
    """The run that a message is about, whose page it may lead to."""
    try:
        return target(firing, "flow-run")
    except NothingToActOn:
        return None


def _nothing(firing: Firing, now: datetime) -> None:
    pass


MESSAGES: Mapping[str, Callable[[Firing, datetime], Notification]] = {
    "send-notification": _notification,
    "call-webhook": _webhook_call,
}
_ACTIONS: Mapping[str, Callable[[Firing, datetime], None]] = {
    "do-nothing": _nothing,
    "run-deployment": _run_deployment,
    "pause-deployment": _deployment(paused=True),
    "resume-deployment": _deployment(paused=False),
    "cancel-flow-run": _cancel,
    "suspend-flow-run": _suspend,
    "change-flow-run-state": _change_state,
    "pause-work-queue": _work_queue(paused=True),
    "resume-work-queue": _work_queue(paused=False),
    "pause-work-pool": _work_pool(paused=True),
    "resume-work-pool": _work_pool(paused=False),
    "pause-automation": _automation(enabled=False),
    "resume-automation": _automation(enabled=True),
    "send-notification": _queue,
    "call-webhook": _queue,
}
