"""Requests to every address and every socket from another machine: none is answered without authentication."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from orchestration.api.operations import Operation
from orion_site.accounts.keys import revoke_key
from orion_site.accounts.models import ApiKey
from orion_site.accounts.permissions import Action
from orion_site.accounts.roles import ACTIONS, Role
from orion_site.http.sockets import routes
from orion_site.openapi.document import operations
from tests.rounds import share
from tests.security.askers import ELSEWHERE, Asker, key_of, user_with
from tests.sockets.conftest import OWN_HOST, PATIENCE, PREFECT, talk_to

SOME_ID = "0199f1a2-0000-7000-8000-000000000001"
# They answer to anybody, and are named here one by one.
OPEN_TO_ALL = {"/api/health", "/login", "/login/sso", "/login/sso/return", "/logout", "/admin/logout/"}


def addresses(resolver: Any, prefix: str = "/") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += addresses(pattern, path)
        elif isinstance(pattern, URLPattern):
            found.append((filled(path), pattern.callback))
    return found


def filled(path: str) -> str:
    """An address with something for each of its parts."""
    path = re.sub(r"\(\?P<\w+>[^)]*\)\)?", "x", path).replace("^", "").replace("$", "").replace("\\", "")
    path = re.sub(r"<int:\w+>", "1", path)
    return re.sub(r"<(\w+:)?\w+>", SOME_ID, path)


ADDRESSES = sorted({path for path, _ in addresses(get_resolver())})
OPERATIONS = [(one.method, "/api" + re.sub(r"{\w+}", SOME_ID, path), one) for path, one in operations()]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def is_let_in(answer: Any) -> bool:
    """Whether the answer is more than the question who asks, or a redirect to it."""
    if answer.status_code == 302:
        return "/login?next=" not in answer.headers["Location"] and "/admin/login/" not in answer.headers["Location"]
    return answer.status_code not in {401, 403}


def test_the_walk_sees_everything():
    assert len(ADDRESSES) > 250
    assert {"/", "/runs", "/admin/", "/api/flows/", "/docs"} <= set(ADDRESSES)
    assert not [path for path in ADDRESSES if "<" in path or "(" in path]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_answers_without_credentials(ada: User, method: str):
    client = Asker()

    open_to_all = {path for path in ADDRESSES if is_let_in(client.call(method, path))}

    assert open_to_all - OPEN_TO_ALL == set()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_answers_to_a_revoked_key(ada: User, method: str):
    client = Asker(key_of(ada))
    revoke_key(key_id=ApiKey.objects.get().pk, now=timezone.now())

    asked = share(ADDRESSES, METHODS.index(method), 3)
    answers = {path: client.call(method, path).status_code for path in asked}

    # It sends on to the page to sign in.
    assert {path for path, status in answers.items() if status != 401} <= {"/admin/login/"}


@pytest.mark.parametrize(
    "path",
    ["/api/x-health", "/api/flows/health", "/api/%2Fhealth", "/api/health/", "/api/admin/settings;health", "/xhealth"]
    + ["/api/flow_runs/filter?health", "/api/admin/settings?/api/health", "/api//health", "/API/health"],
)
def test_addresses_that_only_look_like_open_ones_are_closed(ada: User, path: str):
    assert Asker().get(path).status_code in {401, 404}
    assert not is_let_in(Asker().get(path)) or Asker().get(path).status_code == 404


def test_without_users_other_machines_are_not_asked_who_they_are(db: None):
    user = user_with("viewer")
    key = key_of(user)

    answers = {Asker(key).get(path).status_code for path in ("/", "/api/health", "/login", "/admin/")}

    assert answers == {403}


@pytest.mark.parametrize("role", Role)
def test_every_operation_answers_to_those_roles_that_may_do_it(asker: Callable[..., Asker], role: str):
    """The body is invalid. With the right, the answer is about the body; without it, it is about the right."""
    client = asker(role)
    wrong = []
    for method, path, operation in OPERATIONS:
        answer = client.call(method, path)
        if operation.__name__ in REFUSED_TO_ALL:
            continue
        if (answer.status_code != 403) != is_allowed(operation, role):
            wrong.append((method, path, operation.action_required, answer.status_code))

    assert wrong == []


# Their refusal is for everybody: over the network no database is emptied, and links are for the local owner.
REFUSED_TO_ALL = {"ClearDatabase", "DropDatabase", "MakeLink"}


def is_allowed(operation: type[Operation], role: str) -> bool:
    allowing = {operation.action_required, operation.allowed_too}
    return Action.ANYBODY in allowing or bool(allowing & ACTIONS[role])


@pytest.mark.parametrize("role", Role)
def test_every_page_answers_to_those_roles_that_may_see_it(asker: Callable[..., Asker], role: str):
    client, wrong = asker(role), []
    for path, view in addresses(get_resolver()):
        action = getattr(view, "action_required", None)
        if action is None or path.startswith("/api"):
            continue
        status = client.get(path).status_code
        if (status != 403) != (action is Action.ANYBODY or action in ACTIONS[role] - {Action.KEEP_KEYS}):
            wrong.append((path, action, status))

    assert wrong == []


@pytest.mark.parametrize("role", Role)
def test_a_key_opens_no_admin(asker: Callable[..., Asker], role: str):
    client = asker(role)

    paths = [path for path in ADDRESSES if path.startswith("/admin/") and path not in OPEN_TO_ALL]
    assert [path for path in paths if is_let_in(client.get(path))] == []


# --- sockets ---

SOCKETS = {f"/{route.pattern}": route.callback.consumer_class for route in routes} | {"/live": None}
ROUTES = pytest.mark.parametrize("path", sorted(SOCKETS))
in_thread = database_sync_to_async


@in_thread
def prepared(role: str | None) -> str:
    from orion_site.accounts.users import create_user

    create_user(name="ada", password="an otter in the river", roles=["admin"])
    return key_of(user_with(role)) if role else ""


def open_socket(path: str, key: str = "") -> Any:
    proof = ((b"authorization", f"Bearer {key}".encode()),) if key else ()
    return talk_to(path, subprotocols=PREFECT, headers=(OWN_HOST, *proof), client=ELSEWHERE)


INTRODUCED = ["/api/events/out", "/api/task_runs/subscriptions/scheduled"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", sorted(SOCKETS.keys() - set(INTRODUCED)))
async def test_a_socket_without_an_introduction_needs_credentials_at_once(path: str):
    await prepared(None)

    assert (await open_socket(path).connect(timeout=PATIENCE))[0] is False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", INTRODUCED)
@pytest.mark.parametrize("token", [None, "", "wrong", "orn_" + "A" * 43, 7, ["x"]])
async def test_an_introduction_without_a_valid_key_closes_the_socket(path: str, token: Any):
    await prepared(None)
    talk = open_socket(path)
    await talk.connect(timeout=PATIENCE)

    await talk.send_json_to({"type": "auth", "token": token})

    assert await talk.close_code() == 1008


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", INTRODUCED)
async def test_an_introduction_may_bring_the_key(path: str):
    key = await prepared("agent")
    talk = open_socket(path)
    await talk.connect(timeout=PATIENCE)

    await talk.send_json_to({"type": "auth", "token": key})

    assert await talk.next_message() == {"type": "auth_success"}
    await talk.disconnect(timeout=PATIENCE)


@pytest.mark.django_db(transaction=True)
@ROUTES
@pytest.mark.parametrize("role", Role)
async def test_each_socket_opens_to_those_roles_that_may_have_it(path: str, role: str):
    needed = SOCKETS[path].action_required if SOCKETS[path] else Action.READ_RUNS
    talk = open_socket(path, await prepared(role))

    accepted, _ = await talk.connect(timeout=PATIENCE)
    await talk.disconnect(timeout=PATIENCE) if accepted else await talk.wait(timeout=PATIENCE)

    assert accepted == (needed in ACTIONS[role])


@pytest.mark.django_db(transaction=True)
@ROUTES
@pytest.mark.parametrize("client", [ELSEWHERE, "127.0.0.1"])
async def test_a_wrong_key_opens_no_socket(path: str, client: str):
    await prepared(None)
    headers = (OWN_HOST, (b"authorization", b"Bearer orn_" + b"A" * 43))

    accepted, _ = await talk_to(path, subprotocols=PREFECT, headers=headers, client=client).connect(timeout=PATIENCE)

    assert not accepted


@pytest.mark.django_db(transaction=True)
@ROUTES
async def test_a_revoked_key_closes_its_sockets_soon(path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orchestration.api.sockets.RIGHTS_EVERY_SECONDS", 0.05)
    talk = open_socket(path, await prepared("admin"))
    assert (await talk.connect(timeout=PATIENCE))[0]

    await in_thread(revoke_key)(key_id=(await ApiKey.objects.aget()).pk, now=timezone.now())

    assert await talk.close_code() == 1008
