"""Requests that are odd in how they are written: what one part of a server could read otherwise than another."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import User

from orion_site.accounts.users import create_user
from tests.security.askers import PASSWORD, Asker, key_of, user_with

JSON = "application/json"


def send(asker: Asker, path: str, body: bytes, **headers: str) -> Any:
    return asker.generic("POST", path, body, content_type=JSON, headers=headers)


@pytest.fixture
def viewer(ada: User) -> Asker:
    return Asker(key_of(user_with("viewer")))


@pytest.fixture
def deployer(ada: User) -> Asker:
    return Asker(key_of(user_with("deployer")))


@pytest.mark.parametrize(
    "body",
    [
        b'{"limit": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"flow_runs": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
        b'{"limit": ' + b"9" * 5000 + b"}",
        b'{"offset": 1e999}',
        b'{"offset": NaN}',
        b'{"limit": 99999999999999999999}',
        b'{"limit": 1, "limit": 100000}',
        b'{"flow_runs": {"name": {"any_": ["\\ud800"]}}}',
        b'{"sort": "\\u0000"}',
        b"\xff\xfe{\x00}",
        b"\xef\xbb\xbf[]",
    ],
    ids=[
        "deep list",
        "deep object",
        "long integer",
        "infinite",
        "NaN",
        "huge",
        "twice",
        "surrogate",
        "NUL",
        "half a character of UTF-16",
        "a list",
    ],
)
def test_odd_json_is_refused(viewer: Asker, body: bytes):
    answer = send(viewer, "/api/flow_runs/filter", body)

    assert answer.status_code == 422, answer.content[:300]


def test_of_a_repeated_key_the_last_value_is_checked_and_stored(deployer: Asker):
    stored = send(deployer, "/api/variables/", b'{"name": "../x", "name": "fine", "value": "1"}')
    refused = send(deployer, "/api/variables/", b'{"name": "fine2", "name": "../x", "value": "1"}')

    assert (stored.status_code, stored.json()["name"]) == (201, "fine")
    assert refused.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Original-URL": "/api/health"},
        {"X-Rewrite-URL": "/api/health"},
        {"X-Forwarded-Host": "localhost", "X-Forwarded-User": "ada"},
        {"Remote-User": "ada", "X-Remote-User": "ada"},
        {"Authorization": "Basic " + base64.b64encode(b"ada:x").decode()},
        {"Authorization": "Bearer null"},
        {"Authorization": "Bearer"},
        {"Authorization": "Negotiate x"},
        {"Cookie": "orion_session=../../x; sessionid=1"},
    ],
    ids=str,
)
def test_no_header_identifies_the_user(ada: User, headers: dict[str, str]):
    assert send(Asker(), "/api/flows/filter", b"{}", **headers).status_code == 401


def test_two_keys_in_one_header_are_refused(ada: User):
    good = key_of(user_with("admin", "second"))

    for both in (f"Bearer orn_x, Bearer {good}", f"Bearer {good}, Bearer orn_x", f"Bearer {good} orn_x"):
        assert send(Asker(), "/api/flows/filter", b"{}", Authorization=both).status_code == 401


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_changes_the_method(viewer: Asker, deployer: Asker, header: str):
    made = send(deployer, "/api/variables/", b'{"name": "kept", "value": "1"}')

    for asker in (viewer, deployer):
        path = f"/api/variables/{made.json()['id']}"
        assert send(asker, f"{path}?_method=DELETE", b"{}", **{header: "DELETE"}).status_code in {403, 404, 405}
        assert asker.get(path).status_code == 200


HOSTS = [
    "localhost:4200,evil.example",
    "localhost@evil.example",
    "localhost:4200@evil.example",
    "evil.example#localhost",
    "localhost.",
    "[::1",
    "localhost:99999x",
]


@pytest.mark.parametrize("host", HOSTS)
def test_no_host_is_read_two_ways(ada: User, host: str):
    answer = Asker(host=host).get("/login")

    assert answer.status_code == 400 or "evil" not in answer.content.decode()


def test_cached_answers_are_not_shown_to_others(ada: User, viewer: Asker):
    create_user(name="sam", password=PASSWORD, roles=["viewer"])
    person = Asker()
    person.post("/login", {"username": "sam", "password": PASSWORD})

    for answer in (
        person.get("/runs"),
        person.get("/api/schedules.ics"),
        viewer.get("/api/version"),
        person.get("/audit"),
    ):
        body = {part.strip() for part in answer.headers["Cache-Control"].split(",")}
        assert {"private", "no-cache"} <= body or "no-store" in body, answer.headers
