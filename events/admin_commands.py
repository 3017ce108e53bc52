"""Commands of operators that switch automations and notification policies on and off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events.automations.services.automations import switch_automation
from events.notifications.services.policies import update_policy
from orion_site.accounts.permissions import Action
from orion_site.operators.commands import Command, Submission, switches


def _switch_automation(on: bool) -> Callable[[Any, Submission], str]:
    return switches(
        "enabled",
        on,
        ALREADY[on],
        lambda row, submission: switch_automation(automation_id=row.pk, enabled=on, now=submission.now),
    )


def _switch_policy(on: bool) -> Callable[[Any, Submission], str]:
    return switches(
        "is_active",
        on,
        ALREADY[on],
        lambda row, submission: update_policy(policy_id=row.pk, changes={"is_active": on}, now=submission.now),
    )


ALREADY = {True: "it is on already", False: "it is off already"}
ON, OFF = "They judge what comes from now on.", "They do nothing until they are switched on; nothing is caught up with."
ON_AUTOMATIONS = (
    Command(
        name="on",
        label="Switch on",
        needs=Action.CHANGE_AUTOMATIONS,
        explanation=ON,
        done="on",
        do=_switch_automation(on=True),
    ),
    Command(
        name="off",
        label="Switch off",
        needs=Action.CHANGE_AUTOMATIONS,
        explanation=OFF,
        done="off",
        do=_switch_automation(on=False),
    ),
)
ON_POLICIES = (
    Command(
        name="on",
        label="Switch on",
        needs=Action.CHANGE_NOTIFICATIONS,
        explanation=ON,
        done="on",
        do=_switch_policy(on=True),
    ),
    Command(
        name="off",
        label="Switch off",
        needs=Action.CHANGE_NOTIFICATIONS,
        explanation=OFF,
        done="off",
        do=_switch_policy(on=False),
    ),
)
