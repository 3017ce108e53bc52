"""The only place that decides who may do what. A view that declares no action is denied to everyone.

Views declare actions. This module knows actors; the authentication classes of the API recognise them by a key, by a
session, or as the local owner, who may do everything. `roles` defines what roles allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, ClassVar, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings

from orchestration.authors import asker
from orchestration.errors import RunLost
from orchestration.sight import Sight, show


class Action(StrEnum):
    """The actions that permissions are about."""

    ANYBODY = "anybody"  # needs no authentication: whether the server is alive, and the page to sign in
    PROBE = "probe"  # whether the server is reachable, and its version
    READ_RUNS = "runs.read"
    REPORT_RUNS = "runs.report"  # reports of a running flow about itself: transitions, logs, artifacts
    REPORT_ANY_RUN = "runs.report-any"  # such reports about runs that agents of other users hold
    CREATE_RUNS = "runs.create"  # runs without a deployment
    SEND_INPUTS = "runs.send"  # send a value to a run that takes input
    CHANGE_RUNS = "runs.change"  # commands of users on runs: cancel, resume, rename, delete
    FORCE_STATES = "runs.force"  # set a state without asking the rules
    CUSTOMISE_RUNS = "runs.customise"  # where and how a run's code is executed: job variables, infrastructure
    READ_LIMITS = "limits.read"
    CHANGE_LIMITS = "limits.change"
    TAKE_SLOTS = "limits.take"  # take and release slots of global limits, as running flows do
    READ_VARIABLES = "variables.read"
    CHANGE_VARIABLES = "variables.change"
    READ_BLOCKS = "blocks.read"
    READ_SECRETS = "blocks.secrets"  # blocks with their secrets in clear text
    CHANGE_BLOCKS = "blocks.change"
    READ_DEPLOYMENTS = "deployments.read"  # with their schedules, the calendars and the feeds of planned runs
    CHANGE_DEPLOYMENTS = "deployments.change"
    RUN_DEPLOYMENTS = "deployments.run"
    CHANGE_BACKFILLS = "backfills.change"
    READ_QUEUES = "queues.read"  # work pools, their queues and workers, and the runs that hold their slots
    CHANGE_QUEUES = "queues.change"
    SERVE_QUEUES = "queues.serve"  # heartbeats and polls of agents and workers
    READ_NOTIFICATIONS = "notifications.read"
    CHANGE_NOTIFICATIONS = "notifications.change"
    READ_EVENTS = "events.read"
    REPORT_EVENTS = "events.report"
    READ_AUTOMATIONS = "automations.read"
    CHANGE_AUTOMATIONS = "automations.change"
    READ_SETTINGS = "settings.read"
    CHANGE_SETTINGS = "settings.change"
    READ_METRICS = "metrics.read"  # metrics of the whole installation
    READ_AUDIT = "audit.read"  # the audit log
    OPERATE = "operate"  # the admin
    KEEP_KEYS = "keys.keep"  # the user's own keys and password
    MANAGE_USERS = "users.manage"  # users, groups, and all keys

    @property
    def is_reading(self) -> bool:
        """Whether the action changes nothing."""
        return self in _READING or self.value.endswith(".read")

    @property
    def is_reporting(self) -> bool:
        """Whether the action is for reports of flows, agents and programs, recorded as states, leases and events."""
        return self in _REPORTING


# Constants, because each request looks them up.
_READING = frozenset({Action.ANYBODY, Action.PROBE, Action.READ_SECRETS})
_REPORTING = frozenset(
    {
        Action.REPORT_RUNS,
        Action.REPORT_ANY_RUN,
        Action.CREATE_RUNS,
        Action.SEND_INPUTS,
        Action.SERVE_QUEUES,
        Action.TAKE_SLOTS,
        Action.REPORT_EVENTS,
    }
)
# Actions that can be allowed on named objects only: on deployments, tags, work pools and queues, and what belongs to
# them. All others are allowed for all objects or not at all.
OF_OBJECTS = frozenset(
    {
        Action.READ_RUNS,
        Action.REPORT_RUNS,
        Action.REPORT_ANY_RUN,
        Action.CREATE_RUNS,
        Action.SEND_INPUTS,
        Action.CHANGE_RUNS,
        Action.FORCE_STATES,
        Action.CUSTOMISE_RUNS,
        Action.READ_DEPLOYMENTS,
        Action.CHANGE_DEPLOYMENTS,
        Action.RUN_DEPLOYMENTS,
        Action.CHANGE_BACKFILLS,
        Action.READ_QUEUES,
        Action.CHANGE_QUEUES,
        Action.SERVE_QUEUES,
        Action.READ_LIMITS,
        Action.CHANGE_LIMITS,
        Action.READ_EVENTS,
    }
)


@dataclass(frozen=True, slots=True)
class OnObject:
    """The actions that are allowed on the objects of one name."""

    kind: str
    name: str
    actions: frozenset[Action]


@dataclass(frozen=True, slots=True)
class Actor:
    """The sender of a request, as `request.user`. `user_id` and `key_id` are those of rows, if there are any.

    `actions` are allowed for all objects, those of `objects` for these objects only.
    """

    name: str
    actions: frozenset[Action]
    user_id: int | None = None
    key_id: int | None = None
    objects: tuple[OnObject, ...] = ()
    # The attempt of a flow run that sent the request, recognised by its token.
    run_id: UUID | None = None
    epoch: int | None = None
    # The user of the agent that claimed the attempt, and whether it has ended; its last reports are accepted for a
    # moment.
    claimed_by: int | None = None
    has_ended: bool = False

    # Django REST framework checks this of every user, and its browsable pages show the name.
    is_authenticated: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        """A text that is unique to this actor, whatever names users have."""
        if self.run_id is not None:
            return f"run {self.run_id}"
        return f"user {self.user_id}, key {self.key_id}" if self.user_id else self.name


LOCAL_OWNER = Actor("local owner", frozenset(Action))

_asking: ContextVar[Actor | None] = ContextVar("orion_asking", default=None)


def who_asks() -> Actor | None:
    """Return the actor of the present request; None outside of requests, and before authentication."""
    return _asking.get()


def answer_to(actor: Actor | None, sight: Sight | None = None) -> None:
    """Set the actor in this thread or task, and the rows that it sees, until the next call."""
    _asking.set(actor)
    asker.set(actor)
    show(sight)


class Unrecognised(PermissionDenied):
    """The sender of the request is unknown, or its key is invalid: answer with 401, or the page to sign in."""


def recognised(request: HttpRequest) -> Actor | None:
    """Return the sender of a request to a page, the admin or a websocket; None without credentials.

    The authentication classes of the API decide. They are called one by one, because DRF would write the actor into
    `request.user`, where the admin expects a Django user. Raises Unrecognised for wrong credentials.
    """
    kept: Actor | None = getattr(request, "_orion_actor", None)
    if kept is not None:
        return kept
    asked = Request(request)
    for authentication in api_settings.DEFAULT_AUTHENTICATION_CLASSES:
        try:
            found = authentication().authenticate(asked)
        except AuthenticationFailed as error:
            raise Unrecognised(str(error.detail)) from error
        except RunLost as error:
            raise Unrecognised(str(error)) from error
        if found:
            actor = cast(Actor, found[0])
            if actor.user_id is not None:
                # Keep it: recognising it needed queries, and a page asks several times.
                request._orion_actor = actor  # type: ignore[attr-defined]
            return actor
    return None


def actor_of(request: HttpRequest) -> Actor:
    """Return the sender of a request. Raises Unrecognised if it is unknown."""
    if (actor := recognised(request)) is None:
        raise Unrecognised(WITHOUT_CREDENTIALS)
    return actor


def may(actor: Actor | None, action: Action | None) -> bool:
    if action is Action.ANYBODY:
        return True
    return actor is not None and action is not None and action in actor.actions


def may_in_part(actor: Actor | None, action: Action | None) -> bool:
    """Whether the actor may do the action to some objects."""
    return actor is not None and any(action in one.actions for one in actor.objects)


WITHOUT_CREDENTIALS = (
    "Say who you are: ask as the Unix user who runs this server, sign in, or send a key in the header "
    "Authorization: Bearer orn_…"
)


class RoleRefused(PermissionDenied):
    """The actor's role does not allow the action; another role would."""


class DenyUndeclared(BasePermission):
    """Allow a request of the API if its user may do the declared action; deny views that declare none."""

    message = "You are not allowed to do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        answer_to(request.user)
        allowing = (getattr(view, "action_required", None), getattr(view, "allowed_too", None))
        if request.user is not None and request.user.objects:
            by_sight = getattr(view, "by_sight", False) or getattr(view, "reports", False)
            return _may_in_sight(request, *allowing, by_sight=by_sight)
        if any(may(request.user, action) for action in allowing):
            return True
        if request.user is None:
            raise NotAuthenticated(WITHOUT_CREDENTIALS)
        return False


def _may_in_sight(
    request: HttpRequest | Request, *actions: Action | None, by_sight: bool = False, further: bool = False
) -> bool:
    # Imported here because it needs models: an API inside a user's process has no accounts.
    from orion_site.accounts import objects

    if further:
        return objects.is_in_sight_of(request, *actions)
    return objects.may_in_sight(request, *actions, by_sight=by_sight)


def may_here(request: Request, action: Action | None) -> bool:
    """Whether the sender may also do another action to the object that the address names."""
    actor = request.user
    if may(actor, action):
        return True
    return may_in_part(actor, action) and _may_in_sight(request, action, further=True)


def may_on_page(request: HttpRequest, action: Action) -> bool:
    """Whether the reader of a page may also do an action to the object that its address names."""
    actor = actor_of(request)
    return may(actor, action) or (may_in_part(actor, action) and _may_in_sight(request, action, further=True))


def refuse_held_by_others(request: Request, reported: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse reports about runs that agents of other users hold, including the run in the address.

    Raises PermissionDenied.
    """
    if not reports_as_an_agent(request.user):
        return
    # Imported here because it needs models: an API inside a user's process has no accounts.
    from orion_site.accounts import holders

    holders.refuse_held_by_others(request.user, [*holders.runs_in_address(request), *reported])


def reports_as_an_agent(actor: Actor) -> bool:
    """Whether it depends on the agents that hold a run whether the actor may report about it.

    The token of a run is limited anyway.
    """
    if actor.run_id is not None or may(actor, Action.REPORT_ANY_RUN):
        return False
    return may(actor, Action.REPORT_RUNS) or may_in_part(actor, Action.REPORT_RUNS)


def refuse_unserved(request: Request, named: Iterable[tuple[str, UUID | None]] = ()) -> None:
    """Refuse commands of an agent's key on runs that its agents neither hold nor serve, including that in the address.

    Raises PermissionDenied.
    """
    actor = request.user
    if not reports_as_an_agent(actor) or may(actor, Action.CHANGE_RUNS):
        return
    # Imported here because it needs models: an API inside a user's process has no accounts.
    from orion_site.accounts import holders

    holders.refuse_unserved(actor, [*holders.runs_in_address(request), *named])


def refuse_fields(request: Request, action: Action, given: Mapping[str, Any], why: str) -> None:
    """Refuse fields that need an additional action, unless they are empty. Raises PermissionDenied."""
    named = [name for name, value in given.items() if value]
    if named and not may_here(request, action):
        raise PermissionDenied(
            f"Your role does not allow {' and '.join(named)}: {why}. Leave {'them' if len(named) > 1 else 'it'} out."
        )


# The reason given when `CUSTOMISE_RUNS` is missing.
WHERE_AND_HOW = "this says where and how the code of a run is executed"


def requires(
    action: Action, *, by_sight: bool = False
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Declare the action of a plain Django view: `@requires(Action.READ_RUNS)`.

    With `by_sight`, the view changes objects that it finds by reading, not the one that its address names.
    """

    def declare(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            actor = recognised(request)
            answer_to(actor)
            if actor is not None and actor.objects:
                is_allowed = _may_in_sight(request, action, by_sight=by_sight)
            else:
                is_allowed = may(actor, action)
            if not is_allowed:
                raise Unrecognised(WITHOUT_CREDENTIALS) if actor is None else RoleRefused(DenyUndeclared.message)
            return view(request, *args, **kwargs)

        guarded.action_required = action  # type: ignore[attr-defined]
        return guarded

    return declare
