"""Roles: named sets of actions. A group has roles, a user those of the groups, a key those of its user or fewer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.db.models import TextChoices

from orion_site.accounts.permissions import OF_OBJECTS, Action, Actor, OnObject
from orion_site.accounts.role import Role as Role

# Roles list their actions explicitly, so that a new action belongs to no role but the last until it is added here.
_MONITOR = frozenset({Action.PROBE, Action.READ_METRICS})
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
        Action.READ_METRICS,
    }
)
_OPERATOR = _VIEWER | {Action.CHANGE_RUNS, Action.RUN_DEPLOYMENTS, Action.CHANGE_BACKFILLS}
# Actions of running code, and what must be read for it.
_AGENT = frozenset(
    {
        Action.PROBE,
        Action.SERVE_QUEUES,
        Action.REPORT_RUNS,
        Action.CREATE_RUNS,
        Action.SEND_INPUTS,
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
# A deployer decides what code runs, and so may do what an agent may.
_DEPLOYER = (
    _OPERATOR
    | _AGENT
    | {
        Action.CUSTOMISE_RUNS,
        Action.REPORT_ANY_RUN,
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
    Role.MONITOR: _MONITOR,
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.DEPLOYER: _DEPLOYER,
    Role.AGENT: _AGENT,
    Role.ADMIN: frozenset(Action),
}
# Actions of every signed-in user, whatever the role.
OF_EVERY_USER = frozenset({Action.PROBE, Action.KEEP_KEYS})


LONGEST_NAME_OF_OBJECT = 520


class Kind(TextChoices):
    """The kinds of objects for which a role can be given, including what belongs to these objects."""

    DEPLOYMENT = "deployment"  # flow/deployment
    TAG = "tag"  # of deployments and of flow runs
    WORK_POOL = "work-pool"
    WORK_QUEUE = "work-queue"  # pool/queue


@dataclass(frozen=True, slots=True)
class Held:
    """A role that a user has: for all objects, or for the objects of one name."""

    role: str
    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        return role_text(self.role, self.kind, self.name)


def role_text(role: str, kind: str, name: str) -> str:
    """Return a role as commands and pages write it: `operator`, or `operator:deployment:etl/daily`."""
    return f"{role}:{kind}:{name}" if kind else role


def read_held(text: str) -> Held:
    """Read what `role_text` returns. Raises ValueError with a sentence."""
    role, _, rest = text.partition(":")
    if role not in set(Role):
        raise ValueError(f"There is no role {role[:50]!r}; there are {', '.join(Role)}.")
    if text == role:
        return Held(role)
    kind, _, name = rest.partition(":")
    if kind not in set(Kind) or not name.strip() or len(name) > LONGEST_NAME_OF_OBJECT or "\x00" in name:
        raise ValueError(f"{text[:100]!r} names no object: say ROLE:KIND:NAME, where KIND is {', '.join(Kind)}.")
    if kind == Kind.DEPLOYMENT and "/" not in name:
        raise ValueError("A deployment is named with its flow: flow/deployment.")
    if role == Role.ADMIN:
        raise ValueError("The role admin holds for everything.")
    return Held(role, kind, name)


def actions_of(roles: Iterable[Held], *, is_superuser: bool = False) -> frozenset[Action]:
    """Return the actions that these roles allow on all objects; an unknown role allows none."""
    if is_superuser:
        return ACTIONS[Role.ADMIN]
    return OF_EVERY_USER.union(*(ACTIONS.get(one.role, frozenset()) for one in roles if not one.kind))


def objects_of(roles: Iterable[Held]) -> tuple[OnObject, ...]:
    """Return the actions that these roles allow on named objects."""
    return tuple(
        OnObject(one.kind, one.name, ACTIONS.get(one.role, frozenset()) & OF_OBJECTS) for one in roles if one.kind
    )


def limited(actor: Actor, role: str) -> Actor:
    """Return the actor of a key: with its role, less than its owner; without one, everything except managing keys."""
    allowed = ACTIONS.get(role, frozenset()) | {Action.PROBE} if role else actor.actions | OF_OBJECTS
    objects = tuple(replace(one, actions=one.actions & allowed) for one in actor.objects)
    return replace(actor, actions=(actor.actions & allowed) - {Action.KEEP_KEYS}, objects=objects)
