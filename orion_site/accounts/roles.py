"""Roles: named sets of actions. A group has roles, a user those of the groups, and a key those of its user or fewer."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import TextChoices

from orion_site.accounts.permissions import Action


class Role(TextChoices):
    """Named sets of actions, from the least to the most; `agent` is for machines."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    AGENT = "agent"
    ADMIN = "admin"


# Sets are written out: an action that is added later is in no role but the last until somebody puts it there.
_VIEWER = frozenset(
    {
        Action.PROBE,
        Action.READ_RUNS,
        Action.READ_LIMITS,
        Action.READ_VARIABLES,
        Action.READ_BLOCKS,
        Action.READ_DEPLOYMENTS,
        Action.READ_QUEUES,
        Action.READ_NOTIFICATIONS,
        Action.READ_EVENTS,
        Action.READ_AUTOMATIONS,
        Action.READ_SETTINGS,
    }
)
_OPERATOR = _VIEWER | {Action.CHANGE_RUNS, Action.RUN_DEPLOYMENTS}
# What code that runs does for itself, and what must be read for it.
_AGENT = frozenset(
    {
        Action.PROBE,
        Action.SERVE_QUEUES,
        Action.REPORT_RUNS,
        Action.FORCE_STATES,
        Action.TAKE_SLOTS,
        Action.REPORT_EVENTS,
        Action.RUN_DEPLOYMENTS,
        Action.READ_RUNS,
        Action.READ_LIMITS,
        Action.READ_VARIABLES,
        Action.READ_BLOCKS,
        Action.READ_SECRETS,
        Action.READ_DEPLOYMENTS,
        Action.READ_QUEUES,
        Action.READ_EVENTS,
    }
)
# Whoever deploys has code executed, which may do what an agent's may.
_DEPLOYER = (
    _OPERATOR
    | _AGENT
    | {
        Action.CUSTOMISE_RUNS,
        Action.CHANGE_LIMITS,
        Action.CHANGE_VARIABLES,
        Action.CHANGE_BLOCKS,
        Action.CHANGE_DEPLOYMENTS,
        Action.CHANGE_QUEUES,
        Action.CHANGE_NOTIFICATIONS,
        Action.CHANGE_AUTOMATIONS,
    }
)
ACTIONS: dict[str, frozenset[Action]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.DEPLOYER: _DEPLOYER,
    Role.AGENT: _AGENT,
    Role.ADMIN: frozenset(Action),
}
# What everybody may do who has signed in, whatever the role.
OF_EVERY_USER = frozenset({Action.PROBE, Action.KEEP_KEYS})


def actions_of(roles: Iterable[str | None], *, is_superuser: bool = False) -> frozenset[Action]:
    """Return what somebody may do who has these roles; a role that is not known any more allows nothing."""
    if is_superuser:
        return ACTIONS[Role.ADMIN]
    return OF_EVERY_USER.union(*(ACTIONS.get(role or "", frozenset()) for role in roles))


def limited(actions: frozenset[Action], role: str) -> frozenset[Action]:
    """Return what a key with this role may do for an owner who may do that; without a role, all but making keys."""
    allowed = ACTIONS.get(role, frozenset()) | {Action.PROBE} if role else actions
    return (actions & allowed) - {Action.KEEP_KEYS}
