"""Saved views above lists: chosen, saved, replaced, renamed and deleted; programs see them as saved searches."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from runs.models import SavedSearch
from runs.pages.saved_views import BUILT_IN, LISTS
from runs.saved_searches.saved_views import MOST
from tests.web.rows import make_run, make_task_run

QUERY = "state=failed&since=-24h&flow=etl"


def save(browser: Client, name: str = "Mine", query: str = QUERY, list_name: str = "runs") -> SavedSearch:
    browser.post(f"/views/{list_name}", {"name": name, "query": query})
    return SavedSearch.objects.get(name=name)


def chips(browser: Client, address: str) -> dict[str, str]:
    page = browser.get(address).content.decode()
    nav = re.search(r'<nav aria-label="Saved views">(.*?)</nav>', page, re.DOTALL)
    assert nav is not None
    return {name: href for href, name in re.findall(r'href="([^"]+)"[^>]*>([^<]+)</a>', nav[1])}


@pytest.mark.parametrize("list_name", list(LISTS))
def test_each_list_has_built_in_views(browser: Client, list_name: str):
    address = f"/{list_name}"

    found = chips(browser, address)

    assert list(found) == [name for name, _ in BUILT_IN.get(list_name, ())]
    for href in found.values():
        page = browser.get(href.replace("&amp;", "&"))
        assert page.status_code == 200
        assert 'aria-current="true"' in page.content.decode()
        assert "wrong" not in page.content.decode().partition('class="filters"')[2].partition("</form>")[0]


def test_long_running_are_runs_that_have_been_running_for_an_hour(browser: Client):
    now = timezone.now()
    make_run("long", state="RUNNING", at=now - timedelta(hours=2))
    make_run("short", state="RUNNING", at=now - timedelta(minutes=2))
    make_run("over", at=now - timedelta(hours=3))

    page = browser.get("/runs?q=dur%3E1h&state=running")

    assert [run.name for run in page.context["found"].page.rows] == ["long"]


def test_a_view_is_saved_from_the_list_that_shows_it(browser: Client):
    page = browser.get(f"/runs?{QUERY}&q=&tag=&after=x").content.decode()
    action = re.search(r'action="(/views/runs)"', page)
    query = re.search(r'name="query" value="([^"]+)"', page)
    assert action is not None
    assert query is not None

    answer = browser.post(action[1], {"name": "Mine", "query": query[1].replace("&amp;", "&")})

    assert answer["location"] == "/runs?flow=etl&since=-24h&state=failed"
    assert chips(browser, "/runs")["Mine"] == "/runs?flow=etl&amp;since=-24h&amp;state=failed"
    again = browser.get(answer["location"]).content.decode()
    assert "Change this view" in again
    assert "Save this view" not in again


def test_a_list_without_a_filter_has_nothing_to_save(browser: Client):
    assert "Save this view" not in browser.get("/runs").content.decode()


def test_a_view_is_replaced_by_one_of_its_name(browser: Client):
    first = save(browser)

    save(browser, query="state=late")

    assert SavedSearch.objects.get().pk == first.pk
    assert chips(browser, "/runs")["Mine"] == "/runs?state=late"


def test_a_view_is_renamed_and_deleted(browser: Client):
    view = save(browser)

    browser.post(f"/views/runs/{view.pk}/rename", {"name": "Ours"})
    renamed = chips(browser, "/runs")
    answer = browser.post(f"/views/runs/{view.pk}/delete")

    assert "Ours" in renamed
    assert "Mine" not in renamed
    assert answer["location"] == "/runs?flow=etl&since=-24h&state=failed"
    assert "Ours" not in chips(browser, "/runs")


def test_a_name_that_another_list_has_is_refused_in_words(browser: Client):
    save(browser)
    other = save(browser, "Other", "state=late")

    answer = browser.post("/views/deployments", {"name": "Mine", "query": "show=late"}, follow=True)
    renamed = browser.post(f"/views/runs/{other.pk}/rename", {"name": "Mine"}, follow=True)

    for page in (answer, renamed):
        assert "There is another saved search called &#x27;Mine&#x27;" in page.content.decode()
    assert SavedSearch.objects.get(name="Mine").filters[0]["object"] == "runs"


@pytest.mark.parametrize("list_name", list(LISTS))
def test_a_list_begins_with_the_view_that_was_made_its_default(browser: Client, list_name: str):
    view = save(browser, "Ours", "q=night", list_name)

    made = browser.post(f"/views/{list_name}/default", {"key": str(view.pk)})
    first = browser.get(f"/{list_name}")
    every = browser.get(f"/{list_name}?view=all")
    ended = browser.post(f"/views/{list_name}/default")

    assert made["location"] == first["location"] == f"/{list_name}?q=night"
    assert every.status_code == 200
    assert chips(browser, f"/{list_name}?view=all").get("All") is None
    assert ended["location"] == f"/{list_name}"
    assert browser.get(f"/{list_name}").status_code == 200


def test_the_default_is_marked_and_everything_stays_one_click_away(browser: Client):
    browser.post("/views/runs/default", {"key": "Late"})

    page = browser.get("/runs", follow=True).content.decode()

    assert browser.get("/runs")["location"] == "/runs?state=late"
    assert "(default)" in page
    assert 'href="/runs?view=all"' in page
    assert "Begin with everything" in page
    assert browser.get("/?since=-24h").status_code == 200


def test_a_default_whose_view_is_gone_is_none(browser: Client):
    view = save(browser)
    browser.post("/views/runs/default", {"key": str(view.pk)})
    browser.post(f"/views/runs/{view.pk}/delete")

    assert browser.get("/runs").status_code == 200


def test_other_preferences_keep_the_defaults_of_lists(browser: Client):
    browser.post("/views/runs/default", {"key": "Late"})
    browser.post("/settings/zone", {"zone": "UTC", "back": "/runs"})
    browser.post("/settings/browser", {"theme": "dark", "density": "compact", "zone": ""})

    assert browser.get("/runs")["location"] == "/runs?state=late"


def test_views_of_one_list_are_not_above_another(browser: Client):
    save(browser, list_name="events", query="event=shop.")

    assert "Mine" in chips(browser, "/events")
    assert "Mine" not in chips(browser, "/runs")


@pytest.mark.parametrize(("list_name", "make"), [("runs", make_run), ("task-runs", make_task_run)])
def test_views_have_the_numbers_of_their_rows(browser: Client, monkeypatch: Any, list_name: str, make: Any):
    monkeypatch.setattr("runs.pages.selectors.list_rows.CHOICE_CAP", 2)
    for _ in range(3):
        make(state="FAILED")
    make(state="RUNNING")
    save(browser, "Failed", "state=failed", list_name)
    save(browser, "Running", "state=running&columns=state%2Crun", list_name)
    save(browser, "Late", "state=late&flow=other", list_name)
    save(browser, "Searched", "q=name", list_name)
    save(browser, "Unreadable", "q=state:blue", list_name)

    page = browser.get(f"/{list_name}").content.decode()
    part = browser.get(f"/{list_name}?_f=views").content.decode()

    for text in (page, part):
        nav = text.partition('aria-label="Saved views"')[2].partition("</nav>")[0]
        numbers = dict(re.findall(r">(\w+) <span class=\"muted\">([\d+]+)</span></a>", nav))
        assert {name: numbers.get(name) for name in ("Failed", "Late", "Searched", "Unreadable")} == {
            "Failed": "2+",
            "Late": None,
            "Searched": None,
            "Unreadable": None,
        }
        assert numbers["Running"] == "1"


def save_many(list_name: str, number: int) -> None:
    filters = [{"object": list_name, "property": "query", "type": "string", "operation": "equals", "value": "q=x"}]
    SavedSearch.objects.bulk_create(SavedSearch(name=f"A {one}", filters=filters) for one in range(number))


def test_views_of_other_lists_push_none_out(browser: Client):
    save_many("events", MOST)
    save(browser)

    found = chips(browser, "/runs")
    page = browser.get("/runs").content.decode()

    assert "Mine" in found
    assert "saved views are shown" not in page


def test_a_list_with_too_many_views_has_a_note_and_each_can_still_be_used(browser: Client):
    save_many("runs", MOST)
    view = save(browser)

    page = browser.get("/runs").content.decode()
    chosen = browser.get(f"/runs?{QUERY}").content.decode()
    browser.post("/views/runs/default", {"key": str(view.pk)})
    first = browser.get("/runs")
    browser.post(f"/views/runs/{view.pk}/rename", {"name": "Ours"})

    assert f"Only the first {MOST} saved views are shown, by name." in page
    assert ">Mine</a>" not in page
    assert ">Mine</a>" in chosen
    assert "Change this view" in chosen
    assert "Save this view" not in chosen
    assert first["location"] == "/runs?flow=etl&since=-24h&state=failed"
    assert ">Ours <" in browser.get("/runs?state=late").content.decode()
    browser.post(f"/views/runs/{view.pk}/delete")
    assert not SavedSearch.objects.filter(pk=view.pk).exists()


def test_programs_read_and_make_views_as_saved_searches(browser: Client):
    save(browser)
    body = {"name": "Made", "filters": [{"object": "runs", "property": "query", "type": "string"}]}
    body["filters"][0] |= {"operation": "equals", "value": "?state=late"}  # type: ignore[index]

    browser.put("/api/saved_searches/", json.dumps(body), content_type="application/json")
    read = browser.post("/api/saved_searches/filter", "{}", content_type="application/json").json()

    assert chips(browser, "/runs")["Made"] == "/runs?state=late"
    assert [one["name"] for one in read] == ["Made", "Mine"]
    assert read[1]["filters"][0]["value"] == "flow=etl&since=-24h&state=failed"


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [{}],
        [{"object": "runs"}],
        [{"object": "runs", "property": "query", "value": 1}],
        [{"object": "runs", "property": "query", "value": "state=late"}, {"object": "runs"}],
        [1, 2],
        ["0", "1"],
    ],
)
def test_other_searches_of_programs_are_no_views(browser: Client, filters: list[object]):
    SavedSearch.objects.create(name="Odd", filters=filters)

    assert "Odd" not in chips(browser, "/runs")


@pytest.mark.parametrize("name", ["", "\0", "x" * 200])
def test_a_name_that_is_none_is_refused(browser: Client, name: str):
    answer = browser.post("/views/runs", {"name": name, "query": QUERY}, follow=True)

    assert "Give the view a name" in answer.content.decode()
    assert not SavedSearch.objects.exists()


@pytest.mark.parametrize(
    ("list_name", "query"),
    [
        *(
            ("runs", query)
            for query in ("\0", "x" * 100_000, "//evil.example/", "<script>evil()</script>", "state=%00")
        ),
        *(("runs", query) for query in ("a=1&" * 1_500, "=1&" * 1_300, "flow=%00", "q=" + "\u65e5" * 3_000)),
        ("task-runs", "a=1&" * 1_500),
    ],
    ids=lambda value: value[:9],
)
def test_lists_are_shown_with_views_of_any_content(browser: Client, list_name: str, query: str):
    make_run()
    filters = [{"object": list_name, "property": "query", "type": "string", "operation": "equals", "value": query}]
    saved = browser.post(f"/views/{list_name}", {"name": "<evil>", "query": query})
    # Programs store queries that the form refuses.
    body = json.dumps({"name": "Stored", "filters": filters})
    browser.put("/api/saved_searches/", body, content_type="application/json")
    for view in SavedSearch.objects.all():
        browser.post(f"/views/{list_name}/default", {"key": str(view.pk)})

    page = browser.get(f"/{list_name}", follow=True)

    assert page.status_code == browser.get(saved["location"], follow=True).status_code == 200
    assert "<evil>" not in page.content.decode()


def test_what_is_not_there_is_not_changed(browser: Client):
    view = save(browser)

    assert browser.post("/views/nonsense", {"name": "x", "query": QUERY}).status_code == 404
    assert browser.post(f"/views/runs/{uuid4()}/delete").status_code == 404
    assert browser.post(f"/views/events/{view.pk}/rename", {"name": "x"}).status_code == 404
    assert SavedSearch.objects.get().name == "Mine"
