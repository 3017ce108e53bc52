"""Automations that would trigger themselves forever, or never fire: found before they are stored. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from events.automations.core.matching import fits, is_named
from events.recording.catalogue import closed_kinds
from orionflow.contract.kinds import RESOURCE_ID

# Every run enters these states.
EVERY_RUN = ("prefect.flow-run.Scheduled", "prefect.flow-run.Pending", "prefect.flow-run.Running")
# Kinds of events that only the server records, with all of their names.
EMITTED: Mapping[str, Sequence[str]] = closed_kinds()


def endless(columns: Mapping[str, Any]) -> str | None:
    """Return why the automation would trigger itself forever by the runs that it starts; None if it would not."""
    starts = [one for one in (*columns["actions"], *columns["actions_on_trigger"]) if one["type"] == "run-deployment"]
    for trigger in _that_fire_alone(columns["trigger"]):
        if starts and _expects_every_run(trigger):
            for action in starts:
                if reason := _reason(trigger, action):
                    return reason
    return None


def never_recorded(trigger: Mapping[str, Any]) -> str | None:
    """Return the first event that the trigger expects and that is never recorded; None if there is none."""
    for leaf in _leaves(trigger):
        for name in (*leaf["expect"], *leaf["after"]):
            kind = next((kind for kind in EMITTED if name.startswith(kind)), None)
            if kind and not any(fits(name, kind + end) for end in EMITTED[kind]):
                return str(name)
    return None


def _leaves(trigger: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if trigger["type"] == "event":
        yield trigger
    for one in trigger.get("triggers") or ():
        yield from _leaves(one)


def _that_fire_alone(trigger: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the reactive triggers that suffice to fire the automation. Proactive ones wait for missing events."""
    if trigger["type"] == "event":
        if trigger["posture"] == "Reactive":
            yield trigger
    elif len(trigger["triggers"]) == 1 or trigger.get("require") in ("any", 1):
        for one in trigger["triggers"]:
            yield from _that_fire_alone(one)


def _expects_every_run(trigger: Mapping[str, Any]) -> bool:
    if trigger["expect"]:
        return any(is_named(trigger["expect"], event) for event in EVERY_RUN)
    return any(one.startswith("prefect.flow-run.") for one in _listed(trigger["match"], RESOURCE_ID))


def _reason(trigger: Mapping[str, Any], action: Mapping[str, Any]) -> str | None:
    if action.get("source") == "inferred":
        return (
            "Running the deployment of a new flow run starts a flow run that sets the automation off again, without "
            "end. Name the deployment to run, and narrow down by match or match_related which runs are meant."
        )
    own = f"prefect.deployment.{action.get('deployment_id')}"
    related = _listed(trigger["match_related"], RESOURCE_ID)
    if any(fits(one, own) for one in related) or (
        _fits_every_run(trigger["match"]) and _fits_every_run(trigger["match_related"])
    ):
        return (
            "The flow runs that this automation starts would set it off again, without end. Narrow down by match or "
            "match_related which runs are meant, so that those of the deployment itself are not among them."
        )
    return None


def _fits_every_run(asked: Mapping[str, str | Sequence[str]]) -> bool:
    return not asked or (set(asked) == {RESOURCE_ID} and "prefect.flow-run.*" in _listed(asked, RESOURCE_ID))


def _listed(asked: Mapping[str, str | Sequence[str]], label: str) -> Sequence[str]:
    value = asked.get(label) or ()
    return [value] if isinstance(value, str) else value
