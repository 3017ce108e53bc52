"""The guard: which machine, which host, which page. A matrix over methods, and what no answer may carry."""

from __future__ import annotations

import pytest
from django.test import Client

from orion_site.accounts.guard import refusal

pytestmark = pytest.mark.django_db

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
FOREIGN_PAGES = [
    {"origin": "http://evil.example"},
    {"origin": "https://localhost.evil.example:4200"},
    {"origin": "http://localhost:8000"},
    {"origin": "http://127.0.0.1:4200"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "file://"},
    {"origin": "http://localhost:4200", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]
OWN_PAGES = [
    {},
    {"origin": "http://localhost:4200"},
    {"origin": "HTTP://LOCALHOST:4200"},
    {"origin": "http://localhost:4200", "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
]
FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.7:4200",
    "",
    "[::2]",
    "a b",
]
OWN_HOSTS = ["localhost", "localhost:4200", "LOCALHOST:80", "127.0.0.1:4200", "[::1]:4200", "localhost."]


def ask(method="GET", path="/api/health", *, host="localhost:4200", address="127.0.0.1", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(REMOTE_ADDR=address).generic(method, path, headers={"host": host, **headers})


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_another_site_is_refused_for_every_method(method, headers):
    answer = ask(method, **headers)

    assert answer.status_code == 403
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_styles_are_for_our_own_pages_too():
    answer = ask(path="/static/css/orion.css")
    answer.close()

    assert answer.status_code == 200
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("headers", OWN_PAGES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_programs_and_our_own_pages_pass(method, headers):
    answer = ask(method, **headers)

    assert answer.status_code == (200 if method in {"GET", "HEAD"} else 405)
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("method", METHODS)
def test_another_host_name_is_refused_for_every_method(method, host):
    assert ask(method, host=host).status_code == 400


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_our_own_names_pass_with_any_port(host):
    assert ask(host=host).status_code == 200


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "192.168.1.2", "::2", "8.8.8.8", "::ffff:8.8.8.8", "fe80::1%eth0", "nonsense"]
)
@pytest.mark.parametrize("path", ["/api/health", "/", "/admin/", "/docs", "/static/x.css"])
def test_other_machines_are_refused_everywhere(path, address):
    answer = ask(path=path, address=address)

    assert answer.status_code == 403
    assert "no users" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_passes(address):
    assert ask(address=address).status_code == 200


@pytest.mark.parametrize("meta", [{}, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": None}], ids=str)
def test_a_request_from_nowhere_is_not_of_this_machine(meta):
    refused = refusal({"HTTP_HOST": "localhost", **meta}, method="GET", path="/api/health")

    assert refused is not None
    assert refused.status == 403


def test_a_link_from_elsewhere_leads_to_the_dashboard():
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

    assert ask("GET", "/api/hello", **visit).status_code == 200
    assert ask("POST", "/api/flows/", **visit).status_code == 403


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_other_than_json_are_refused(method, content_type):
    client = Client()

    answer = client.generic(
        method, "/api/flows/", '{"name": "x"}', content_type=content_type, headers={"host": "localhost"}
    )

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("mark", ["origin", "referer", "sec-fetch-site", "sec-fetch-mode", "cookie"])
@pytest.mark.parametrize(("path", "content_type"), [("/api/flows/", ""), ("/api/templates/validate", "text/plain")])
def test_only_programs_may_leave_out_that_a_body_is_json(mark, path, content_type):
    marked = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}.get(mark, "x")
    headers = {"host": "localhost", mark: marked}

    assert Client().generic("POST", path, "{}", content_type=content_type, headers=headers).status_code == 415


def test_json_may_name_its_charset():
    answer = Client().post(
        "/api/flows/", '{"name": "x"}', content_type="application/json; charset=utf-8", headers={"host": "localhost"}
    )

    assert answer.status_code == 201


def test_answers_are_not_sniffed():
    assert ask()["X-Content-Type-Options"] == "nosniff"
