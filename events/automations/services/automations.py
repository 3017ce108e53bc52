"""Automations: create, change, switch and delete them. Every change deletes the state of the triggers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.models import BlockDocument, Deployment, WorkPool, WorkQueue
from events.automations.core.loops import endless, never_recorded
from events.automations.core.templates import misplaced, texts_in
from events.automations.errors import AutomationNotFound, BadAutomation
from events.models import Automation, TriggerState
from orchestration.authors import asking_user
from orchestration.new_ids import refuse_made
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7

_NAMED = {
    "deployment_id": Deployment,
    "work_queue_id": WorkQueue,
    "work_pool_id": WorkPool,
    "automation_id": Automation,
}
_TEXTS = ("subject", "body", "payload")
# The list of actions, and the position of one in it.
Place = tuple[str, int]


@repeated_on_conflict
def create_automation(*, columns: Mapping[str, Any], now: datetime, id: UUID | None = None) -> Automation:
    """Create an automation; with this id, once. Raises BadAutomation, UnreadableName and MadeAlready."""
    refuse_invalid(columns)
    refuse_unreadable(columns["name"])
    with write_transaction():
        refuse_made(Automation, id, "an automation")
        row = {**columns, "trigger": with_ids(columns["trigger"])}
        automation = Automation(**row, id=id or uuid7(), created=now, since=now, author=asking_user())
        automation.save(force_insert=True)
        return automation


def replace_automation(*, automation_id: UUID, columns: Mapping[str, Any], now: datetime) -> None:
    """Replace name, trigger and actions, and what else is in `columns`. Counting starts again."""
    _check(columns)
    _refuse_endless({**_kept(automation_id, columns), **columns})
    name = columns["name"]
    refuse_unreadable(name, unless=Automation.objects.filter(pk=automation_id, name=name))
    changes = {**columns, "trigger": with_ids(columns["trigger"]), "since": now, "author": asking_user()}
    _change(automation_id, changes, now)


def switch_automation(*, automation_id: UUID, enabled: bool, now: datetime) -> None:
    """Switch an automation on or off. Events that occur while it is off are not processed later."""
    if enabled:
        for stored in Automation.objects.filter(pk=automation_id).values("trigger", "actions", "actions_on_trigger"):
            _refuse_endless(dict(stored))
    _change(automation_id, {"enabled": enabled, "since": now}, now)


def delete_automation(*, automation_id: UUID) -> None:
    with write_transaction():
        deleted, _ = Automation.objects.filter(pk=automation_id).delete()
        if not deleted:
            raise AutomationNotFound


def delete_automations_owned_by(*, resource_id: str) -> int:
    with write_transaction():
        owned = Automation.objects.select_for_update().filter(owner_resource=resource_id)
        doomed = list(owned.values_list("pk", flat=True))
        Automation.objects.filter(pk__in=doomed).delete()
        return len(doomed)


def with_ids(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trigger and all triggers in it with new ids, under which their states are stored."""
    within = {"triggers": [with_ids(one) for one in trigger["triggers"]]} if "triggers" in trigger else {}
    return {**trigger, "id": str(uuid7()), **within}


def _change(automation_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    with write_transaction():
        if not Automation.objects.filter(pk=automation_id).update(**changes, updated=now):
            raise AutomationNotFound
        # After the update, which waits for an evaluation that has locked the automation and still counts.
        TriggerState.objects.filter(automation=automation_id).delete()


def refuse_invalid(columns: Mapping[str, Any]) -> None:
    """Refuse a trigger that never fires or never stops, texts that cannot be read, and actions on missing objects."""
    _check(columns)
    _refuse_endless(columns)


def _check(columns: Mapping[str, Any]) -> None:
    if event := never_recorded(columns["trigger"]):
        raise BadAutomation(reason=f"No event {event!r} is ever recorded, so the trigger would never fire on it.")
    for place, action in _placed_actions(columns):
        _check_texts(action, place)
        for key, model in _NAMED.items():
            _check_target(action, key, model, place)
        block_id = action.get("block_document_id")
        if block_id is not None and not BlockDocument.objects.filter(pk=block_id).exists():
            raise _names_nothing(action, "block_document_id", place)


def _kept(automation_id: UUID, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the stored automation keeps if these columns replace the others. Raises AutomationNotFound."""
    kept = {"enabled", "actions_on_trigger", "actions_on_resolve"} - columns.keys()
    stored = Automation.objects.filter(pk=automation_id).values(*kept).first() if kept else {}
    if stored is None:
        raise AutomationNotFound
    return dict(stored)


def _refuse_endless(columns: Mapping[str, Any]) -> None:
    if columns.get("enabled", True) and (reason := endless(columns)):
        raise BadAutomation(reason=reason)


def _check_texts(action: Mapping[str, Any], place: Place) -> None:
    texts = [(key, action.get(key) or "") for key in _TEXTS]
    texts += [("parameters", text) for text in texts_in(action.get("parameters") or {})]
    for key, text in texts:
        if wrong := misplaced(text):
            reason = f"The {key} of {action['type']}, line {wrong.line}: {wrong.message.rstrip('.')}."
            raise BadAutomation(reason=reason, place=(*place, key))


def _check_target(action: Mapping[str, Any], key: str, model: Any, place: Place) -> None:
    if not action["type"].endswith(key.removesuffix("_id").replace("_", "-")):
        return
    inferred = action.get("source") == "inferred"
    if (action.get(key) is None) != inferred:
        wanted = f"no {key}, as it follows from the event" if inferred else f"a {key}"
        raise BadAutomation(
            reason=f"The action {action['type']!r} with source {action.get('source')!r} takes {wanted}.",
            place=(*place, key),
        )
    if not inferred and not model.objects.filter(pk=action[key]).exists():
        raise _names_nothing(action, key, place)


def _names_nothing(action: Mapping[str, Any], key: str, place: Place) -> BadAutomation:
    reason = f"The action {action['type']!r} names {key} {action[key]}, which does not exist."
    return BadAutomation(reason=reason, place=(*place, key))


def actions_of(columns: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [action for _, action in _placed_actions(columns)]


def _placed_actions(columns: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for name in ("actions", "actions_on_trigger", "actions_on_resolve"):
        yield from (((name, number), action) for number, action in enumerate(columns.get(name) or ()))
