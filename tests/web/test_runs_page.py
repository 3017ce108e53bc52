"""The list of flow runs."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.test.utils import override_script_prefix
from django.utils import timezone

from deployments.models import Worker, WorkPool
from runs.models import FlowRun, FlowRunState
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, make_flow, make_run, make_task_run

pytestmark = pytest.mark.undivided


def test_a_run_is_shown_with_its_flow_its_state_and_why_it_failed(browser: Client):
    make_run("brave-otter", state="FAILED", message="KeyError: 'customer_id'", tags=["prod"])

    page = browser.get("/runs").content.decode()

    for text in ("brave-otter", "etl", "Failed", "KeyError: &#x27;customer_id&#x27;", "prod", "1m 30s"):
        assert text in page


def test_the_page_without_runs_explains_how_to_make_one(browser: Client):
    page = browser.get("/runs").content.decode()

    assert "No runs yet" in page
    assert "from orionflow import flow, task" in page


def planned(name: str, hours: int, **columns: Any) -> None:
    make_run(name, state="SCHEDULED", at=timezone.now() + timedelta(hours=hours), **columns)


@pytest.mark.parametrize("query", ["", "?state=scheduled,pending,running", "?since=-24h", "?flow=etl", "?q=otter"])
def test_the_list_begins_with_what_has_come_and_not_with_what_is_planned(browser: Client, query: str):
    for hours in range(1, 60):
        planned(f"later-otter-{hours}", hours)
    make_run("brave-otter", state="RUNNING", at=timezone.now() - timedelta(hours=1))
    make_run("late-otter", state="SCHEDULED", at=timezone.now() - timedelta(hours=2))
    make_run("early-otter", state="RUNNING", at=timezone.now() + timedelta(hours=3))

    names = [run.name for run in browser.get(f"/runs{query}").context["found"].page.rows]

    assert names == ["early-otter", "brave-otter", "late-otter"]


def test_planned_runs_are_counted_and_shown_when_asked_for(browser: Client):
    make_run("brave-otter")
    planned("later-otter", 1)
    planned("other-otter", 2, flow=make_flow("train"))

    page = browser.get("/runs?flow=train")
    there = browser.get("/runs?flow=train&state=planned")

    assert "Planned" in page.content.decode()
    assert 'href="?flow=train&amp;state=planned"' in page.content.decode()
    assert [run.name for run in there.context["found"].page.rows] == ["other-otter"]


def test_the_page_with_planned_runs_only_has_a_note(browser: Client):
    planned("later-otter", 1)

    page = browser.get("/runs").content.decode()

    assert "No run has started yet" in page
    assert "Show planned runs" in page


def test_a_filter_without_hits_offers_the_way_back(browser: Client):
    make_run()

    page = browser.get("/runs?q=nobody").content.decode()

    assert "No run matches" in page
    assert "Remove the filter query" in page


def test_a_list_without_hits_says_which_filter_to_remove(browser: Client, django_assert_max_num_queries):
    for number in range(3):
        make_run(f"brave-otter-{number}", state="FAILED", flow=make_flow("train"), tags=["gpu"])
    make_run("quiet-heron", tags=["prod"])

    with django_assert_max_num_queries(12):
        page = browser.get("/runs?state=failed&flow=train&tag=prod&q=otter+dur<1h+since:2020-01-01")

    without = page.context["without"]
    assert [(one.words, str(one.count)) for one in without[:2]] == [("tag prod", "3"), ("state failed", "0")]
    for one in without:
        assert len(browser.get(f"/runs{one.address}").context["found"].page.rows) == one.count.number
    assert "none either" in page.content.decode()


def test_a_count_without_a_filter_says_where_its_search_ended(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.selectors.without.LOOKED_AT", 2)
    for number in range(3):
        make_run(f"brave-otter-{number}", state="FAILED", at=NOON + timedelta(seconds=number), tags=["gpu"])
    make_run("quiet-heron", at=NOON + timedelta(hours=1))

    page = browser.get("/runs?tag=gpu&q=dur<1s").content.decode()

    assert "Without <b>dur &lt;1s</b></a>: none so far" in page
    assert "Without <b>tag gpu</b></a>: none so far" in page


@pytest.mark.parametrize(
    "query",
    ["state=failed,crashed", "state=FAILED", "flow=train", "tag=gpu", "q=OTTER", "since=-24h"],
)
def test_each_filter_keeps_what_matches_and_nothing_else(browser: Client, query: str):
    now = timezone.now()
    make_run("brave-otter", state="FAILED", flow=make_flow("train"), tags=["gpu"], at=now)
    make_run("quiet-heron", tags=["gpus", "cpu"], at=now - timedelta(days=2))

    page = browser.get(f"/runs?{query}").content.decode()

    assert "brave-otter" in page
    assert "quiet-heron" not in page


def test_unreadable_parts_of_a_filter_are_reported_and_ignored(browser: Client):
    make_run()

    page = browser.get("/runs?state=broken&since=yesterday").content.decode()

    assert "There is no state &#x27;broken&#x27;" in page
    assert "is not a time to look back" in page
    assert "brave-otter" in page


def test_older_runs_follow_on_the_next_page_and_none_is_lost_at_equal_times(browser: Client):
    for place in range(120):
        make_run(f"run-{place:03}", at=NOON - timedelta(minutes=place // 40))

    seen = [run.name for run in all_rows(browser, "/runs")]

    assert len(seen) == 120
    assert len(set(seen)) == 120


def test_runs_of_several_states_come_in_one_order_and_none_is_lost(browser: Client):
    for place in range(130):
        state = ("FAILED", "CRASHED", "COMPLETED")[place % 3]
        make_run(f"run-{place:03}", state=state, at=NOON - timedelta(minutes=place // 5))

    rows = all_rows(browser, "/runs?state=failed,crashed")

    assert {run.state_type for run in rows} == {"FAILED", "CRASHED"}
    assert [run.pk for run in rows] == [run.pk for run in sorted(set(rows), key=place_of, reverse=True)]
    assert len(rows) == 87


def test_a_search_reads_a_limited_number_of_runs_and_shows_how_far_it_came(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.pages.selectors.runs.SEARCHED", 10)
    for place in range(45):
        make_run(f"run-{place:02}", tags=["rare"] if place % 20 == 0 else [], at=NOON - timedelta(minutes=place))

    first = browser.get("/runs?tag=rare").content.decode()
    nothing = browser.get("/runs?tag=never").content.decode()
    rows = all_rows(browser, "/runs?tag=rare")

    assert "Look further back" in first
    assert "No run matches so far" in nothing
    assert [run.name for run in rows] == ["run-00", "run-20", "run-40"]


@pytest.mark.parametrize("path", ["/runs", "/task-runs"])
def test_a_search_in_large_parameters_reads_a_limited_number_of_bytes(
    browser: Client, monkeypatch: pytest.MonkeyPatch, path: str
):
    monkeypatch.setattr("runs.pages.selectors.reach.BYTES_SEARCHED", 4_000)
    for place in range(15):
        at = NOON - timedelta(minutes=place)
        run = make_run(f"run-{place:02}", at=at, parameters={"n": place % 7, "text": "x" * 500})
        make_task_run(f"run-{place:02}", flow_run=run, at=at)

    first = browser.get(f"{path}?q=param.n=0").content.decode()
    rows = all_rows(browser, f"{path}?q=param.n=0")
    nothing = browser.get(f"{path}?q=param.n=9+-tag:x").context["without"]

    assert "because the parameters are large" in first
    assert [run.name for run in rows] == ["run-00", "run-07", "run-14"]
    assert sorted(str(one.count) for one in nothing) == ["0+", "15"]


def all_rows(browser: Client, address: str) -> list[Any]:
    """Collect the rows of all pages, following each link to the next one."""
    rows: list[Any] = []
    path, after = address, address
    while after:
        answer = browser.get(after)
        rows += answer.context["found"].page.rows
        after = path.partition("?")[0] + answer.context["next"] if answer.context["next"] else ""
    return rows


def place_of(run: Any) -> Any:
    return run.expected_start_time, run.pk


def test_a_cursor_that_cannot_be_read_shows_the_first_page(browser: Client):
    make_run()

    answer = browser.get("/runs?after=rubbish")

    assert "brave-otter" in answer.content.decode()


def test_newest_keeps_the_filter(browser: Client):
    run = make_task_run(state="FAILED", flow_run=make_run(state="FAILED"))
    after = urlencode({"state": "failed", "after": f"{(NOON + timedelta(hours=1)).isoformat()}~{run.pk}"})

    pages = [browser.get(f"/{kind}?{after}").content.decode() for kind in ("runs", "task-runs")]

    assert [page for page in pages if 'href="?state=failed">Newest</a>' not in page] == []


def test_names_of_others_are_text_and_not_markup(browser: Client):
    make_run(HOSTILE, state="FAILED", message=HOSTILE, tags=[HOSTILE], flow=make_flow(HOSTILE))

    page = browser.get("/runs").content.decode()

    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_a_full_page_costs_as_many_queries_as_a_short_one(browser: Client, django_assert_num_queries):
    for place in range(60):
        make_run(f"run-{place}", state="FAILED", message="no", flow=make_flow(f"flow-{place}"))

    with django_assert_num_queries(
        8
    ):  # what has come, what was taken up early, reasons, both counts, numbers of states, views and their numbers
        browser.get("/runs")


def test_every_address_of_the_page_lies_below_the_base_path(browser: Client):
    make_run()

    with override_script_prefix("/orion/"):
        page = browser.get("/runs").content.decode()

    assert 'href="/orion/runs' in page
    assert 'href="/runs' not in page


def names_of(browser: Client, query: str) -> list[str]:
    return sorted(run.name for run in browser.get(f"/runs?{query}").context["found"].page.rows)


# As many as an address can hold.
W3 = "01890000-0000-7000-8000-000000000003"
MANY_TAGS = " ".join(f"-tag:t{number}" for number in range(1200)) + " -tag:test"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state:failed", ["bad", "slow"]),
        ("state:timed-out", ["slow"]),
        ("state:late", ["late"]),
        ("state:failed,late", ["bad", "late", "slow"]),
        ("-state:failed,completed", ["late"]),
        ("flow:train", ["slow"]),
        ("-flow:train state:failed", ["bad"]),
        ("tag:test", ["good"]),
        ("-tag:test -state:scheduled", ["bad", "slow"]),
        ("-tag:test -tag:other", ["bad", "late", "slow"]),
        (MANY_TAGS, ["bad", "late", "slow"]),
        ("dur>1m", ["slow"]),
        ("dur<30s", ["bad", "good"]),
        ("dur>5s dur<1m oo", ["good"]),
        ("since:-1h", ["good", "late"]),
        ("until:-1h", ["bad", "slow"]),
        ("agent:w3", ["bad", "slow"]),
        (f"worker:{W3}", ["bad", "slow"]),
        ("param.customer=7 worker:w3", ["bad"]),
        ("param.customer=7", ["bad", "good"]),
        ("param.customer='\"7\"'", ["good"]),
        ("param.in.deep=true", ["late"]),
        ("param.in.list.1=b", ["late"]),
        ("param.customer=null", ["slow"]),
        ("param.limits.2024=5", ["good"]),
        ("param.limits.rows.0.1.0=x", ["good"]),
        ("param.2024=5", ["slow"]),
        ("param.0.0.0.0.0.0.0.0.0.0=5", []),
        ("param.customer=8", []),
        ("param.99999999999999999999.it's=1e400", []),
        ("name:a=b", []),
        ("name:oo", ["good"]),
    ],
)
def test_the_query_box_filters(browser: Client, query: str, found: list[str]):
    now = timezone.now()
    make_run("bad", state="FAILED", at=now - timedelta(hours=2))
    make_run("slow", state="FAILED", state_name="TimedOut", flow=make_flow("train"), at=now - timedelta(hours=3))
    make_run("good", tags=["test"], at=now - timedelta(minutes=2))
    make_run("late", state="SCHEDULED", state_name="Late", at=now - timedelta(minutes=1))
    given: dict[str, Any] = {
        "bad": {"customer": 7},
        "good": {"customer": "7", "limits": {"2024": 5, "rows": [[1, {"0": "x"}]]}},
        "slow": {"customer": None, "2024": 5},
        "late": {"in": {"deep": True, "list": ["a", "b"]}},
    }
    for name, parameters in given.items():
        FlowRun.objects.filter(name=name).update(parameters=parameters)
    Worker.objects.create(pk=W3, name="w3", work_pool=WorkPool.objects.create(name="pool"))
    FlowRunState.objects.filter(flow_run__name__in=["bad", "slow"], type="PENDING").update(author="agent w3")
    for name, seconds in {"bad": 1, "slow": 90, "good": 10}.items():
        FlowRun.objects.filter(name=name).update(total_run_time=timedelta(seconds=seconds))

    assert names_of(browser, urlencode({"q": query})) == found


def test_parameters_are_found_by_names_in_any_script(browser: Client):
    """SQLite compares names as they are spelled in the stored text, and there are two ways to spell them."""
    made = {"flow_id": str(make_flow().pk), "name": "by-request", "parameters": {"größe": {"länge": 5}}}
    assert browser.post("/api/flow_runs/", made, "application/json").status_code == 201
    make_run("by-model", parameters={"größe": {"länge": 5}})

    assert set(names_of(browser, urlencode({"q": "param.größe.länge=5"}))) == {"by-request", "by-model"}
    assert names_of(browser, urlencode({"q": "param.größe.länge=6"})) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("state:broken", "There is no state"),
        ("dur>long", "is not a duration"),
        ("size:3", "write name:size:3"),
        ("customer=7", "Did you mean param.customer=7?"),
        ("param:customer=7", "Did you mean param.customer=7?"),
        ("params.customer=7", "Did you mean param.customer=7?"),
        ("stat:failed", "Did you mean state:failed?"),
        ("tag=prod", "Did you mean tag:prod?"),
        ("dur=10m", "Write a duration as"),
        ("-agent:w3", "Only state, flow and tag can be excluded"),
        ("param.customer", "has no value; write it as param.customer=7"),
        ("param.customer=", "names nothing"),
        ("param..x=7", "is not the name of a parameter"),
        ("'param.a\"b=7'", "cannot be looked for"),
        ("param.customer=[7]", "cannot be compared"),
        ("flow:", "names nothing"),
        ("-state:late", "cannot be excluded"),
        ("since:yesterday", "is not a time to look back"),
    ],
)
def test_an_unreadable_query_is_explained(browser: Client, query: str, problem: str):
    answer = browser.get(f"/runs?{urlencode({'q': query})}")

    assert any(problem in one for one in answer.context["requested"].problems)
    assert problem in unescape(answer.content.decode())


def test_each_term_of_a_query_is_a_chip_that_is_removed_alone(browser: Client):
    chips = (
        browser.get(f"/runs?{urlencode({'q': 'brave param.customer=7 -tag:test otter'})}").context["requested"].chips
    )

    assert [(chip.label, chip.value) for chip in chips] == [
        ("query", "brave otter"),
        ("param.customer", "7"),
        ("-tag", "test"),
    ]
    assert chips[1].without == f"?{urlencode({'q': 'brave -tag:test otter'})}"


def choices_of(answer: Any) -> dict[str, int]:
    return {choice.words: choice.count.number for choice in answer.context["choices"]}


def test_states_are_choices_with_their_numbers_which_their_lists_have(browser: Client):
    now = timezone.now()
    due = now - timedelta(minutes=1)
    make_run("bad", state="FAILED", at=due)
    make_run("worse", state="CRASHED", at=due)
    make_run("late", state="SCHEDULED", state_name="Late", at=due, next_scheduled_start_time=due)
    make_run("asking", state="PAUSED", at=due)

    answer = browser.get("/runs?since=-1h")

    numbers = choices_of(answer)
    assert numbers == {"Failed": 2, "Running": 0, "Waiting": 1, "Late": 1, "Paused": 1, "Completed": 0}
    for choice in answer.context["choices"]:
        listed = browser.get(f"/runs{choice.address}").context["found"].page.rows
        assert len(listed) == choice.count.number, choice.words


def test_the_chosen_state_leads_back_to_all(browser: Client):
    make_run("bad", state="FAILED")

    choices = browser.get("/runs?state=failed,crashed&flow=etl").context["choices"]

    assert [choice.address for choice in choices if choice.is_chosen] == ["?flow=etl"]


@pytest.mark.parametrize("address", ["/search", "/runs"])
def test_a_pasted_id_opens_what_it_names(browser: Client, address: str):
    run = make_run()
    texts = {
        f"/runs/{run.pk}": str(run.pk),
        f"/flows/{run.flow_id}": f"see {run.flow_id}, please",
        f"/runs/{run.pk}?": f"http://127.0.0.1:4200/runs/{run.pk}?tab=logs",
    }

    for page, text in texts.items():
        assert browser.get(address, {"q": text})["location"] == page.rstrip("?")


def test_a_planned_run_is_marked_once_as_planned(browser: Client):
    make_run("later", state="SCHEDULED", message="Flow run scheduled", at=timezone.now() + timedelta(hours=1))

    assert "Flow run scheduled" not in browser.get("/runs?state=scheduled").content.decode()


def test_the_form_keeps_what_a_link_has_chosen(browser: Client):
    run = make_run()

    page = browser.get(f"/runs?id={run.pk}").content.decode()

    assert f'<input type="hidden" name="id" value="{run.pk}">' in page


def test_the_plot_shows_the_runs_of_the_list_by_start_and_duration(browser: Client, django_assert_max_num_queries):
    make_run("short", at=NOON, total_run_time=timedelta(milliseconds=20))
    make_run("long", at=NOON + timedelta(hours=4), total_run_time=timedelta(hours=20), state="FAILED")
    for hours in range(1, 4):
        make_run(f"run-{hours}", at=NOON + timedelta(hours=hours), state="RUNNING")
    make_run("planned", at=NOON, state="SCHEDULED")

    with django_assert_max_num_queries(12):
        answer = browser.get("/runs")

    plot = answer.context["plot"]
    assert {dot.run.name for dot in plot.dots} == {"short", "long", "run-1", "run-2", "run-3"}
    assert [words for _, words in plot.ticks][:2] == ["100 ms", "1 s"]
    assert all(0 < height < plot.height for height, _ in plot.ticks)


def test_few_runs_have_no_plot(browser: Client):
    make_run()

    answer = browser.get("/runs")

    assert answer.context["plot"] is None
    assert 'class="plot"' not in answer.content.decode()
