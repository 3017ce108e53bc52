"""Every address declares what it asks of an actor; what declares nothing is denied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.sites import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.throttling import BaseThrottle

from orchestration.api.operations import Endpoint, Operation
from orion_site.accounts.authentication import LocalOwnerAuthentication
from orion_site.accounts.permissions import LOCAL_OWNER, Action, Actor, DenyUndeclared, actor_of, may, requires


def addresses(resolver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, path)
        else:
            assert isinstance(pattern, URLPattern)
            yield path, pattern.callback


def declared(view: Any) -> list[Any]:
    """The actions of an address; one for each method of the API's."""
    if operations := getattr(view, "operations", None):
        return [operation.action_required for operation in operations]
    return [getattr(view, "action_required", None)]


ALL = list(addresses(get_resolver()))
# The admin has its own check: its site checks permissions before every view.
OUTSIDE_ADMIN = [(path, view) for path, view in ALL if not path.startswith("admin/")]


@pytest.mark.parametrize(("path", "view"), OUTSIDE_ADMIN, ids=[path for path, _ in OUTSIDE_ADMIN])
def test_every_address_declares_its_action(path, view):
    assert all(isinstance(action, Action) for action in declared(view)), f"{path} declares no action"


def test_the_walk_saw_the_api_and_the_pages():
    paths = [path for path, _ in ALL]

    assert len([path for path in paths if path.startswith("api/")]) > 50
    assert {"", "runs", "docs"} <= set(paths)
    assert any(path.startswith("admin/") for path in paths)


def test_the_admin_asks_for_itself():
    admin = resolve("/admin/").func.admin_site

    assert type(admin).has_permission is not AdminSite.has_permission


def here() -> Any:
    """A request of a program on this machine."""
    return RequestFactory().get("/", headers={"host": "localhost:4200"})


class Undeclared(Operation):
    """An operation whose author forgot something."""

    method = "GET"
    answers = {200: str}

    def perform(self) -> str:
        return "secret"


def test_an_operation_that_declares_nothing_is_denied():
    answer = Endpoint(Undeclared)(here())

    assert answer.status_code == 403
    assert answer.data == {"detail": DenyUndeclared.message}


class KeyAuthentication(BaseAuthentication):
    """Keys as a later version may have them."""

    def authenticate(self, request):
        match request.headers.get("Authorization"):
            case None:
                return None
            case "Bearer reader":
                return Actor("reader", frozenset({Action.READ_RUNS})), "reader"
        raise AuthenticationFailed("Unknown key.")

    def authenticate_header(self, request):
        return "Bearer"


class Keyed(Operation):
    """An operation that asks for a key."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: str}
    authentication_classes = [KeyAuthentication]

    def perform(self) -> str:
        return f"{self.request.user} by {self.request.auth}"


def ask(operation: type[Operation], **headers: str) -> Any:
    return Endpoint(operation)(RequestFactory().get("/", headers=headers))


def test_an_authentication_class_returns_the_user_and_the_credential():
    assert ask(Keyed, Authorization="Bearer reader").data == "reader by reader"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer stranger"}])
def test_an_unknown_client_is_asked_for_a_key(headers: dict[str, str]):
    answer = ask(Keyed, **headers)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_throttle_returns_when_to_retry():
    class Never(BaseThrottle):
        def allow_request(self, request, view):
            return False

        def wait(self):
            return 12.0

    class Throttled(Keyed):
        throttle_classes = [Never]

    answer = ask(Throttled, Authorization="Bearer reader")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "12")


@pytest.mark.parametrize("refusal", [None, AuthenticationFailed("Unknown key.")])
def test_a_page_denies_whom_no_authentication_recognises(refusal, monkeypatch: pytest.MonkeyPatch):
    def authenticate(self, request):
        if refusal:
            raise refusal

    monkeypatch.setattr(LocalOwnerAuthentication, "authenticate", authenticate)

    with pytest.raises(PermissionDenied):
        actor_of(RequestFactory().get("/"))


def test_an_actor_may_do_what_was_given_to_it_and_no_more():
    reader = Actor("reader", frozenset({Action.READ_RUNS}))

    assert may(reader, Action.READ_RUNS)
    assert not may(reader, Action.CHANGE_RUNS)
    assert not may(reader, None)


def test_pages_ask_the_authentication_of_the_api(act_as):
    request, stranger = here(), Actor("stranger", frozenset())

    before = actor_of(request)
    act_as(stranger)

    assert [before, actor_of(request)] == [LOCAL_OWNER, stranger]


def test_a_page_asks_before_it_answers(act_as):
    stranger = Actor("stranger", frozenset())
    act_as(stranger)

    @requires(Action.READ_RUNS)
    def page(request):
        return HttpResponse("secret")

    with pytest.raises(PermissionDenied):
        page(RequestFactory().get("/"))


def test_every_operation_of_the_api_asks_before_it_answers(act_as, db):
    from orion_site.openapi.document import operations

    stranger = Actor("stranger", frozenset())
    act_as(stranger)

    for path, operation in operations():
        if operation.action_required is Action.ANYBODY:
            continue
        request = RequestFactory().generic(operation.method, path)
        answer = Endpoint(operation)(request, id="x", key="x", tag="x", name="x")
        assert answer.status_code == 403, operation
