"""Operations about the server itself: health, version and settings."""

from __future__ import annotations

from typing import Any

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt
from pydantic_core import to_json
from rest_framework.response import Response
from typing_extensions import TypedDict

import orion_site
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.outages import outage
from orion_site.accounts.permissions import LOCAL_OWNER, Action, Actor, requires
from orionflow.contract.wire import Text1024, Wire

API_VERSION = "0.8.4"


class CheckHealth(Operation):
    """Return true if the server answers."""

    method = "GET"
    action_required = Action.ANYBODY
    answers = {200: bool}

    def perform(self) -> bool:
        return True


class ReadyOut(TypedDict):
    message: str


class CheckReady(Operation):
    """Check whether the server can work: its database answers."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: ReadyOut, 503: ReadyOut}

    def perform(self) -> Response:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error as error:
            outage.met(error)
            return Response({"message": "Database is not available"}, status=503)
        outage.over()
        return Response({"message": "OK"})


class SayHello(Operation):
    """Say hello."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: str}

    def perform(self) -> str:
        return "👋"


class ReadApiVersion(Operation):
    """Return the version of the API that this server implements."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: str}

    def perform(self) -> str:
        return API_VERSION


class ReadVersion(Operation):
    """Return Orion's version."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: str}

    def perform(self) -> str:
        return orion_site.__version__


class MyObject(TypedDict):
    kind: str
    name: str
    actions: list[str]


class Me(TypedDict):
    name: str
    by: str | None
    actions: list[str]
    objects: list[MyObject]


class ReadMe(Operation):
    """Return the current user, how they were authenticated (a key, or a session), and their rights."""

    method = "GET"
    action_required = Action.PROBE
    answers = {200: Me}

    def perform(self) -> Me:
        actor: Actor = self.request.user
        return {
            "name": actor.name,
            "by": str(self.request.auth) if self.request.auth else None,
            "actions": sorted(actor.actions),
            "objects": [{"kind": one.kind, "name": one.name, "actions": sorted(one.actions)} for one in actor.objects],
        }


class LinkMade(TypedDict):
    path: str
    seconds: int


class MakeLink(Operation):
    """Create a link that signs in a browser on the server's machine as its owner: valid once, for a minute."""

    method = "POST"
    status = 201
    action_required = Action.KEEP_KEYS
    answers = {201: LinkMade}

    def perform(self) -> LinkMade:
        from orion_site.accounts.local_token import LINK_SECONDS, new_code

        if self.request.user is not LOCAL_OWNER:
            raise Refused("Links are for the owner of the server; users sign in.", 403)
        return {"path": f"/enter/{new_code()}", "seconds": int(LINK_SECONDS)}


class ReadSettings(Operation):
    """Return the settings of the server, without secrets."""

    method = "GET"
    action_required = Action.READ_SETTINGS
    answers = {200: dict[str, Any]}

    def perform(self) -> dict[str, Any]:
        # Imported here, because programs without a server do not need it.
        from orion_site.server_settings.catalogue import database_words, setting_values

        return {
            "ORION_VERSION": orion_site.__version__,
            "ORION_API_VERSION": API_VERSION,
            "ORION_DATABASE": database_words(),
            **setting_values(),
        }


class Problem(TypedDict):
    detail: str


class CsrfQuestion(Wire):
    client: Text1024


class ReadCsrfToken(Operation):
    """Answer that clients need no CSRF token, because programs send no cookies."""

    method = "GET"
    action_required = Action.PROBE
    answers = {422: Problem}

    def perform(self, query: CsrfQuestion) -> Response:
        # Clients compare with exactly this body, which is shorter than that of other refusals.
        return Response({"detail": "CSRF protection is disabled."}, status=422)


@requires(Action.PROBE)
def document(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document; its server is the address of the request."""
    from orion_site.openapi.document import openapi  # loads every operation, and pydantic's schema generator

    document = {**openapi(), "servers": [{"url": request.path.removesuffix("/openapi.json")}]}
    return HttpResponse(to_json(document), content_type="application/json")


@csrf_exempt
@requires(Action.PROBE)
def unknown_path(request: HttpRequest, rest: str) -> HttpResponse:
    """Redirect to the same path with or without its last slash if that exists; otherwise return 404.

    307 keeps the method and the body, which 301 would lose.
    """
    other = request.path_info[:-1] if request.path_info.endswith("/") else f"{request.path_info}/"
    try:
        known = resolve(other).func is not unknown_path
    except Resolver404:
        known = False
    if not known:
        answer = JsonResponse({"detail": "Not Found"}, status=404)
        # As for operations: errors of a client are not logged by the server.
        answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer
    # The path as it is sent: of an address with encoded characters, `path_info` is not a part.
    path, mark, query = request.get_full_path().partition("?")
    target = path[:-1] if path.endswith("/") else f"{path}/"
    return HttpResponse(status=307, headers={"Location": f"{target}{mark}{query}"})
