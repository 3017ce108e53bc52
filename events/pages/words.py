"""Triggers and actions of automations in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from runs.templatetags.times import period

_PREFIX, _TAG = "prefect.", "prefect.tag."


def trigger_words(trigger: Mapping[str, Any]) -> str:
    """Return one sentence about when an automation acts, without a full stop."""
    if trigger["type"] == "event":
        return _event_words(trigger)
    parts = [trigger_words(one) for one in trigger["triggers"]]
    if trigger["type"] == "sequence":
        sentence = ", and then ".join(parts)
    else:
        require = trigger.get("require", "all")
        how = {"any": "any of these", "all": "all of these"}.get(str(require), f"{require} of these")
        sentence = f"{how}: {'; '.join(parts)}" if len(parts) > 1 else parts[0]
    return f"{sentence}, within {period(trigger['within'])}" if trigger.get("within") else sentence


def _event_words(trigger: Mapping[str, Any]) -> str:
    events, times = _names(trigger["expect"]) or "any event", int(trigger["threshold"])
    whose = _whose(trigger["match"], trigger["match_related"])
    after = _names(trigger["after"])
    within = f" within {period(trigger['within'])}" if trigger["within"] else ""
    if trigger["posture"] == "Proactive":
        few, occur = ("no", "occurs") if times <= 1 else (f"fewer than {times}", "occur")
        return f"{few} {events}{whose} {occur}{within}{f' after {after}' if after else ''}"
    often = f" {times} times" if times > 1 else ""
    return f"{events}{whose} occurs{often}{within}{f', after {after}' if after else ''}"


def _whose(match: Mapping[str, Any], related: Mapping[str, Any]) -> str:
    own = " and ".join(_condition(label, value) for label, value in match.items() if not _is_everything(value))
    if tags := _tags(related):
        return (f" of {own}" if own else "") + f" with tag {' or '.join(tags)}"
    others = " and ".join(_condition(label, value) for label, value in related.items())
    return (f" of {own}" if own else "") + (f" related to {others}" if others else "")


def _tags(related: Mapping[str, Any]) -> list[str]:
    """Return the tags of a condition that names nothing else: one of them is enough."""
    ids = related.get(RESOURCE_ID, [])
    ids = [ids] if isinstance(ids, str) else ids
    is_usual = related.keys() == {RESOURCE_ID, RESOURCE_ROLE} and related[RESOURCE_ROLE] == "tag"
    if not is_usual or not all(str(one).startswith(_TAG) for one in ids):
        return []
    return [str(one).removeprefix(_TAG) for one in ids]


def _is_everything(value: Any) -> bool:
    """Whether a pattern only matches the kind of the resource, which the event's name already shows."""
    return isinstance(value, str) and value.startswith(_PREFIX) and value.endswith(".*")


def _condition(label: str, value: str | Sequence[str]) -> str:
    wanted = value if isinstance(value, str) else " or ".join(value)
    return wanted if label == "prefect.resource.id" else f"{label.removeprefix('prefect.resource.')} {wanted}"


def _names(names: Sequence[str]) -> str:
    return " or ".join(name.removeprefix(_PREFIX) for name in sorted(names))


def action_words(action: Mapping[str, Any]) -> str:
    """Return the action in words, such as `Run deployment`, with its object."""
    words = str(action["type"]).replace("-", " ").capitalize()
    if action.get("source") == "inferred":
        return f"{words}: the one that the event is about"
    if action["type"] == "send-notification":
        return f"{words}: {action.get('subject') or ''}"
    if action["type"] == "change-flow-run-state":
        return f"{words} to {action.get('name') or action['state']}"
    return words


def target_of(action: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the kind and the id of the object that an action names; None if it names none with a page."""
    for key in ("deployment_id", "work_queue_id", "automation_id"):
        if action.get(key):
            return f"{_PREFIX}{key.removesuffix('_id').replace('_', '-')}", str(action[key])
    return None
