"""Commands of operators on automations and notification policies: on and off."""

from __future__ import annotations

from functools import partial
from typing import Any

from events.automations.services.automations import switch_automation
from events.notifications.services.policies import update_policy
from orion_site.accounts.permissions import Action
from orion_site.operators.commands import Asked, Command


def _switch_automation(row: Any, asked: Asked, *, on: bool) -> str:
    if row.enabled == on:
        return "it is on already" if on else "it is off already"
    switch_automation(automation_id=row.pk, enabled=on, now=asked.now)
    return ""


def _switch_policy(row: Any, asked: Asked, *, on: bool) -> str:
    if row.is_active == on:
        return "it is on already" if on else "it is off already"
    update_policy(policy_id=row.pk, changes={"is_active": on}, now=asked.now)
    return ""


ON, OFF = "They judge what comes from now on.", "They do nothing until they are switched on; nothing is caught up with."
ON_AUTOMATIONS = (
    Command("on", "Switch on", Action.CHANGE_AUTOMATIONS, ON, "on", partial(_switch_automation, on=True)),
    Command("off", "Switch off", Action.CHANGE_AUTOMATIONS, OFF, "off", partial(_switch_automation, on=False)),
)
ON_POLICIES = (
    Command("on", "Switch on", Action.CHANGE_NOTIFICATIONS, ON, "on", partial(_switch_policy, on=True)),
    Command("off", "Switch off", Action.CHANGE_NOTIFICATIONS, OFF, "off", partial(_switch_policy, on=False)),
)
