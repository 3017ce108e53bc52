"""Every page under bad input: whatever is sent, and whatever its rows hold, it answers, escapes, and keeps secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from orchestration.json_texts import NUL, read_json
from runs.pages.selectors.keyset import Cursor
from tests.rounds import share
from tests.web.furnished import EVIL, SECRET, furnished

NAMESPACES = ("runs", "deployments", "events")
# What an address may be asked with, and what a field may be sent.
QUERIES = [
    "_f=nothing",
    "_f=" + "x," * 3000,
    "_f=rows&_held=²",
    "after=x",
    "after=~",
    "after=0001-01-01T00:00:00%2B14:00~00000000-0000-0000-0000-000000000000",
    "after=9999-12-31T23:59:59-14:00~00000000-0000-0000-0000-000000000000",
    "after=1~0001-01-01T00:00:00%2B14:00~00000000-0000-0000-0000-000000000000",
    "after=%00",
    "since=0001-01-01T00:00:00%2B14:00",
    "since=9999-12-31T23:59:59-14:00",
    "since=-9999d",
    "since=%00&event=%00&resource=%00&q=%00&tag=%00&flow=%00&type=%00&state=%00&id=%00&queue=%00&error=%00",
    "q=%ED%A0%80&tag=%ED%A0%80",
    "q=" + "9" * 5000,
    "q=dur%3E999999d+since:0001-01-01T00:00:00%2B14:00+state:-+%22",
    "q=//evil.example/&next=//evil.example/&back=//evil.example/&here=//evil.example/",
    "q=(%25_*%5B&tag=%22&flow=%27&event=*&resource=%25",
    "tab=x&state=x&level=²&from=end&kind=x&when=x&do=x&as=x&copy=x&span=x&sort=x&show=x&standing=x&refresh=x",
    "tab=log&level=²",
    "view=month&month=²&day=9999-12-31&until=x",
    "tab=runs&state=x,FAILED,%00",
    "tab=tasks&task=%00",
    "id=" + "x," * 600,
    "queue=none,x&deployment=x",
    "when=json&do=json",
    "kind=rrule",
    "as=json",
]
TABS = (
    "tasks",
    "timeline",
    "log",
    "history",
    "runs",
    "upcoming",
    "schedules",
    "parameters",
    "artifacts",
    "running",
    "gone",
)
VALUES = [
    "",
    EVIL,
    "\0",
    "x" * 100_000,
    "9" * 5000,
    "-1",
    "1e400",
    "NaN",
    "²",
    "0001-01-01T00:00",
    "9999-12-31T23:59:59",
    "0001-01-01T00:00:00+14:00",
    '{"a": "\\ud800"}',
    '{"a": "\\u0000"}',
    '{"a": NaN}',
    '{"a": ' + "9" * 5000 + "}",
    '{"a": 1e400}',
    "[" * 100_000,
    '{"a":' * 2000 + "1" + "}" * 2000,
    "{{ 7 | add }}",
    "//evil.example/",
    "/\\evil.example",
    "javascript:evil()",
    "11111111-1111-1111-1111-111111111111",
    "FREQ=SECONDLY;INTERVAL=0;COUNT=-1",
    "*/0 * * * *",
    "UTC/../../etc/passwd",
]


@dataclass(frozen=True)
class Address:
    """A page's address: with the ids of rows that are there, and with those of none."""

    name: str
    path: str
    unknown: str
    view: Any


def patterns() -> list[tuple[str, str, URLPattern]]:
    """Every page: its namespace, its route and its pattern."""
    found = [("", "", one) for one in get_resolver().url_patterns if getattr(one, "name", "") in {"home", "status"}]
    for resolver in get_resolver().url_patterns:
        if isinstance(resolver, URLResolver) and resolver.namespace in NAMESPACES:
            found += [(resolver.namespace, str(one.pattern), one) for one in resolver.url_patterns]
    return found


PATTERNS = patterns()
IDS = [f"{space}:{pattern.name}" if space else str(pattern.name) for space, _, pattern in PATTERNS]


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """Furnished once: each test has a transaction of its own inside of this one."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield furnished(EVIL)
        transaction.set_rollback(True)


def address_of(space: str, route: str, pattern: URLPattern, house: dict[str, Any]) -> Address:
    words = {name: house[name] for name in pattern.pattern.converters}
    if route.startswith("task-runs/"):
        words["run_id"] = house["task-runs"]
    if route.startswith("archive/"):
        words["run_id"] = house.get("archived", uuid4())
    if route.startswith("deployments/new/"):
        words["run_id"] = house["search"]
    if route.startswith("limits/global/") and "limit_id" in words:
        words["limit_id"] = house["global"]
    name = f"{space}:{pattern.name}" if space else str(pattern.name)
    other = {str: "nothing", int: 999}
    strange = {key: other.get(type(value)) or uuid4() for key, value in words.items()}
    return Address(name, reverse(name, kwargs=words), reverse(name, kwargs=strange), pattern.callback)


class Forms(HTMLParser):
    """The fields of the POST forms of a page, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, Any]]] = []
        self._select = ""
        self._area = ""
        self._is_post = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        name = own.get("name") or ""
        if tag == "form":
            self._is_post = (own.get("method") or "").lower() == "post"
            if self._is_post:
                self.forms.append((own.get("action") or "", {}))
        elif not self._is_post or not self.forms:
            return
        elif tag in {"input", "button"} and name:
            ticked = own.get("type") not in {"checkbox", "radio"} or "checked" in own
            if ticked and own.get("type") != "file":
                self.forms[-1][1].setdefault(name, own.get("value") or "")
        elif tag == "textarea":
            self._area = name
            self.forms[-1][1][name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in own or self._select not in self.forms[-1][1]):
            self.forms[-1][1][self._select] = own.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""
        elif tag == "form":
            self._is_post = False

    def handle_data(self, data: str) -> None:
        if self._area:
            self.forms[-1][1][self._area] += data


def flaws(answer: Any, what: str) -> list[str]:
    """Name whatever must hold of every answer and does not."""
    text = b"".join(answer).decode()
    found = [f"answers {answer.status_code}"] if answer.status_code >= 500 else []
    if answer.headers.get("Content-Disposition", "").startswith("attachment"):
        # A file that is saved is no page, and browsers must not take it for one.
        text, is_sniffed = "", answer.headers.get("X-Content-Type-Options") != "nosniff"
        found += ["may be taken for a page"] if is_sniffed else []
    found += [f"shows {mark}" for mark in ("<hr evil", "<script>evil", "<b evil", SECRET) if mark in text]
    links = re.findall(r'(?:href|src|action)="\s*([^"]*)"', text)
    found += [f"leads to {link}" for link in links if re.match(r"(?i)[\x00-\x20]*(javascript|data|vbscript):", link)]
    found += re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=\"|<[a-z][^>]*\son\w+=\"", text)
    if not re.match(r"/(?![/\\])|\?|$", answer.headers.get("Location", "")):
        found.append(f"sends to {answer.headers['Location']}")
    if "default-src 'self'" not in answer.headers["Content-Security-Policy"]:
        found.append("has no policy")
    return [f"{what[:100]}: {one}" for one in found]


def undone(client: Client, path: str, sent: dict[str, Any]) -> Any:
    """Post, and take the change out of the database again."""
    with transaction.atomic():
        answer = client.post(path, sent)
        transaction.set_rollback(True)
    return answer


@pytest.mark.parametrize(("space", "route", "pattern"), PATTERNS, ids=IDS)
def test_every_page_declares_what_it_needs(space: str, route: str, pattern: URLPattern):
    assert hasattr(pattern.callback, "action_required")


@pytest.mark.undivided
@pytest.mark.slow
@pytest.mark.generative
@pytest.mark.parametrize(("space", "route", "pattern"), PATTERNS, ids=IDS)
def test_a_page_answers_any_query(browser: Client, house: dict[str, Any], space: str, route: str, pattern: URLPattern):
    browser.raise_request_exception = False
    one, number = address_of(space, route, pattern, house), PATTERNS.index((space, route, pattern))

    found = [
        flaw
        for query in ["", *share([*(f"tab={tab}" for tab in TABS), *QUERIES], number, 37)]
        for flaw in flaws(browser.get(f"{one.path}?{query}"), query)
    ]

    assert found == []
    for method in share(("head", "put", "delete", "patch", "options"), number, 5):
        assert getattr(browser, method)(one.path).status_code < 500, method
    assert one.path == one.unknown or browser.get(one.unknown).status_code in {404, 405}


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.generative
@pytest.mark.parametrize(("space", "route", "pattern"), PATTERNS, ids=IDS)
def test_a_form_with_any_content_is_refused_with_a_message(
    browser: Client, house: dict[str, Any], space: str, route: str, pattern: URLPattern
):
    browser.raise_request_exception = False
    one, number = address_of(space, route, pattern, house), PATTERNS.index((space, route, pattern))

    found = []
    anything: list[dict[str, Any]] = [
        {},
        {"back": "//evil.example/"},
        {"back": "/\\evil.example"},
        {"x": ["1", "2"] * 300},
    ]
    for path, sent in share([*product((one.path, one.unknown), anything)], number, 8):
        found += flaws(undone(browser, path, sent), f"{path} {sent}")
    for path, fields in forms_of(browser, one.path):
        for shift, name in enumerate(fields):
            for value in share(VALUES, number + shift, 27):
                found += flaws(undone(browser, path, {**fields, name: value}), f"{name}={value[:60]!r} {path}")

    assert found == []


def forms_of(browser: Client, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The forms of a page that are sent to the page itself; those to others belong to these."""
    queries = {
        "schedules": [f"?kind={kind}" for kind in ("cron", "interval", "rrule", "ics")],
        "automations/new": [
            f"?when={when}&do={do}"
            for when, do in [
                ("state", "send-notification"),
                ("stays", "run-deployment"),
                ("event", "pause-work-queue"),
                ("silence", "pause-deployment"),
                ("json", "json"),
            ]
        ],
        "/run": ["", "?as=json"],
    }
    asked = next((found for part, found in queries.items() if part in path), [""])
    for query in asked:
        answer = browser.get(path + query)
        if answer.status_code == 200:
            for action, fields in Forms(b"".join(answer).decode()).forms:
                if action.split("?")[0] in {"", path}:
                    yield path + query, fields


@pytest.mark.parametrize(("space", "route", "pattern"), PATTERNS, ids=IDS)
def test_nothing_is_changed_without_a_token_or_from_elsewhere(
    db: None, house: dict[str, Any], space: str, route: str, pattern: URLPattern
):
    strict = Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True)
    one = address_of(space, route, pattern, house)

    # A page that only shows refuses the method, if anything, before it asks who sent it.
    assert strict.post(one.path, {"x": "1"}).status_code in {403, 405}
    assert strict.get(one.path, headers={"host": "evil.example"}).status_code == 400
    assert strict.get(one.path, headers={"origin": "http://evil.example"}).status_code == 403
    assert strict.post(one.path, headers={"origin": "null"}).status_code == 403


def test_a_calendar_of_any_bytes_is_refused_in_words(browser: Client, house: dict[str, Any]):
    browser.raise_request_exception = False
    path = reverse("deployments:new-schedule", args=[house["deployment_id"]]) + "?kind=ics"

    found = []
    for content in (b"", b"\xff\xfe\0", b"BEGIN:VCALENDAR\r\n" * 1000, b"BEGIN:VEVENT\nDTSTART:00010101T000000Z\n"):
        file = SimpleUploadedFile(EVIL, content)
        found += flaws(undone(browser, path, {"file": file, "timezone": "", "misfire": "none"}), str(content[:20]))

    assert found == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "not JSON"),
        ('"\\ud800"', "not JSON"),
        ("9" * 5000, "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"\\u0000"', "NUL"),
        ("1e400", "."),
        ('{"a":' * 100 + "1" + "}" * 100, "."),
    ],
)
def test_json_that_cannot_be_stored_is_refused_in_words(text: str, words: str):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_json(text)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_outside_of_the_calendar_is_none(browser: Client, moment: str):
    assert Cursor.read(f"{moment}~{uuid4()}") is None
    assert "is not a time to look back" in browser.get("/runs", {"since": moment}).content.decode()


@pytest.mark.parametrize("path", ["/variables", "/automations", "/blocks", "/artifacts", "/flows"])
def test_the_way_to_the_first_page_keeps_what_was_searched(browser: Client, path: str):
    page = browser.get(path, {"q": "a&b=c", "after": "x"}).content.decode()

    assert "?q=a&amp;b=c" not in page


@pytest.mark.parametrize("path", ["/runs?q=%00", "/?tag=x%00", "/variables?after=%00", "/admin/runs/flow/?q=%00"])
def test_an_address_with_nul_is_refused(browser: Client, path: str):
    answer = browser.get(path)

    assert answer.status_code == 400
    assert "This request makes no sense here" in answer.content.decode()


def test_tags_with_nul_are_refused_in_words(browser: Client):
    answer = browser.post("/variables/new", {"name": "x", "value": "1", "tags": "a,b\x00"})

    assert NUL in answer.content.decode()
