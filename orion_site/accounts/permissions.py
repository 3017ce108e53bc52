"""The one place that says who may do what. What declares no action is denied to everybody.

Entrances declare actions; this module knows actors, and the authentication classes of the API recognise them. Until
users exist there is one actor, the local owner, who may do everything: the guard lets nobody else in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, ClassVar, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings


class Action(StrEnum):
    """The actions that permissions are about."""

    PROBE = "probe"  # is the server there, and which version is it
    READ_RUNS = "runs.read"
    REPORT_RUNS = "runs.report"  # what a running flow says about itself: creations, transitions, logs, artifacts
    CHANGE_RUNS = "runs.change"  # what a person does to runs: cancel, resume, rename, delete
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
    READ_AUDIT = "audit.read"  # who did what
    OPERATE = "operate"  # the admin

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self in {Action.PROBE, Action.READ_SECRETS} or self.value.endswith(".read")

    @property
    def is_reporting(self) -> bool:
        """Whether running flows, agents and programs do it: it is recorded as states, leases and events."""
        return self in {Action.REPORT_RUNS, Action.SERVE_QUEUES, Action.TAKE_SLOTS, Action.REPORT_EVENTS}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the `user` of a request of the API."""

    name: str
    actions: frozenset[Action]

    # Django REST framework asks this of every user, and its browsable pages show the name.
    is_authenticated: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.name


LOCAL_OWNER = Actor("local owner", frozenset(Action))


def actor_of(request: HttpRequest) -> Actor:
    """Return who sent a request to a page, the admin or a websocket. Raises PermissionDenied for somebody unknown.

    The authentication classes of the API answer. They are asked here one by one, because DRF would write the actor into
    `request.user`, where the admin expects a row of Django's users.
    """
    asked = Request(request)
    for authentication in api_settings.DEFAULT_AUTHENTICATION_CLASSES:
        try:
            found = authentication().authenticate(asked)
        except AuthenticationFailed as error:
            raise PermissionDenied(str(error.detail)) from error
        if found:
            return cast(Actor, found[0])
    raise PermissionDenied(DenyUndeclared.message)


def may(actor: Actor | None, action: Action | None) -> bool:
    return actor is not None and action is not None and action in actor.actions


class DenyUndeclared(BasePermission):
    """Allow a request of the API if its user may do what the operation declares; deny what declares nothing."""

    message = "This operation is not allowed to you."

    def has_permission(self, request: Request, view: Any) -> bool:
        return may(request.user, getattr(view, "action_required", None))


def requires(action: Action) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Declare the action of a plain Django view: `@requires(Action.READ_RUNS)`."""

    def declare(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not may(actor_of(request), action):
                raise PermissionDenied(DenyUndeclared.message)
            return view(request, *args, **kwargs)

        guarded.action_required = action  # type: ignore[attr-defined]
        return guarded

    return declare
