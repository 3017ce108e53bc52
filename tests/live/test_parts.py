"""Pages that answer with some of their parts."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Value
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orion_site.accounts.users import create_group, create_user, set_roles
from orion_site.http.shared_answers import Answer, SharedAnswers
from orion_site.live import pages
from orion_site.live.hub import hub
from runs.pages.selectors import run as run_pages
from tests.security.askers import PASSWORD, Asker, key_of
from tests.security.worlds import make_world
from tests.web.rows import add_lines, make_run, make_task_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    pages._shared.clear()
    return Client(headers={"host": "127.0.0.1:4200"})


def hub_is_at() -> str:
    """A place that a tab knows after a change."""
    hub.place_for_page()
    hub.publish({"runs"})
    return hub.place


def test_a_part_is_the_element_of_the_page(browser: Client):
    make_run("brave-otter")

    whole = browser.get("/runs").content.decode()
    part = browser.get("/runs?_f=rows").content.decode()

    assert part.startswith('<div id="live-rows" data-live="runs"')
    assert re.sub(r"\s+", " ", part) in re.sub(r"\s+", " ", whole)
    assert "<html" not in part


def test_parts_come_together_in_the_order_in_which_they_were_asked_for(browser: Client):
    run = make_run()

    answer = browser.get(f"/runs/{run.id}?_f=facts,head")

    assert re.findall(r'id="(live-\w+)"', answer.content.decode()) == ["live-facts", "live-head"]
    assert len(answer["ETag"].split(".")) == 2


def test_links_of_a_part_lead_to_pages(browser: Client):
    for number in range(60):
        make_run(f"run-{number}")

    part = browser.get("/runs?state=completed&_f=rows&_held=3").content.decode()

    assert "_f=" not in part
    assert "_held" not in part
    assert "state=completed" in part


def test_a_list_shows_as_many_rows_more_as_are_held(browser: Client):
    for number in range(60):
        make_run(f"run-{number}")

    def rows(address: str) -> int:
        return browser.get(address).content.decode().count('id="run-')

    assert (rows("/runs?_f=rows"), rows("/runs?_f=rows&_held=7"), rows("/runs?_f=rows&_held=x")) == (50, 57, 50)


def test_an_unknown_part_does_not_exist(browser: Client):
    assert browser.get("/runs?_f=nope").status_code == 404
    assert browser.get("/runs?_f=rows,nope").status_code == 404


def test_a_part_that_is_as_it_was_has_no_body(browser: Client):
    run = make_run()
    etag = browser.get("/runs?_f=rows")["ETag"]

    same = browser.get("/runs?_f=rows", headers={"if-none-match": etag})
    run.name = "renamed"
    run.save(update_fields=["name"])
    other = browser.get("/runs?_f=rows", headers={"if-none-match": etag})

    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200
    assert b"renamed" in other.content


def test_the_timeline_alone_marks_the_chosen_task_and_reads_no_lines(browser: Client):
    run = make_run()
    task = make_task_run("COMPLETED", flow_run=run)

    page = browser.get(f"/runs/{run.id}?tab=timeline&log={task.id}")
    part = browser.get(f"/runs/{run.id}?tab=timeline&log={task.id}&_f=tab")

    assert (page.context["beside"] is not None, b'class="chosen"' in page.content) == (True, True)
    assert b'class="chosen"' in part.content
    with CaptureQueriesContext(connection) as asked:
        browser.get(f"/runs/{run.id}?tab=timeline&_f=tab")
    assert not [one["sql"] for one in asked.captured_queries if '"runs_log"' in one["sql"]]


def test_each_head_is_that_of_its_run(browser: Client):
    runs = [make_run(name) for name in ("first-of-two", "second-of-two")]

    heads = [browser.get(f"/runs/{run.id}?_f=head,facts").content.decode() for run in [*runs, *runs]]

    facts = [run_pages.flow_run_facts(run_id=run.id) for run in runs]
    whole = [run_pages.flow_run_facts(run_id=run.id, more=Value(1)) for run in runs]
    assert ["completed" in head.lower() for head in heads] == [True] * 4
    for own, same in zip(facts, whole, strict=True):
        assert own is not None
        assert same is not None
        assert own.__dict__.keys() | {"more"} == same.__dict__.keys()
        assert (own.name, own.flow.name, own.was_retried) == (same.name, same.flow.name, False)
    assert run_pages.flow_run_facts(run_id=uuid4()) is None


def test_the_tokens_of_forms_make_no_difference(browser: Client):
    run = make_run(state="RUNNING")

    first, second = (browser.get(f"/runs/{run.id}?_f=actions") for _ in range(2))

    assert first.content != second.content
    assert first["ETag"] == second["ETag"]


def test_tabs_that_know_of_the_same_change_share_one_rendering(browser: Client, django_assert_num_queries):
    make_run()
    place = hub_is_at()
    first = browser.get("/runs?_f=rows", headers={"orion-live": place})

    with django_assert_num_queries(0):
        second = browser.get("/runs?_f=rows", headers={"orion-live": place})

    assert second.content == first.content


def test_a_rendering_from_before_a_change_is_not_given_to_a_tab_that_knows_of_it(browser: Client):
    run = make_run()
    browser.get("/runs?_f=rows", headers={"orion-live": hub_is_at()})
    run.name = "renamed"
    run.save(update_fields=["name"])

    after = browser.get("/runs?_f=rows", headers={"orion-live": hub_is_at()})

    assert b"renamed" in after.content


def test_a_tab_whose_socket_is_at_another_process_gets_no_rendering_from_before_what_it_knows(browser: Client):
    run = make_run()
    hub.place_for_page()
    shared = SharedAnswers(hub.number_of, hub.place_for_page)

    def requested(place: str) -> bytes:
        """Return the answer to what is asked on behalf of a tab with this place."""
        scopes: list[dict[str, Any]] = []

        async def ask(scope: dict[str, Any]) -> Answer:
            scopes.append(scope)
            return Answer(200, [], b"")

        headers = [(b"orion-live", place.encode())]
        asked = shared.parts_request({"method": "GET", "path": "/runs", "query_string": b"_f=rows", "headers": headers})
        assert asked is not None
        asyncio.run(shared.answer(asked, ask))
        (scope,) = scopes
        known = {name.decode(): value.decode() for name, value in scope["headers"]}
        return browser.get("/runs?_f=rows", headers=known).content

    before = requested("elsewhere.5")
    # This process does not know of the change yet, and the other one does.
    run.name = "renamed"
    run.save(update_fields=["name"])

    assert b"renamed" not in before
    assert b"renamed" in requested("elsewhere.6")


def test_a_user_who_lost_a_role_gets_no_shared_rendering_of_it():
    create_user(name="ada", password=PASSWORD, roles=["admin"])
    make_world("alder")
    create_group(name="team", roles=["viewer:deployment:alder-flow/alder-daily"])
    client = Asker(key_of(create_user(name="carol", groups=["team"])))
    asked = {"path": "/runs?_f=rows", "headers": {"orion-live": hub_is_at()}}
    before = client.get(**asked)
    set_roles(name="team", roles=["viewer:tag:another"])

    after = client.get(**asked)

    assert (before.status_code, b"alder-run" in before.content) == (200, True)
    assert (after.status_code, b"alder-run" in after.content) == (200, False)


def test_tabs_that_share_a_part_with_a_form_have_each_a_token_of_their_own(django_assert_num_queries):
    pages._shared.clear()
    run = make_run(state="RUNNING")
    place = hub_is_at()
    people = [Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True) for _ in range(2)]
    path, asked = f"/runs/{run.id}?_f=actions", {"orion-live": place}

    first = people[0].get(path, headers=asked).content.decode()
    with django_assert_num_queries(0):
        second = people[1].get(path, headers=asked).content.decode()

    tokens = [re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page)[0] for page in (first, second)]
    assert tokens[0] != tokens[1]
    assert first.replace(tokens[0], "") == second.replace(tokens[1], "")
    cancel = f"/runs/{run.id}/cancel"
    assert people[1].post(cancel, {"csrfmiddlewaretoken": tokens[0]}).status_code == 403
    assert people[1].post(cancel, {"csrfmiddlewaretoken": tokens[1]}).status_code == 302


def test_shared_renderings_are_few(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "MOST_SHARED", 3)
    for number in range(9):
        browser.get(f"/runs?_f=rows&q={number}", headers={"orion-live": hub_is_at()})

    assert len(pages._shared) == 3


def test_a_page_names_the_position_from_which_its_socket_continues(browser: Client):
    body = re.search(r"<body[^>]*>", browser.get("/runs").content.decode())

    assert body
    assert re.search(r'data-live-socket="/live" data-live-place="[0-9a-f]+\.\d+"', body[0])


def test_each_row_and_line_can_be_found_again(browser: Client):
    run = make_run(state="RUNNING")
    task = make_task_run(flow_run=run)
    add_lines(run, "hello")

    assert f'id="task-{task.id}"' in browser.get(f"/runs/{run.id}?tab=tasks").content.decode()
    log = browser.get(f"/runs/{run.id}?tab=logs").content.decode()
    assert re.search(r'<li id="line-[0-9a-f-]{36}"\s+class="\w+"\s+data-at="[^"]+~[0-9a-f-]{36}"', log)
    assert "data-live-append" in log


def test_the_lines_after_one_are_asked_for_by_its_place(browser: Client):
    run = make_run(state="RUNNING")
    add_lines(run, "one", "two", "three")
    places = re.findall(r'data-at="([^"]+)"', browser.get(f"/runs/{run.id}?tab=logs").content.decode())

    part = browser.get(f"/runs/{run.id}", {"tab": "logs", "_f": "tab", "after": places[0]}).content.decode()

    assert re.findall(r'data-at="([^"]+)"', part) == places[1:]


def test_the_title_names_the_state(browser: Client):
    run = make_run("brave-otter", state="FAILED")

    assert "<title>Failed · brave-otter · etl · Orion</title>" in browser.get(f"/runs/{run.id}").content.decode()


# --- the tag ---


def drawn(text: str, query: str = "") -> str:
    request = HttpRequest()
    request.GET = type(request.GET)(query)
    return Template("{% load live %}" + text).render(Context({"request": request, "id": "<1>", "value": 7}))


def test_topics_are_filled_in_and_options_are_attributes():
    part = drawn('{% live "a" "run:{0} flow:{1}" id value tag="p" class="c" every=5 still=True %}x{% endlive %}', "q=1")

    assert part == (
        '<p id="live-a" data-live="run:&lt;1&gt; flow:7" data-live-part="a" data-live-from="?q=1" class="c" '
        'data-live-every="5" data-live-still="">x</p>'
    )


def test_a_part_without_topics_is_a_mistake_of_its_author():
    with pytest.raises(Exception, match="live"):
        drawn('{% live "a" %}x{% endlive %}')


def test_a_view_that_answers_otherwise_is_left_alone(rf):
    @pages.live_page
    def moved(request: HttpRequest) -> HttpResponse:
        return HttpResponse("there", status=302)

    answer = moved(rf.get("/somewhere?_f=rows"))

    assert (answer.status_code, answer.has_header(pages.PLACE_HEADER)) == (302, False)


def test_the_tab_that_a_page_opened_stays_its_tab(browser: Client):
    run = make_run(state="RUNNING")

    page = browser.get(f"/runs/{run.id}").content.decode()

    assert 'data-live-part="tab" data-live-from="?tab=logs"' in page
