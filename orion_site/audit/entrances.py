"""Acts of the entrances: an operation of the API, a form of a page or of the admin, a command."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from orchestration.acts import Note
from orion_site.accounts.permissions import Action, Actor, actor_of
from orion_site.audit.acting import RecordedAct, Who, acting
from orion_site.audit.models import Entry

logger = logging.getLogger("orion.audit")
NOBODY = "(unknown)"
# The kind of object for the first part of an address, if the path has an id.
_KINDS = {
    "flow_run_notification_policies": "notification-policy",
    "concurrency_limits": "tag-limit",
    "v2": "global-limit",
    "block_documents": "block",
    "queues": "work-queue",
    "pools": "work-pool",
}


def who_of(request: HttpRequest, entrance: Entry.Entrance, actor: Actor | None, name: str = NOBODY) -> Who:
    """Return who sent a request; an unauthenticated sender gets `name`."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")[:64]
    return Who(
        actor=actor.name if actor else name,
        entrance=entrance,
        address=request.META.get("REMOTE_ADDR") or "",
        key_id=str(actor.key_id or "") if actor else "",
        request_id=given if given.isascii() and given.isprintable() and given else uuid4().hex,
    )


def about(path: Mapping[str, Any], address: str) -> tuple[str, str]:
    """Return kind and id of the object in a path: the kind is the part of the address before the id."""
    if not path:
        return "", ""
    parts = address.strip("/").removeprefix("api/").split("/")
    value = str(next(iter(path.values())))
    kind = parts[parts.index(value) - 1] if value in parts[1:] else parts[0]
    kind = parts[0] if kind in {"name", "tag", "slug"} else kind
    return _KINDS.get(kind) or kind.removesuffix("s").replace("_", "-"), value


@contextmanager
def recorded_operation(request: Any, action: Action, operation: str, path: Mapping[str, Any]) -> Iterator[RecordedAct]:
    """Record an operation of the API. The code that handles its errors calls `record_refusal`."""
    who = who_of(request, Entry.Entrance.API, request.user)
    with acting(who, action, operation, about(path, request.path_info)) as act:
        yield act
        if not act.entries and not act.was_rolled_back:
            act.done()


def record_refusal(request: Any, action: Action, operation: str, path: Mapping[str, Any], reason: str) -> None:
    """Record an operation of the API that was refused. The answer is sent even if recording fails."""
    # `request.user` would authenticate an unknown sender again, and raise.
    act = RecordedAct(
        who_of(request, Entry.Entrance.API, getattr(request, "_user", None)),
        action,
        operation,
        about(path, request.path_info),
    )
    try:
        act.refused(reason)
    except DatabaseError:
        logger.exception("The refusal of %s could not be recorded", operation)


def record_reading(request: Any, action: Action, operation: str, notes: list[Note]) -> None:
    """Record that a user read values that need a special permission."""
    who = who_of(request, Entry.Entrance.API, request.user)
    with acting(who, action, operation) as act, act.transaction():
        for note in notes:
            act.note(note)


class AuditMiddleware:
    """Opens an act for each form sent to a page or to the admin that may change something."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        action, entrance, operation, path = form_action(request.method, request.path_info)
        if entrance is Entry.Entrance.ADMIN:
            operation = f"{operation} {request.POST.get('action', '')}".strip()
        if action is None:
            return self._get_response(request)
        try:
            actor = actor_of(request)
        except PermissionDenied:
            actor = None
        with acting(who_of(request, entrance, actor), action, operation, about(path, request.path_info)) as act:
            response = self._get_response(request)
            _conclude(act, response)
            return response


FormAction = tuple[Action | None, Entry.Entrance, str, Mapping[str, Any]]


def form_action(method: str | None, path: str) -> FormAction:
    """Return the action of a form, with its entrance, operation and path; no action if it is not recorded."""
    nothing: FormAction = (None, Entry.Entrance.PAGE, "", {})
    if method != "POST" or path.startswith("/api"):
        return nothing
    try:
        match = resolve(path)
    except Resolver404:
        return nothing
    if match.app_names == ["admin"]:
        return Action.OPERATE, Entry.Entrance.ADMIN, match.view_name, match.kwargs
    action = getattr(match.func, "action_required", None)
    if action is None or action.is_reading or action.is_reporting:
        return nothing
    return action, Entry.Entrance.PAGE, match.view_name, match.kwargs


def _conclude(act: RecordedAct, response: HttpResponse) -> None:
    """Record a form without changes: an accepted one redirects; one that is shown again did nothing."""
    if act.entries or act.was_rolled_back or response.status_code >= 500:
        return
    if act.reason or response.status_code == 403:
        act.refused(act.reason or "not allowed")
    elif 300 <= response.status_code < 400:
        act.done()


def record_command(action: str, operation: str, details: Mapping[str, Any] | None = None) -> None:
    """Record a command on this machine that changes the database directly, in the name of the Unix user."""
    with acting(Who(actor=_unix_user(), entrance=Entry.Entrance.CLI), action, operation) as act, act.transaction():
        act.note(Note("database", "", after=details))


def _unix_user() -> str:
    try:
        return f"unix user {getpass.getuser()}"
    except (OSError, KeyError):
        return NOBODY
