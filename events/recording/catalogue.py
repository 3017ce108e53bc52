"""The events that Orion itself records: their names, resources and contents.

docs/reference/recorded-events.md is generated from this list. An automation is refused if it expects an event that only
the server could record, but never does. A test records an event of each kind and compares it with its entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAME = ("prefect.resource.name",)
# In the name of an event, this stands for the name of the new state, such as `Completed`.
STATE = "<state>"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Events about one kind of resource. `events` are the last parts of their names, each with its meaning."""

    title: str
    prefix: str
    events: Mapping[str, str]
    # The kind of the resource, which precedes its id, and its labels besides the id.
    resource: str
    labels: Sequence[str] = _NAME
    # Labels that exist only in some cases.
    at_times: Sequence[str] = ()
    # The roles of related resources. Those in parentheses exist only in some cases.
    related: Sequence[str] = ()
    payload: Sequence[str] = ()
    payload_at_times: Sequence[str] = ()
    # Whether only the server reports events with this prefix.
    is_closed: bool = False
    note: str = ""

    @property
    def names(self) -> Sequence[str]:
        return [self.prefix + end for end in self.events]


RECORDED: Sequence[Recorded] = (
    Recorded(
        "Flow runs",
        "prefect.flow-run.",
        {STATE: "the run has entered a state of this name"},
        resource="prefect.flow-run",
        labels=(
            *_NAME,
            "prefect.run-count",
            "prefect.state-message",
            "prefect.state-name",
            "prefect.state-timestamp",
            "prefect.state-type",
        ),
        related=("flow", "(deployment)", "(work-queue)", "(work-pool)", "(tag)"),
        payload=("intended", "initial_state", "validated_state"),
        note="Recorded while there is an automation that is enabled.",
    ),
    Recorded(
        "Deadlines of flow runs",
        "orion.flow-run.",
        {
            "missed-start": "the run had not started at the time by which it must (`must_start_within`)",
            "missed-finish": "the run had not finished at the time by which it must (`must_finish_within`)",
        },
        resource="prefect.flow-run",
        related=("flow", "(deployment)"),
        payload=("due", "state_type", "state_name"),
    ),
    Recorded(
        "Problems",
        "orion.problem.",
        {
            "new": "a run failed by a cause that was not known",
            "regressed": "a problem that was closed has come back",
            "growing": "it has ten times as many failures as at its last event, or is no longer muted",
            "resolved": "a user closed it, or its runs complete again",
        },
        resource="orion.problem",
        related=("(flow)", "(flow-run)", "(deployment)"),
        payload=("type", "place", "message", "status", "failures", "version", "first_seen", "resolution"),
        note="Once for each change, not for each failure; see [problems](../howto/problems.md).",
    ),
    Recorded(
        "Deployments",
        "prefect.deployment.",
        {"ready": "an agent serves its queue", "not-ready": "no agent serves its queue any more"},
        resource="prefect.deployment",
        related=("flow", "(work-queue)", "(work-pool)"),
        is_closed=True,
        note="Within ten seconds.",
    ),
    Recorded(
        "Work queues",
        "prefect.work-queue.",
        {
            "ready": "an agent asks the queue for work",
            "not-ready": "no agent asks it for work any more",
            "paused": "it was paused",
        },
        resource="prefect.work-queue",
        labels=(*_NAME, "prefect.resource.role"),
        related=("(work-pool)",),
        is_closed=True,
        note="Within ten seconds; at once if it was paused or resumed.",
    ),
    Recorded(
        "Work pools",
        "prefect.work-pool.",
        {
            "ready": "a worker of the pool is there",
            "not-ready": "no worker of the pool is there, or the pool is new",
            "paused": "it was paused",
        },
        resource="prefect.work-pool",
        labels=(*_NAME, "prefect.work-pool.type"),
        is_closed=True,
        note="Not of pools for agents.",
    ),
    Recorded(
        "Automations",
        "prefect.automation.",
        {"triggered": "it fired"},
        resource="prefect.automation",
        labels=(*_NAME, "prefect.trigger-type"),
        at_times=("prefect.posture",),
        related=("(triggering-event)",),
        payload=("triggering_event",),
        is_closed=True,
    ),
    Recorded(
        "Actions of automations",
        "prefect.automation.",
        {"action.executed": "one of its actions was done", "action.failed": "one of its actions was not done"},
        resource="prefect.automation",
        labels=(*_NAME, "prefect.trigger-type"),
        at_times=("prefect.posture",),
        related=("(target)",),
        payload=("action_index", "action_type", "invocation"),
        payload_at_times=("reason",),
        is_closed=True,
    ),
    Recorded(
        "Settings of the server",
        "orion.setting.",
        {
            "changed": "a user changed it while the server was running",
            "reset": "it is again what the environment says",
        },
        resource="orion.setting",
        payload=("before", "after", "by"),
    ),
)


def closed_kinds() -> Mapping[str, Sequence[str]]:
    """Return the prefixes of events that only the server reports, each with the last parts of their names."""
    ends: dict[str, list[str]] = {}
    for one in RECORDED:
        if one.is_closed:
            ends.setdefault(one.prefix, []).extend(one.events)
    return ends
