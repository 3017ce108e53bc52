"""Sign-on by a provider of OpenID Connect that the test runs, and by providers that forge their answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.contrib.auth.models import Group, User
from django.core.checks import run_checks

from orion_site.accounts import single_sign_on, users
from orion_site.accounts.models import Identity
from orion_site.audit.models import Entry
from tests.security.askers import ELSEWHERE, Asker

provider_mock = pytest.importorskip("oidc_provider_mock", reason="the provider of tests is not installed")
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("ada"),
    # Warnings of the provider, which runs in a thread of its own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
HERE = "http://localhost:4200"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with provider_mock.run_server_in_thread(require_client_registration=False) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def configured(provider: str, settings: Any) -> Iterator[str]:
    settings.ORION_OIDC_ISSUER = provider
    settings.ORION_OIDC_CLIENT_ID, settings.ORION_OIDC_CLIENT_SECRET = "orion", "not told"
    settings.ORION_OIDC_GROUPS_CLAIM = "groups"
    single_sign_on._provider.cache_clear()
    yield provider
    single_sign_on._provider.cache_clear()


def known_there(provider: str, subject: str, **claims: Any) -> None:
    found = requests.put(f"{provider}/users/{subject}", json=claims, timeout=10)
    assert found.status_code < 300, found.text


def browser() -> Asker:
    return Asker(address=ELSEWHERE)


def sent_to_provider(client: Asker, next_page: str = "") -> str:
    answer = client.get(f"/login/sso?next={next_page}" if next_page else "/login/sso")
    assert answer.status_code == 302, answer.content
    return str(answer.headers["Location"])


def sent_back(address: str, subject: str) -> str:
    """Where the provider sends the browser once somebody has proved to it who they are."""
    answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=10)
    assert answer.status_code in {302, 303}, answer.text
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def signed_on(subject: str, next_page: str = "") -> tuple[Asker, Any]:
    client = browser()
    return client, client.get(sent_back(sent_to_provider(client, next_page), subject))


def who(client: Asker) -> str | None:
    answer = client.get("/api/me")
    return str(answer.json()["name"]) if answer.status_code == 200 else None


def test_requests_to_the_provider_cannot_be_used_by_others(configured: str):
    asked = parse_qs(urlsplit(sent_to_provider(browser())).query)
    again = parse_qs(urlsplit(sent_to_provider(browser())).query)

    assert asked["redirect_uri"] == [f"{HERE}/login/sso/return"]
    assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
    for secret in ("state", "nonce", "code_challenge"):
        assert len(asked[secret][0]) >= 20
        assert asked[secret] != again[secret]


def test_a_new_person_becomes_a_user_with_the_rights_of_the_groups(configured: str):
    users.create_group(name="night-shift", roles=["viewer"])
    known_there(configured, "1001", preferred_username="grace", groups=["night-shift", "unknown-here"])

    client, answer = signed_on("1001", "/runs")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs")
    assert client.get("/runs").status_code == 200
    grace = User.objects.get(username="grace")
    assert list(grace.groups.values_list("name", flat=True)) == ["night-shift"]
    assert not grace.has_usable_password()
    assert Entry.objects.filter(operation="LogIn", actor="grace", result="done").exists()


def test_groups_follow_the_provider_each_time(configured: str):
    users.create_group(name="night-shift", roles=["viewer"])
    known_there(configured, "1002", preferred_username="bob", groups=["night-shift"])
    signed_on("1002")
    known_there(configured, "1002", preferred_username="other", groups=[])

    client, _ = signed_on("1002")

    assert list(User.objects.get(username="bob").groups.all()) == []
    assert client.get("/runs").status_code == 403


def test_without_a_claim_groups_are_given_here(configured: str, settings: Any):
    settings.ORION_OIDC_GROUPS_CLAIM = ""
    known_there(configured, "1003", preferred_username="carl", groups=["admins"])
    signed_on("1003")
    User.objects.get(username="carl").groups.add(Group.objects.create(name="by-hand"))

    signed_on("1003")

    assert [one.name for one in User.objects.get(username="carl").groups.all()] == ["by-hand"]


@pytest.mark.parametrize("verified", [True, False])
def test_neither_name_nor_mail_links_a_stranger_to_a_user(configured: str, verified: bool):
    User.objects.filter(username="ada").update(email="ada@example.org")
    mail = {"email": "ada@example.org", "email_verified": verified}
    known_there(configured, "666", preferred_username="ada", **mail)
    known_there(configured, "667", preferred_username="mallory", **mail)

    client, answer = signed_on("666")
    other, _ = signed_on("667")

    assert answer.status_code == 403
    assert "orion user link ada 666" in answer.content.decode()
    assert client.get("/runs").status_code == 302
    assert not Identity.objects.filter(user__username="ada").exists()
    assert User.objects.get(username="mallory").groups.count() == 0
    assert other.get("/runs").status_code == 403


def test_a_name_that_looks_like_that_of_a_user_is_refused_with_the_reason(configured: str):
    users.create_user(name="ada.lovelace")
    known_there(configured, "668", preferred_username="Ada.Lovelace")

    _, answer = signed_on("668")

    body = answer.content.decode()
    assert answer.status_code == 403
    assert "orion user link ada.lovelace 668" in body
    assert "orion user link Ada.Lovelace" not in body
    assert "There is another user" not in body
    assert not Identity.objects.filter(user__username="ada.lovelace").exists()


def test_a_name_that_looks_like_that_of_the_local_owner_is_not_linked(configured: str):
    known_there(configured, "669", preferred_username="Local-Owner")

    _, answer = signed_on("669")

    assert answer.status_code == 403
    assert "looks like" in answer.content.decode()
    assert "orion user link local-owner" not in answer.content.decode()


def test_the_operator_of_the_server_links_a_subject_to_a_user(configured: str, settings: Any):
    settings.ORION_OIDC_GROUPS_CLAIM = ""
    known_there(configured, "1815", preferred_username="ada")
    users.link(name="ada", issuer=configured, subject="1815")

    client, answer = signed_on("1815")

    assert answer.status_code == 302
    assert client.get("/settings/users").status_code == 200


def test_a_user_who_is_disabled_is_not_let_in(configured: str):
    known_there(configured, "1004", preferred_username="dora")
    signed_on("1004")
    users.set_active(name="dora", is_active=False)

    client, answer = signed_on("1004")

    assert answer.status_code == 403
    assert client.get("/runs").status_code == 302


def test_an_answer_is_good_once_and_in_the_browser_that_asked(configured: str):
    known_there(configured, "1005", preferred_username="eve")
    client = browser()
    back = sent_back(sent_to_provider(client), "1005")

    assert browser().get(back).status_code == 403
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        lambda back: back.replace("state=", "state=x"),
        lambda back: back.replace("code=", "code=x"),
        lambda back: back.partition("?")[0],
        lambda back: back.partition("?")[0] + "?error=access_denied&error_description=<script>alert(1)</script>",
    ],
    ids=["another state", "another code", "nothing", "an error"],
)
def test_an_answer_that_was_changed_proves_nothing(configured: str, change: Any):
    known_there(configured, "1006", preferred_username="fred")
    client = browser()

    answer = client.get(change(sent_back(sent_to_provider(client), "1006")))

    assert answer.status_code == 403
    assert b"<script>alert" not in answer.content
    assert not User.objects.filter(username="fred").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ORION_OIDC_ISSUER", "http://localhost:1"), ("ORION_OIDC_CLIENT_ID", "another")],
    ids=["issuer", "audience"],
)
def test_a_token_of_another_issuer_or_for_another_program_proves_nothing(
    configured: str, settings: Any, setting: str, value: str
):
    known_there(configured, "1007", preferred_username="gil")
    client = browser()
    back = sent_back(sent_to_provider(client), "1007")
    setattr(settings, setting, value)

    assert client.get(back).status_code == 403
    assert not User.objects.filter(username="gil").exists()


def test_a_token_without_a_signature_proves_nothing(configured: str, monkeypatch: pytest.MonkeyPatch):
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc import jwt
    from joserfc.jwk import OctKey

    known_there(configured, "1008", preferred_username="hal")
    client = browser()
    address = sent_to_provider(client)
    nonce = parse_qs(urlsplit(address).query)["nonce"][0]
    back = sent_back(address, "1008")
    now = int(time.time())
    claims = {"iss": configured, "aud": "orion", "sub": "1008", "iat": now, "exp": now + 60, "nonce": nonce}
    forged = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("not told not told not told not told"))
    monkeypatch.setattr(OAuth2Session, "fetch_token", lambda *_, **__: {"access_token": "x", "id_token": forged})

    assert client.get(back).status_code == 403
    assert not User.objects.filter(username="hal").exists()


def test_the_way_leads_nowhere_else(configured: str):
    known_there(configured, "1009", preferred_username="ida")

    _, answer = signed_on("1009", "https://evil.example/")

    assert answer.headers["Location"] == "/"


def test_an_unreachable_provider_is_reported(settings: Any, configured: str):
    settings.ORION_OIDC_ISSUER = "http://127.0.0.1:9"
    single_sign_on._provider.cache_clear()

    answer = browser().get("/login/sso")

    assert answer.status_code == 502
    assert "does not answer" in answer.content.decode()


def test_a_client_that_starts_sign_on_too_often_waits(configured: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(single_sign_on, "STARTS", 2.0)
    client = browser()

    assert [client.get("/login/sso").status_code for _ in range(3)] == [302, 302, 429]


def test_without_a_provider_nothing_is_offered():
    client = browser()

    assert [client.get(path).status_code for path in ("/login/sso", "/login/sso/return")] == [404, 404]
    assert "sso" not in client.get("/login").content.decode()


def test_the_page_to_sign_in_offers_the_provider(configured: str, settings: Any):
    settings.ORION_OIDC_NAME = "Example & Sons"

    shown = browser().get("/login?next=/runs").content.decode()

    assert "Sign in with Example &amp; Sons" in shown
    assert 'href="/login/sso?next=/runs"' in shown


@pytest.mark.parametrize(
    ("issuer", "client_id", "words"),
    [
        ("http://id.example", "orion", "must begin with https://"),
        ("https://id.example", "", "ORION_OIDC_CLIENT_ID"),
        ("https://id.example", "orion", ""),
        ("http://localhost:8080", "orion", ""),
    ],
)
def test_settings_that_let_others_in_are_refused(settings: Any, issuer: str, client_id: str, words: str):
    settings.ORION_OIDC_ISSUER, settings.ORION_OIDC_CLIENT_ID = issuer, client_id
    settings.ORION_OIDC_CLIENT_SECRET = "s" * 40

    found = " ".join(one.msg for one in run_checks(tags=["orion"]) if one.id == "orion.E009")

    assert (words in found) if words else not found
