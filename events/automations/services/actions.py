"""Run the actions of automations. Each action and its record are one transaction: both are written, or neither."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import OperationalError, transaction

from deployments.blocks.services.known_secrets import learn_secrets
from deployments.definitions.services.deployments import update_deployment
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.errors import BlockDocumentNotFound, WorkPoolNotFound
from deployments.models import BlockDocument, WorkPool
from deployments.work.services.work_pools import update_work_pool
from deployments.work.services.work_queues import update_work_queue
from events.automations.core.templates import BadText, fill_in, filled_parameters
from events.automations.errors import AuthorRefused, BadAutomation, NothingToActOn
from events.automations.services.automations import switch_automation
from events.automations.services.own_events import record_action
from events.models import ActionRun, Notification
from events.notifications.core.receivers import escape_for
from events.notifications.services.messages import values_for
from orchestration.acts import act_of
from orchestration.authors import acting_for, refusal
from orchestration.core.states import State, StateDetails, StateType, cancelling
from orchestration.errors import DomainError
from orchestration.services import propose_flow_run_state
from orchestration.transactions import write_transaction
from orionflow.contract.ids import uuid7
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from orionflow.contract.masking import known, refusal_of_masked
from orionflow.contract.names import quoted

logger = logging.getLogger("orion.automations")
T = TypeVar("T")

MOST_AT_ONCE = 500
KEPT_FOR = timedelta(days=7)
AUTHOR = "automation"
CHANGES_AUTOMATIONS = "automations.change"


def do_actions(now: datetime) -> int:
    """Run the pending actions in order, and return how many succeeded."""
    done = 0
    pending = ActionRun.objects.filter(done_at=None).order_by("created", "id").values_list("pk", flat=True)
    if waiting := list(pending[:MOST_AT_ONCE]):
        # A process that only runs services learns secrets here, to mask them in messages.
        learn_secrets(now)
    for firing_id in waiting:
        done += _do(firing_id, now)
    over = ActionRun.objects.filter(done_at__lt=now - KEPT_FOR)
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually there is nothing to delete.
    if over.exists():
        with write_transaction():
            over.delete()
    return done


def _do(firing_id: UUID, now: datetime) -> bool:
    with write_transaction():
        # Another server may be running this one now. The automation is only read.
        held = ActionRun.objects.select_for_update(skip_locked=True, of=("self",)).select_related("automation")
        action_run = held.filter(pk=firing_id, done_at=None).first()
        if action_run is None:
            return False
        error = ""
        try:
            # A savepoint: what a failed action has changed is undone, and that it failed is still stored.
            with transaction.atomic(), _recorded(action_run):
                _refuse_beyond_rights(action_run)
                with acting_for(action_run.automation.author, *needed_for(action_run.action)):
                    _ACTIONS[action_run.action["type"]](action_run, now)
        except DomainError as problem:
            error = str(problem)
            logger.warning("Automation %s could not %s: %s", action_run.automation, action_run.action["type"], problem)
        except OperationalError:
            # The database cannot be reached, or wants the transaction repeated: the next tick runs the action.
            raise
        except Exception as problem:
            # A repeat would fail again, and block all later actions.
            error = f"{type(problem).__name__}: {problem}"
            logger.exception("Automation %s failed to %s.", action_run.automation, action_run.action["type"])
        ActionRun.objects.filter(pk=firing_id).update(done_at=now, error=error)
        record_action(action_run, error, now)
        return not error


def refuse_impossible(action_run: ActionRun) -> None:
    """Refuse an action without an object to act on, or that the author of the automation may not do."""
    target_named(action_run)
    _refuse_beyond_rights(action_run)


def target_named(action_run: ActionRun) -> str:
    """Return the object that the action would act on as the id of a resource; empty if it acts on none.

    Raises NothingToActOn.
    """
    kind = _kind_acted_on(action_run.action)
    return f"prefect.{kind}.{target(action_run, kind)}" if kind else ""


def _kind_acted_on(action: Mapping[str, Any]) -> str | None:
    if action["type"].endswith("-automation"):
        return "automation"
    _, kind = _NEEDED.get(action["type"], (CHANGES_AUTOMATIONS, None))
    return kind


def _refuse_beyond_rights(action_run: ActionRun) -> None:
    """Refuse what the author of the automation may not do. Raises AuthorRefused."""
    author, action = action_run.automation.author, action_run.action
    if author is None:
        return
    _, kind = _NEEDED.get(action["type"], (CHANGES_AUTOMATIONS, None))
    row = (_TABLES[kind], target(action_run, kind)) if kind else (None, None)
    for needed in needed_for(action):
        if reason := refusal(author, needed, *row):
            raise AuthorRefused(reason=reason)


def needed_for(action: Mapping[str, Any]) -> list[str]:
    """Return the rights with which the action runs; the author's other rights do not apply."""
    needed, _ = _NEEDED.get(action["type"], (CHANGES_AUTOMATIONS, None))
    return [needed, *(["runs.customise"] if action.get("job_variables") else [])]


def _recorded(action_run: ActionRun) -> AbstractContextManager[object]:
    name, what = action_run.automation.name, str(action_run.action["type"])
    return act_of(entrance="automation", actor=f"automation {name}", action="automations.act", operation=what)


def target(action_run: ActionRun, kind: str) -> UUID:
    """Return the id of the object to act on: the one that the action names, or the event's object of this kind."""
    if named := action_run.action.get(f"{kind.replace('-', '_')}_id"):
        return UUID(named)
    event = action_run.event or {}
    others = [one for one in event.get("related", ()) if one.get(RESOURCE_ROLE) == kind]
    for labels in (event.get("resource", {}), *others):
        prefix, _, id = str(labels.get(RESOURCE_ID, "")).rpartition(".")
        if prefix == f"prefect.{kind}":
            try:
                return UUID(id)
            except ValueError:
                break
    raise NothingToActOn(kind=kind, action=action_run.action["type"])


def _run_deployment(action_run: ActionRun, now: datetime) -> None:
    action = action_run.action
    parameters = _filled(filled_parameters, action.get("parameters") or {}, action_run)
    if refused := refusal_of_masked(parameters):
        raise BadAutomation(reason=f"The deployment is not run: {refused}. Give it the name of a block instead.")
    options = RunOptions(
        parameters=parameters,
        job_variables=action.get("job_variables") or {},
        idempotency_key=f"automation:{action_run.pk}",
        created_by={
            "id": str(action_run.automation_id),
            "type": "AUTOMATION",
            "display_value": action_run.automation.name,
        },
    )
    create_run_of_deployment(deployment_id=target(action_run, "deployment"), options=options, state=None, now=now)


def _deployment(paused: bool) -> Callable[[ActionRun, datetime], None]:
    def switch(action_run: ActionRun, now: datetime) -> None:
        update_deployment(deployment_id=target(action_run, "deployment"), changes={"paused": paused}, now=now)

    return switch


def _work_queue(paused: bool) -> Callable[[ActionRun, datetime], None]:
    def switch(action_run: ActionRun, now: datetime) -> None:
        update_work_queue(queue_id=target(action_run, "work-queue"), changes={"is_paused": paused}, now=now)

    return switch


def _work_pool(paused: bool) -> Callable[[ActionRun, datetime], None]:
    def switch(action_run: ActionRun, now: datetime) -> None:
        pool_id = target(action_run, "work-pool")
        name = WorkPool.objects.filter(pk=pool_id).values_list("name", flat=True).first()
        if name is None:
            raise WorkPoolNotFound(name=pool_id)
        update_work_pool(name=name, changes={"is_paused": paused}, now=now)

    return switch


def _automation(enabled: bool) -> Callable[[ActionRun, datetime], None]:
    def switch(action_run: ActionRun, now: datetime) -> None:
        switch_automation(automation_id=target(action_run, "automation"), enabled=enabled, now=now)

    return switch


def _propose(action_run: ActionRun, state: State, now: datetime) -> None:
    run_id = target(action_run, "flow-run")
    propose_flow_run_state(run_id=run_id, proposed=state, now=now, author=AUTHOR)


def _cancel(action_run: ActionRun, now: datetime) -> None:
    _propose(action_run, cancelling(f"Cancelled by the automation {quoted(action_run.automation.name)}."), now)


def _suspend(action_run: ActionRun, now: datetime) -> None:
    details = StateDetails(pause_reschedule=True, pause_timeout=now + timedelta(days=1))
    _propose(action_run, State(type=StateType.PAUSED, name="Suspended", details=details), now)


def _change_state(action_run: ActionRun, now: datetime) -> None:
    """Force the state, as a user would: the rules are not asked about what an automation decides."""
    action = action_run.action
    proposed = State(type=StateType(action["state"]), name=action.get("name") or "", message=action.get("message"))
    run_id = target(action_run, "flow-run")
    propose_flow_run_state(run_id=run_id, proposed=proposed, now=now, author=AUTHOR, force=True)


def _notification(action_run: ActionRun, now: datetime) -> Notification:
    block = _block_of(action_run)
    filling = partial(fill_in, escaping=escape_for(block.block_type.slug))
    subject, body = (_masked(filling, action_run.action[name], action_run) for name in ("subject", "body"))
    return _message(action_run, now, block, subject=subject, body=body)


def _webhook_call(action_run: ActionRun, now: datetime) -> Notification:
    block = _block_of(action_run)
    payload = _masked(fill_in, action_run.action.get("payload") or "", action_run)
    return _message(action_run, now, block, subject="Automation", body=payload, is_payload=True)


def _filled(filling: Callable[[Any, Mapping[str, Any]], T], text: Any, action_run: ActionRun) -> T:
    return _with(filling, text, values_for(action_run))


def _masked(filling: Callable[[Any, Mapping[str, Any]], T], text: Any, action_run: ActionRun) -> T:
    """Fill in a text that leaves the server, with secrets in parameters masked."""
    return _with(filling, text, known.masked_value(values_for(action_run)))


def _with(filling: Callable[[Any, Mapping[str, Any]], T], text: Any, values: Mapping[str, Any]) -> T:
    try:
        return filling(text, values)
    except BadText as problem:
        raise BadAutomation(reason=str(problem)) from problem


def _block_of(action_run: ActionRun) -> BlockDocument:
    block_id = UUID(action_run.action["block_document_id"])
    block = BlockDocument.objects.select_related("block_type").filter(pk=block_id).first()
    if block is None:
        raise BlockDocumentNotFound(id=block_id)
    return block


def _message(action_run: ActionRun, now: datetime, block: BlockDocument, **message: Any) -> Notification:
    about = {"automation_id": action_run.automation_id, "flow_run_id": _flow_run_of(action_run)}
    return Notification(id=uuid7(), created=now, due_at=now, block_document=block, **about, **message)


def queued_by(action_run: ActionRun, now: datetime) -> Notification:
    """Return the message of an action that sends one, not stored yet."""
    return MESSAGES[action_run.action["type"]](action_run, now)


def _queue(action_run: ActionRun, now: datetime) -> None:
    queued_by(action_run, now).save(force_insert=True)


def _flow_run_of(action_run: ActionRun) -> UUID | None:
    """Return the run that a message is about, for the link to its page."""
    try:
        return target(action_run, "flow-run")
    except NothingToActOn:
        return None


def _nothing(action_run: ActionRun, now: datetime) -> None:
    pass


# The right that the author needs, and the kind of object. All other actions need the right to change automations.
_TABLES = {
    "deployment": "deployments_deployment",
    "flow-run": "runs_flowrun",
    "work-queue": "deployments_workqueue",
    "work-pool": "deployments_workpool",
}
_NEEDED: Mapping[str, tuple[str, str]] = {
    "run-deployment": ("deployments.run", "deployment"),
    "pause-deployment": ("deployments.change", "deployment"),
    "resume-deployment": ("deployments.change", "deployment"),
    "cancel-flow-run": ("runs.change", "flow-run"),
    "suspend-flow-run": ("runs.change", "flow-run"),
    "change-flow-run-state": ("runs.force", "flow-run"),
    "pause-work-queue": ("queues.change", "work-queue"),
    "resume-work-queue": ("queues.change", "work-queue"),
    "pause-work-pool": ("queues.change", "work-pool"),
    "resume-work-pool": ("queues.change", "work-pool"),
}
MESSAGES: Mapping[str, Callable[[ActionRun, datetime], Notification]] = {
    "send-notification": _notification,
    "call-webhook": _webhook_call,
}
_ACTIONS: Mapping[str, Callable[[ActionRun, datetime], None]] = {
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
