"""Every page: its title names the object, and each number that is a link leads to a list with so many rows."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest
from django.test import Client

from runs.models import FlowRun
from tests.web.deployments import add_run, make_deployment
from tests.web.furnished import furnished
from tests.web.rows import make_run, make_task_run
from tests.web.test_hostile_pages import PATTERNS, address_of

NAME = "night-watch"
# Lists, and what shows how many rows they have.
LISTS = re.compile(r"/(runs|task-runs|deployments|events|notifications|automations/[0-9a-f-]+)(\?|$)|[^?]*\?(.*&)?tab=")
LINK = re.compile(r'<a\b[^>]*?href="([^"]+)"[^>]*>(.*?)</a>', re.DOTALL)
# Shares lead to what they leave out, and are not the length of its list.
NUMBER = re.compile(r"^(\d[\d\u202f,]*)(\+?)(?:\s(?!%)|$)|\s(\d[\d\u202f,]*)(\+?)$")
# A number of things that have a list.
THINGS = (
    "run|task run|flow|deployment|schedule|agent|queue|pool|slot|event|automation|action|message|block|variable"
    "|artifact|user|key|member|group|calendar"
)
COUNTED = re.compile(rf"\b\d[\d\u202f,]*\+? (?:[a-z-]+ )?(?:{THINGS})s?\b(?: [a-z]+)*")
# The tabs of pages of objects.
ID = re.compile("/[0-9a-f-]{36}$")
TAB = re.compile(r'<a href="(\?tab=[a-z]+)"')
# What tabs list, by its name in their contexts.
TAB_LISTS = ("ahead", "page", "log")
# The page says a number, and is itself the list.
LISTED_BELOW = re.compile(r"/runs/all/<slug:action>|/bulk/<uuid:bulk_id>.*|/deployments/<uuid:deployment_id>\?tab=runs")
# Rates, and what can only be counted.
NOT_LISTED = re.compile(
    "slots? (return each second|taken by programs)|task runs? went alike in both|other runs? of the same flows"
)
# Of what cannot be called so; the page of a search, which is named by what it found; and that of a bulk action, which
# is named by what is done.
OTHER_NAMES = ("evil", "Login", "plain", "flow found", "Cancel 1 run")
# Names of parts of addresses that stand for an object.
OBJECTS = ("_id>", "<slug:slug>")


@pytest.fixture
def pages(browser: Client) -> dict[str, tuple[str, str]]:
    """The path and the text of each page, by its route; of a server with a row of each kind."""
    house = furnished(NAME)
    busy = make_deployment("busy", flow="etl", tags=["prod"])
    for number, state in enumerate(["COMPLETED", "COMPLETED", "FAILED", "CRASHED", "RUNNING", "PAUSED", "CANCELLED"]):
        run = add_run(busy, state, ago=timedelta(minutes=9 - number), name=f"run-{number}", message="KeyError: 'x'")
        for place in range(6):
            make_task_run(f"load-{place}", flow_run=run, state="FAILED", task_key="etl.load")
    make_run("alone", state="FAILED", message="It raised OSError: 7")
    for state in ("RUNNING", "COMPLETED"):
        make_task_run("wait", flow_run=FlowRun.objects.get(pk=house["run_id"]), state=state, task_key="etl.wait")
    FlowRun.objects.filter(deployment_id=busy.pk, state_type__in=["RUNNING", "SCHEDULED"]).update(
        work_queue_id=house["queue_id"]
    )
    found = {}
    for space, route, pattern in PATTERNS:
        one = address_of(space, route, pattern, house)
        answer = browser.get(one.path)
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            found[f"/{route}"] = (one.path, answer.content.decode())
    found["/schedule?view=month"] = ("/schedule", browser.get("/schedule?view=month").content.decode())
    for route, (path, page) in list(found.items()):
        for tab in set(TAB.findall(page)) if ID.search(path) else ():
            found[f"{route}{tab}"] = (path, browser.get(path + tab).content.decode())
    return found


def title_of(page: str) -> str:
    match = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    return " ".join(html.unescape(match[1]).split()) if match else ""


def text_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<svg.*?</svg>", "", markup))).split())


def numbers_in(path: str, page: str) -> set[tuple[str, int]]:
    """The links to lists that begin or end with a number."""
    found = set()
    for address, inner in LINK.findall(page.partition("<main")[2]):
        number = NUMBER.search(text_of(inner))
        address = html.unescape(path + address if address.startswith("?") else address)
        if number and LISTS.match(address):
            digits = number[1] or number[3]
            found.add((address, int(re.sub(r"\D", "", digits))))
    return found


class Bare(HTMLParser):
    """The texts of a page outside of links, controls, labels, code, pictures, and questions that come before a deed."""

    LEFT_OUT: ClassVar = {
        "a",
        "button",
        "select",
        "label",
        "code",
        "pre",
        "svg",
        "time",
        "summary",
        "legend",
        "textarea",
        "th",
        "dt",
        "figcaption",
    }

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        is_question = tag == "details" and "confirm" in (dict(attrs).get("class") or "")
        if tag in self.LEFT_OUT or is_question or (tag == "details" and "details" in self.open):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, text: str) -> None:
        if not self.open:
            self.texts.append(text)


def bare_numbers(page: str) -> set[str]:
    parser = Bare()
    parser.feed(page.partition("<main")[2].partition("</main")[0])
    text = " ".join(" · ".join(parser.texts).split())
    return {match[0] for match in COUNTED.finditer(text)}


def rows_at(browser: Client, address: str) -> int:
    """The number of rows of a list; of a tab, which may not count them, on all of its pages."""
    context = browser.get(address).context
    if "tab=" not in address:
        return rows_of(context)
    rows = rows_of_tab(context)
    return rows + (rows_at(browser, address.partition("?")[0] + context["next"]) if context.get("next") else 0)


def rows_of_tab(context: Any) -> int:
    if found := next((context[name] for name in TAB_LISTS if context.get(name)), None):
        return len(next(getattr(found, name) for name in ("rows", "times", "lines") if hasattr(found, name)))
    found = context["found"]
    return len(found.page.rows if hasattr(found, "page") else found.rows)


def rows_of(context: Any) -> int:
    found = context["found"]
    if (count := getattr(found, "count", None)) is not None:
        return int(count.number)
    for name in ("lines", "messages", "rows"):
        if (rows := getattr(found, name, None)) is not None:
            return len(rows)
    return len((getattr(found, "page", None) or found.firings).rows)


def test_titles_name_the_object_and_each_number_of_things_is_a_link_to_as_many(
    browser: Client, pages: dict[str, tuple[str, str]]
):
    titles = {route: title_of(page) for route, (_, page) in pages.items()}
    nameless = {
        route: title
        for route, title in titles.items()
        if not title.endswith(" · Orion")
        or (any(mark in route for mark in OBJECTS) and not any(name in title for name in (NAME, *OTHER_NAMES)))
    }
    numbers = {pair for path, page in pages.values() for pair in numbers_in(path, page)}
    wrong = {}
    for address, number in sorted(numbers):
        listed = rows_at(browser, address)
        if listed != number:
            wrong[address] = (number, listed)
    bare = {
        route: found
        for route, (_, page) in pages.items()
        if not LISTED_BELOW.fullmatch(route)
        and (found := {one for one in bare_numbers(page) if not NOT_LISTED.search(one)})
    }

    assert nameless == {}
    assert len(numbers) > 10
    assert len({re.sub("[0-9a-f-]{36}", "", address) for address, _ in numbers if "tab=" in address}) > 8
    assert wrong == {}
    assert bare == {}
