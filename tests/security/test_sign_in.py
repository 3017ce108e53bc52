"""Signing in and out: the page, where it leads, how guessing is slowed, and when a session is over."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from deployments.models import Variable
from orion_site import settings as of_the_server
from orion_site.accounts.attempts import ACCOUNT, ACCOUNT_AT_ADDRESS, ADDRESS, begin_attempt
from orion_site.accounts.local_owner import anybody_can_sign_in, who_can_sign_in
from orion_site.accounts.models import SignInFailures
from orion_site.accounts.users import create_user, delete_user, set_active, set_groups, set_password, set_roles
from orionflow.contract.masking import known
from tests.security.askers import ELSEWHERE, PASSWORD, Asker, key_of
from tests.travelling import travelled
from tests.web.rows import make_run
from tests.web.test_blocks_page import make_schema

pytestmark = pytest.mark.django_db


def sign_in(client: Client, name: str = "ada", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login", {"username": name, "password": password, **more})


def hidden_in(answer: Any) -> dict[str, str]:
    """The hidden fields of a page to sign in, without its token."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.content.decode())
    return {name: html.unescape(value) for name, value in found if name != "csrfmiddlewaretoken"}


@pytest.fixture
def bob(ada: User) -> User:
    return create_user(name="bob", password=PASSWORD, roles=["viewer"])


@pytest.fixture
def signed_in(bob: User) -> Asker:
    client = Asker()
    assert sign_in(client, "bob").status_code == 302
    return client


def test_a_stranger_is_sent_to_the_page_and_then_to_where_they_wanted(ada: User):
    client = Asker()

    asked = client.get("/runs?q=state:failed")
    form = client.get(asked.headers["Location"])
    answer = sign_in(client, next="/runs?q=state:failed")

    assert asked.headers["Location"] == "/login?next=%2Fruns%3Fq%3Dstate%3Afailed"
    assert 'name="password"' in form.content.decode()
    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs?q=state:failed")
    assert client.get("/runs?q=state:failed").status_code == 200


def test_a_form_whose_session_has_ended_is_kept_and_sent_after_signing_in(ada: User):
    client = Asker()
    sign_in(client)
    Session.objects.all().delete()
    sent = {"name": "colour", "value": "\n<red> & 'blue'\nü", "tags": "a, b"}

    refused = client.post("/variables/new", sent, headers={"referer": "http://localhost:4200/variables/new"})
    wrong = sign_in(client, password="wrong one here", **hidden_in(refused))
    again = sign_in(client, **hidden_in(wrong))
    page = again.content.decode()
    made = Variable.objects.exists()
    done = client.post("/variables/new", {**sent, "csrfmiddlewaretoken": "x"})

    assert (refused.status_code, wrong.status_code, again.status_code, made) == (401, 422, 200, False)
    assert "Your session has ended, so nothing was changed." in refused.content.decode()
    assert hidden_in(refused)["next"] == "/variables/new"
    assert 'action="/variables/new"' in page
    assert '<code class="command">/variables/new</code>' in page
    assert "<red>" not in page
    fields = re.findall(r'<textarea name="(\w+)" hidden>\n(.*?)</textarea>', page, re.DOTALL)
    assert {name: html.unescape(value) for name, value in fields} == sent
    assert done.status_code == 302


def test_a_kept_form_passes_the_protection_against_forms_of_other_sites(ada: User):
    client = Client(enforce_csrf_checks=True, REMOTE_ADDR=ELSEWHERE, headers={"host": "localhost:4200"})

    def token_in(answer: Any) -> dict[str, str]:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.content.decode())
        assert found
        return {"csrfmiddlewaretoken": found[1]}

    sign_in(client, **token_in(client.get("/login")))
    form = client.get("/variables/new")
    Session.objects.all().delete()
    refused = client.post("/variables/new", {"name": "colour", "value": "red", **token_in(form)})
    again = sign_in(client, **hidden_in(refused), **token_in(refused))
    foreign = client.post("/variables/new", {"name": "colour", "value": "red", **token_in(form)})
    done = client.post("/variables/new", {"name": "colour", "value": "red", **token_in(again)})

    assert (refused.status_code, again.status_code, foreign.status_code, done.status_code) == (401, 200, 403, 302)
    assert Variable.objects.get().value == "red"


@pytest.mark.parametrize("unsent", ["", "x", "eyJhIjoxfQ:1x:abc"])
def test_nothing_is_offered_to_be_sent_that_the_server_has_not_signed(ada: User, unsent: str):
    client = Asker()

    answer = sign_in(client, unsent=unsent)
    page = client.get("/").content.decode()

    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert ("no longer kept" in page) == bool(unsent)


def test_a_form_with_secrets_of_a_block_is_not_kept(ada: User):
    fields = {"secret_fields": ["token"], "properties": {"token": {"type": "string"}}}
    make_schema("service", fields)
    client = Asker()
    sign_in(client)
    form = hidden_in(client.get("/blocks/new/service"))
    Session.objects.all().delete()

    refused = client.post("/blocks/new/service", {**form, "name": "shop", "p/token": "hunter2"})

    assert refused.status_code == 401
    assert hidden_in(refused) == {"next": "/"}


def test_secrets_in_a_kept_form_are_sent_as_they_were_filled_in(ada: User):
    client = Asker()
    known.learn(["correct horse battery"])
    refused = client.post("/variables/new", {"name": "colour", "value": "correct horse battery"})

    page = sign_in(client, **hidden_in(refused)).content.decode()

    assert "correct horse battery</textarea>" in page


def test_the_page_says_that_single_sign_on_does_not_keep_the_form(ada: User, settings: Any):
    settings.ORION_OIDC_ISSUER, settings.ORION_OIDC_NAME = "https://sso.example", "Example"

    refused = Asker().post("/variables/new", {"name": "colour", "value": "red"}).content.decode()
    asked = Asker().get("/login").content.decode()

    assert "Only signing in with name and password keeps the form." in refused
    assert "keeps the form" not in asked


@pytest.mark.parametrize("fields", [{"new_password": "x"}, {"p/Password": "x"}, {"value": "x" * 300_000}])
def test_passwords_and_very_long_forms_are_not_kept(ada: User, fields: dict[str, str]):
    refused = Asker().post("/variables/new", fields, headers={"referer": "http://evil.example/page"})

    assert refused.status_code == 401
    assert hidden_in(refused) == {"next": "/"}


@pytest.mark.parametrize("path", ["/", "/runs", "/settings", "/api/health"])
def test_every_page_shows_the_user_and_a_way_to_sign_out(signed_in: Asker, path: str):
    page = signed_in.get(path, headers={"accept": "text/html"}).content.decode()
    own = Client().get(path, headers={"accept": "text/html"}, REMOTE_ADDR="127.0.0.1").content.decode()

    assert 'title="Signed in as bob"' in page
    assert 'action="/logout"' in page
    assert "Signed in as" not in own


@pytest.mark.parametrize(
    "evil",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:///evil.example"],
)
def test_it_leads_nowhere_else(ada: User, evil: str):
    client = Asker()

    shown = client.get(f"/login?next={quote(evil)}").content.decode()
    answer = sign_in(client, next=evil)

    assert 'name="next" value=""' in shown.replace(f'value="{evil}"', "")
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong one here"), ("nobody", PASSWORD), ("ada", ""), ("", "")])
def test_a_refusal_does_not_reveal_its_reason(ada: User, name: str, password: str):
    answer = sign_in(Asker(), name, password)

    assert answer.status_code == 422
    assert "orion_session" not in answer.cookies
    if name and password:
        assert "Name and password do not belong together." in answer.content.decode()


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("password", ["md5$salt$hash", "!unusable", "!", ""])
def test_a_server_is_open_if_one_of_its_users_can_sign_in(db: None, password: str, is_active: bool):
    User.objects.create(username="erin", password=password, is_active=is_active)

    assert anybody_can_sign_in() == who_can_sign_in().exists() == (is_active and password[:1] not in {"", "!"})


def test_a_disabled_user_cannot_sign_in_and_does_not_learn_why(ada: User, bob: User):
    set_active(name="bob", is_active=False)

    assert "do not belong together" in sign_in(Asker(), "bob").content.decode()


def test_a_form_of_another_site_cannot_sign_in(ada: User):
    client = Client(enforce_csrf_checks=True, REMOTE_ADDR=ELSEWHERE, headers={"host": "localhost:4200"})

    assert sign_in(client).status_code == 403
    assert "orion_session" not in client.cookies


def test_the_cookie_is_for_our_pages_alone_and_not_one_that_was_planted(ada: User):
    client = Asker()
    planted = SessionStore()
    planted["x"] = 1
    planted.save()
    client.cookies["orion_session"] = planted.session_key

    cookie = sign_in(client).cookies["orion_session"]

    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert cookie.value != planted.session_key
    assert not Session.objects.filter(pk=planted.session_key).exists()


def test_passwords_are_hashed_by_what_needs_memory():
    assert of_the_server.PASSWORD_HASHERS[0].endswith("ScryptPasswordHasher")


@pytest.mark.parametrize("password", ["short", "password123", "1234567890", "ada-lovelace"])
def test_weak_passwords_are_refused(db: None, password: str):
    from orion_site.accounts.errors import BadPassword

    with pytest.raises(BadPassword):
        create_user(name="ada-lovelace", password=password)


@pytest.mark.parametrize("name", ["", "local-owner", "a b", "a/b", "x" * 151, "<b>", "a\nb"])
def test_odd_names_are_refused(db: None, name: str):
    from orion_site.accounts.errors import BadName

    with pytest.raises(BadName):
        create_user(name=name)


# --- guessing ---


def test_after_five_failures_one_waits_even_with_the_right_password(ada: User):
    client = Asker()
    # To check a password may take longer than the first wait.
    with travelled(timezone.now()):
        for _ in range(ACCOUNT_AT_ADDRESS.free):
            assert sign_in(client, password="wrong one here").status_code == 422

        answer = sign_in(client)
        elsewhere = sign_in(Asker(address="192.0.2.8"))

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Too many attempts" in answer.content.decode()
    assert elsewhere.status_code == 302


def test_waits_double_up_to_a_bound_and_are_over_when_they_are(ada: User):
    now = timezone.now()
    waits = []
    for _ in range(40):
        assert begin_attempt(name="ada", address="192.0.2.9", now=now) == 0
        wait = begin_attempt(name="ada", address="192.0.2.9", now=now)
        waits.append(wait)
        now += timedelta(seconds=wait)

    assert waits[: ACCOUNT_AT_ADDRESS.free - 1] == [0] * (ACCOUNT_AT_ADDRESS.free - 1) or waits[0] == 0
    assert max(waits) == ACCOUNT_AT_ADDRESS.longest.total_seconds()


def test_an_address_that_tries_many_names_waits(ada: User):
    now = timezone.now()
    tried = [begin_attempt(name=f"user-{number}", address="192.0.2.9", now=now) for number in range(ADDRESS.free + 1)]

    assert tried == [0] * ADDRESS.free + [1]


def test_many_addresses_do_not_keep_the_user_out_for_long(ada: User):
    now = timezone.now()
    for number in range(ACCOUNT.free + 30):
        wait = begin_attempt(name="ada", address=f"198.51.100.{number}", now=now)
        now += timedelta(seconds=wait)

    assert begin_attempt(name="ada", address="192.0.2.1", now=now + timedelta(minutes=1)) == 0


def test_a_success_resets_the_count_of_failures(ada: User):
    client = Asker()
    for _ in range(3):
        for _ in range(ACCOUNT_AT_ADDRESS.free - 1):
            sign_in(client, password="wrong one here")
        assert sign_in(client).status_code == 302


def test_names_that_were_tried_are_not_stored(ada: User):
    sign_in(Asker(), "my secret in the wrong field", "x")

    assert "secret" not in str(list(SignInFailures.objects.values()))


# --- sessions ---


def test_a_session_ends_with_signing_out(signed_in: Asker):
    assert signed_in.get("/runs").status_code == 200

    assert signed_in.post("/logout").headers["Location"] == "/login"

    assert signed_in.get("/runs").status_code == 302
    assert not Session.objects.exists()


def test_a_link_does_not_sign_out(signed_in: Asker):
    assert signed_in.get("/logout").status_code == 405
    assert signed_in.get("/runs").status_code == 200


@pytest.mark.parametrize(
    "deed",
    [
        lambda: set_password(name="bob", password="another otter, far away"),
        lambda: set_groups(name="bob", groups=["admins"]),
        lambda: set_groups(name="bob", groups=[]),
        lambda: set_roles(name="viewers", roles=["operator"]),
        lambda: set_active(name="bob", is_active=False),
        lambda: delete_user(name="bob"),
    ],
    ids=["password", "more roles", "fewer roles", "roles of the group", "disabled", "deleted"],
)
def test_a_session_ends_when_the_password_or_the_rights_change(signed_in: Asker, deed: Callable[[], None]):
    assert signed_in.get("/runs").status_code == 200

    deed()

    assert "/login" in signed_in.get("/runs").headers["Location"]
    assert signed_in.get("/api/me").status_code == 401


def test_a_session_speaks_for_its_user_in_the_api_and_needs_a_token_to_write(signed_in: Asker):
    me = signed_in.get("/api/me").json()
    run = make_run(state="RUNNING")
    strict = Client(enforce_csrf_checks=True, REMOTE_ADDR=ELSEWHERE, headers={"host": "localhost:4200"})
    strict.cookies = signed_in.cookies

    answer = strict.post(f"/api/flow_runs/{run.pk}/cancel", b"{}", content_type="application/json")

    assert (me["name"], me["by"]) == ("bob", "session")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]


def test_a_user_signed_in_on_this_machine_is_not_its_owner(bob: User):
    client = Asker(address="127.0.0.1")
    before = client.get("/api/me").json()["name"]
    sign_in(client, "bob")

    assert (before, client.get("/api/me").json()["name"]) == ("local owner", "bob")
    assert client.get("/admin/").status_code == 302
    assert client.get("/settings/users").status_code == 403


def test_a_viewer_may_not_act_on_pages(signed_in: Asker):
    run = make_run(state="RUNNING")

    assert signed_in.get(f"/runs/{run.pk}").status_code == 200
    assert signed_in.post(f"/runs/{run.pk}/cancel").status_code == 403


def test_an_admin_operates_the_admin_without_being_a_superuser(ada: User):
    client = Asker()
    sign_in(client)

    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/runs/flowrun/").status_code == 200


def test_others_are_not_let_into_the_admin(signed_in: Asker):
    answer = signed_in.get("/admin/", follow=True)

    assert answer.status_code == 403


def test_a_request_by_way_of_a_proxy_proves_who_asks(db: None):
    through_proxy = {"host": "127.0.0.1:4200", "x-forwarded-for": "192.0.2.7"}
    client = Client(headers=through_proxy)
    before = client.get("/runs").status_code

    create_user(name="ada", password=PASSWORD, roles=["admin"])

    assert (before, client.get("/runs").status_code, client.get("/api/me").status_code) == (401, 302, 401)


def test_a_part_of_a_page_is_not_replaced_by_the_page_to_sign_in(ada: User):
    answer = Asker().get("/runs?_f=head")

    assert answer.status_code == 401


def test_a_page_of_a_signed_in_user_costs_few_queries(signed_in: Asker, django_assert_max_num_queries: Any):
    signed_in.get("/variables")

    with django_assert_max_num_queries(3 + 4):
        assert signed_in.get("/variables").status_code == 200


def test_the_page_without_users_explains_how_to_make_one(db: None):
    page = Asker(address="127.0.0.1").get("/login")

    assert "orion user create" in page.content.decode()
    assert django_settings.LOGIN_URL == "sign-in"


def test_a_key_does_not_open_the_page_of_keys(ada: User):
    assert Asker(key_of(ada)).get("/settings/keys").status_code == 403
