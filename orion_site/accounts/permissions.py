"""The one place that says who may do what. What declares no action is denied to everybody.

Entrances declare actions; this module knows actors, and the authentication classes of the API recognise them: by a
key, by a session, or as the local owner, who may do everything. What roles allow stands in `roles`.
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

    ANYBODY = "anybody"  # what needs no proof of who asks: whether the server is alive, and the page to sign in
    PROBE = "probe"  # is the server there, and which version is it
    READ_RUNS = "runs.read"
    REPORT_RUNS = "runs.report"  # what a running flow says about itself: transitions, logs, artifacts
    REPORT_ANY_RUN = "runs.report-any"  # the same of runs that agents of others hold
    CREATE_RUNS = "runs.create"  # runs that no deployment is asked for
    SEND_INPUTS = "runs.send"  # a value handed to a run that takes it in
    CHANGE_RUNS = "runs.change"  # what a person does to runs: cancel, resume, rename, delete
    FORCE_STATES = "runs.force"  # a state that the rules were not asked about
    CUSTOMISE_RUNS = "runs.customise"  # where and how a run's code is executed: job variables, infrastructure
    READ_LIMITS = "limits.read"
    CHANGE_LIMITS = "limits.change"
    TAKE_SLOTS = "limits.take"  # what a running flow does with global limits: take slots and return them
    READ_VARIABLES = "variables.read"
    CHANGE_VARIABLES = "variables.change"
    READ_BLOCKS = "blocks.read"
    READ_SECRETS = "blocks.secrets"  # the same blocks, with their secrets in clear
    CHANGE_BLOCKS = "blocks.change"
    READ_DEPLOYMENTS = "deployments.read"  # with their schedules, the calendars and the feeds of planned runs
    CHANGE_DEPLOYMENTS = "deployments.change"
    RUN_DEPLOYMENTS = "deployments.run"
    CHANGE_BACKFILLS = "backfills.change"
    READ_QUEUES = "queues.read"  # work pools, their queues and workers, and who holds places in them
    CHANGE_QUEUES = "queues.change"
    SERVE_QUEUES = "queues.serve"  # what an agent or a worker does: say that it is there, ask for runs
    READ_NOTIFICATIONS = "notifications.read"
    CHANGE_NOTIFICATIONS = "notifications.change"
    READ_EVENTS = "events.read"
    REPORT_EVENTS = "events.report"
    READ_AUTOMATIONS = "automations.read"
    CHANGE_AUTOMATIONS = "automations.change"
    READ_SETTINGS = "settings.read"
    CHANGE_SETTINGS = "settings.change"
    READ_METRICS = "metrics.read"  # figures of the whole installation
    READ_AUDIT = "audit.read"  # who did what
    OPERATE = "operate"  # the admin
    KEEP_KEYS = "keys.keep"  # one's own keys and password
    MANAGE_USERS = "users.manage"  # users, groups, and everybody's keys

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self in _READING or self.value.endswith(".read")

    @property
    def is_reporting(self) -> bool:
        """Whether running flows, agents and programs do it: it is recorded as states, leases and events."""
        return self in _REPORTING


# Made once: they are looked into with each request.
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
# What somebody may do to named objects alone: to deployments, tags, work pools and queues, and to what belongs to them.
# Everything else is allowed for all objects, or not at all.
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
    """The actions that somebody may do to the objects of one name."""

    kind: str
    name: str
    actions: frozenset[Action]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the `user` of a request of the API. `user_id` and `key_id` are those of rows, where there are any.

    `actions` are allowed for all objects, those of `objects` for these objects only.
    """

    name: str
    actions: frozenset[Action]
    user_id: int | None = None
    key_id: int | None = None
    objects: tuple[OnObject, ...] = ()
    # The attempt of a flow run that speaks for itself, by its token.
    run_id: UUID | None = None
    epoch: int | None = None
    # The user of the agent that claimed it, and whether it is over, with a moment left for its last lines.
    claimed_by: int | None = None
    has_ended: bool = False

    # Django REST framework asks this of every user, and its browsable pages show the name.
    is_authenticated: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        """A text that no other actor has, whatever names people give themselves."""
        if self.run_id is not None:
            return f"run {self.run_id}"
        return f"user {self.user_id}, key {self.key_id}" if self.user_id else self.name


LOCAL_OWNER = Actor("local owner", frozenset(Action))

_asking: ContextVar[Actor | None] = ContextVar("orion_asking", default=None)


def who_asks() -> Actor | None:
    """The actor whose request is being answered; None outside of requests, and before anybody was recognised."""
    return _asking.get()


def answer_to(actor: Actor | None, sight: Sight | None = None) -> None:
    """From here on it is this actor who asks, in this thread or task, and who sees these rows only."""
    _asking.set(actor)
    asker.set(actor)
    show(sight)


class Unrecognised(PermissionDenied):
    """Nobody is known to have sent the request, or its key is not valid: 401, or the page to sign in."""


def recognised(request: HttpRequest) -> Actor | None:
    """Return who sent a request to a page, the admin or a websocket; None for somebody without credentials.

    The authentication classes of the API answer. They are asked here one by one, because DRF would write the actor into
    `request.user`, where the admin expects a row of Django's users. Raises Unrecognised for credentials that are wrong.
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
                # Rows were read for it; a page asks several times.
                request._orion_actor = actor  # type: ignore[attr-defined]
            return actor
    return None


def actor_of(request: HttpRequest) -> Actor:
    """Return who sent a request. Raises Unrecognised for somebody unknown."""
    if (actor := recognised(request)) is None:
        raise Unrecognised(WITHOUT_CREDENTIALS)
    return actor


def may(actor: Actor | None, action: Action | None) -> bool:
    if action is Action.ANYBODY:
        return True
    return actor is not None and action is not None and action in actor.actions


def may_in_part(actor: Actor | None, action: Action | None) -> bool:
    """Whether the actor may do it to some objects."""
    return actor is not None and any(action in one.actions for one in actor.objects)


WITHOUT_CREDENTIALS = (
    "Say who you are: ask as the Unix user who runs this server, sign in, or send a key in the header "
    "Authorization: Bearer orn_…"
)


class RoleRefused(PermissionDenied):
    """Somebody's role does not allow it; another one would."""


class DenyUndeclared(BasePermission):
    """Allow a request of the API if its user may do what the operation declares; deny what declares nothing."""

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
    # Imported here, because it knows tables: an API inside a user's process has no accounts.
    from orion_site.accounts import objects

    if further:
        return objects.is_in_sight_of(request, *actions)
    return objects.may_in_sight(request, *actions, by_sight=by_sight)


def may_here(request: Request, action: Action | None) -> bool:
    """Whether whoever asks may do one more action, to the object that the address names."""
    actor = request.user
    if may(actor, action):
        return True
    return may_in_part(actor, action) and _may_in_sight(request, action, further=True)


def refuse_held_by_others(request: Request, reported: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse reports about runs that the agents of others hold, the run of the address among them.

    Raises PermissionDenied.
    """
    actor = request.user
    if not _reports_as_an_agent(actor):
        return
    # Imported here, because it knows tables: an API inside a user's process has no accounts.
    from orion_site.accounts import holders

    holders.refuse_held_by_others(actor, [*holders.run_in_address(request), *reported])


def _reports_as_an_agent(actor: Actor) -> bool:
    """Whether what it reports of runs is bound to those that agents of its user hold: a run token's is by itself."""
    if actor.run_id is not None or may(actor, Action.REPORT_ANY_RUN):
        return False
    return may(actor, Action.REPORT_RUNS) or may_in_part(actor, Action.REPORT_RUNS)


def refuse_unserved(request: Request) -> None:
    """Refuse what concerns the run of the address, where an agent's role says nothing of it: neither did the agents of
    this user hold it, nor do they serve its queue. Raises PermissionDenied."""
    actor = request.user
    if not _reports_as_an_agent(actor) or may(actor, Action.CHANGE_RUNS):
        return
    # Imported here, because it knows tables: an API inside a user's process has no accounts.
    from orion_site.accounts import holders

    holders.refuse_unserved(actor, holders.run_in_address(request))


def refuse_fields(request: Request, action: Action, given: Mapping[str, Any], why: str) -> None:
    """Refuse fields that need one more action, unless they are empty. Raises PermissionDenied."""
    named = [name for name, value in given.items() if value]
    if named and not may_here(request, action):
        raise PermissionDenied(
            f"Your role does not allow {' and '.join(named)}: {why}. Leave {'them' if len(named) > 1 else 'it'} out."
        )


# What `CUSTOMISE_RUNS` is about.
WHERE_AND_HOW = "this says where and how the code of a run is executed"


def requires(
    action: Action, *, by_sight: bool = False
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Declare the action of a plain Django view: `@requires(Action.READ_RUNS)`.

    `by_sight`: it changes objects that it finds by reading, instead of one that its address names.
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
