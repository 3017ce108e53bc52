"""The admin's lists cost no more than an index gives: search, filters, dates, counts, whatever an address asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deployments.models import WorkQueue
from orion_site.operators import records
from orion_site.operators.groups import GROUPS
from orion_site.operators.records import BoundedAdmin
from runs.models import FlowRun, FlowRunState, Log, TaskRun
from tests.rounds import share
from tests.web.rows import NOON, add_lines, make_flow, make_run, make_task_run
from tests.web.test_admin import address

OURS = [model for model, options in admin.site._registry.items() if isinstance(options, BoundedAdmin)]


def names(answer: Any) -> list[str]:
    return [str(row) for row in answer.context["cl"].result_list]


def test_every_model_is_in_a_group_or_the_system(browser: Client):
    groups = browser.get("/admin/").context["app_list"]

    assert [group["name"] for group in groups] == [group.name for group in GROUPS]
    assert {model["model"] for group in groups for model in group["models"]} == set(admin.site._registry)
    known = {model._meta.label for model in apps.get_models()} | {"django_celery_beat"}
    lists = [label for group in GROUPS for label in group.lists]
    assert [label for label in lists if label not in known and label.split(".")[0] not in known] == []


def test_the_index_counts_what_operators_ask_for_and_leads_there(browser: Client):
    make_run("here", state="RUNNING")
    make_run("there", state="PAUSED")

    page = browser.get("/admin/")
    running = page.context["numbers"]["runs"][0]
    found = browser.get(running.address)

    assert (running.words, str(running.count)) == ("running", "1")
    assert names(found) == ["here"]


def test_the_index_asks_few_questions(browser: Client, django_assert_max_num_queries):
    browser.get("/admin/")

    with django_assert_max_num_queries(5):
        browser.get("/admin/")


def test_a_run_is_found_by_its_id_and_by_a_part_of_its_name(browser: Client):
    run = make_run("brave-otter")
    make_run("calm-fox")

    by_id = browser.get(address(FlowRun), {"q": str(run.pk)})
    by_short_id = browser.get(address(FlowRun), {"q": run.pk.hex})
    by_name = browser.get(address(FlowRun), {"q": "ave-ot"})

    assert names(by_id) == names(by_short_id) == names(by_name) == ["brave-otter"]


def test_durations_are_shown_as_on_pages(browser: Client):
    make_run("ran", total_run_time=timedelta(seconds=13, microseconds=426244))
    make_run("never", state="SCHEDULED", expected_start_time=NOON)

    listed = browser.get("/admin/runs/flowrun/").content.decode()

    assert '<td class="field-time_running">13 s</td>' in listed
    assert '<td class="field-time_running">–</td>' in listed
    assert "0:00:13" not in listed


def test_the_list_of_runs_begins_now_and_has_a_choice_for_what_comes_later(browser: Client):
    later = timezone.now() + timedelta(hours=3)
    planned = make_run("later", state="SCHEDULED", at=later, next_scheduled_start_time=later)
    make_run("come")

    def listed(**asked: str) -> list[str]:
        return names(browser.get(address(FlowRun), asked))

    assert listed() == ["come"]
    assert listed(when="later") == ["later"]
    assert listed(when="any") == ["later", "come"]
    assert listed(state_type__exact="SCHEDULED") == listed(q=str(planned.pk)) == listed(q="late") == ["later"]


def test_names_are_looked_for_among_the_newest_runs(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "REACH", 3)
    for age in range(6):
        make_run(f"run-{age}", at=NOON - timedelta(hours=age))

    answer = browser.get(address(FlowRun), {"q": "run-"})

    assert names(answer) == ["run-0", "run-1", "run-2", "run-3"]


def test_logs_are_found_by_the_id_of_their_run_and_words_find_none(browser: Client):
    task = make_task_run()
    add_lines(task.flow_run, "of the flow run")
    add_lines(task.flow_run, "of the task run", task_run=task)

    assert len(names(browser.get(address(Log), {"q": str(task.flow_run.pk)}))) == 2
    assert names(browser.get(address(Log), {"q": str(task.pk)})) == ["of the task run"]
    assert names(browser.get(address(Log), {"q": "of the"})) == []


def test_states_are_found_by_their_run(browser: Client):
    run = make_run("brave-otter", state="FAILED")
    make_run("calm-fox")

    answer = browser.get(address(FlowRunState), {"q": str(run.pk)})

    assert len(names(answer)) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"expected_start_time__gte": "2026-11-20"}, ["today"]),
        ({"expected_start_time__lt": "2026-11-19"}, ["yesterday"]),
        ({"expected_start_time__gte": "2026-11-19", "expected_start_time__lt": "2026-11-20"}, ["today", "yesterday"]),
        ({"expected_start_time__gte": "2026-11-20T11:59:00+00:00"}, ["today"]),
        ({"expected_start_time__gte": "tomorrow"}, []),
        ({"expected_start_time__gte": "0001-01-01T00:00:00+14:00"}, []),
        ({"expected_start_time__lt": "9999-12-31"}, []),
    ],
)
def test_dates_bound_a_list(browser: Client, asked: dict[str, str], found: list[str]):
    make_run("today", at=NOON)
    make_run("yesterday", at=NOON - timedelta(days=1))

    answer = browser.get(address(FlowRun), asked)

    assert names(answer) == found


@pytest.mark.parametrize("zone", ["America/Lima", "Asia/Tokyo"])
def test_the_first_and_the_last_day_that_there_are_can_be_asked_for(browser: Client, zone: str):
    browser.post("/settings/browser", {"theme": "system", "density": "normal", "zone": zone})
    asked = {"expected_start_time__gte": "0001-01-01T00:00:00+00:00", "expected_start_time__lt": "9999-12-31"}

    assert browser.get(address(FlowRun), asked).status_code == 200
    assert browser.get(address(FlowRun), {"expected_start_time__gte": "0001-01-01"}).status_code == 200


def test_an_unreadable_date_is_reported(browser: Client):
    answer = browser.get(address(FlowRun), {"expected_start_time__gte": "<b>"})

    assert "&#x27;&lt;b&gt;&#x27; is not a date" in answer.content.decode()


def test_filters_of_what_no_index_knows_look_at_the_newest(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "REACH", 1)
    for age in range(4):
        make_task_run(f"task-{age}", state="FAILED", at=NOON - timedelta(hours=age))

    answer = browser.get(address(TaskRun), {"state_type__exact": "FAILED"})

    assert names(answer) == ["task-0", "task-1"]


@pytest.mark.parametrize(
    "query",
    ["name__icontains=x", "parameters__day=1", "flow__name__exact=etl", "o=1", "o=-3.1", "p=999999", "all=", "_facets"],
)
def test_an_address_cannot_ask_for_more_than_the_list_offers(browser: Client, query: str):
    make_run()

    with CaptureQueriesContext(connection) as asked:
        answer = browser.get(f"{address(FlowRun)}?{query}", follow=True)

    assert answer.status_code in {200, 400}
    of_runs = [one["sql"] for one in asked if "FROM" in one["sql"] and "runs_flowrun" in one["sql"]]
    assert not [sql for sql in of_runs if "LIKE" in sql or 'ORDER BY "runs_flowrun"."name"' in sql]


@pytest.mark.undivided
@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_any_words_can_be_searched_for(browser: Client, model: Any):
    words = ["'\"; --", "%", "\\", "\u202e", "x" * 5000, "{", str(uuid4())]

    asked = share(words, OURS.index(model), 7)

    assert [q for q in asked if browser.get(address(model), {"q": q}).status_code != 200] == []


@pytest.mark.undivided
@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_every_filter_can_be_set(browser: Client, model: Any):
    answer = browser.get(address(model))
    links = [
        choice["query_string"]
        for spec in answer.context["cl"].filter_specs
        for choice in spec.choices(answer.context["cl"])
    ]

    asked = share(links, OURS.index(model), 3)

    assert [link for link in asked if browser.get(address(model) + link).status_code != 200] == []


def test_a_count_stops_at_its_bound_and_shows_that(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "CAP", 2)
    for number in range(4):
        make_run(f"run-{number}", at=NOON - timedelta(hours=number))

    page = browser.get(address(FlowRun)).content.decode()

    assert "2+" in page


@pytest.mark.parametrize("model", [FlowRun, TaskRun, FlowRunState, Log])
def test_lists_of_large_tables_read_no_large_columns(browser: Client, model: Any):
    run = make_run(parameters={"secret": "x"}, message="words " * 200)
    make_task_run(flow_run=run)
    add_lines(run, "line " * 500)

    with CaptureQueriesContext(connection) as asked:
        page = browser.get(address(model)).content.decode()

    assert not [one for one in asked if '"runs_flowrun"."parameters"' in one["sql"]]
    assert "line " * 50 not in page
    assert "words " * 50 not in page


def plan(sql: str) -> str:
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with connection.cursor() as cursor:
        cursor.execute(explain + sql)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


LARGE = {"runs_flowrun", "runs_taskrun", "runs_flowrunstate", "runs_taskrunstate", "runs_log", "events_event"}


@pytest.mark.undivided
@pytest.mark.parametrize(
    "path",
    [
        "runs/flowrun/",
        "runs/flowrun/?q=otter",
        "runs/flowrun/?state_type__exact=FAILED",
        "runs/flowrun/?expected_start_time__gte=2026-11-01",
        "runs/flowrun/?q={id}",
        "runs/taskrun/?q=load&state_type__exact=FAILED",
        "runs/flowrunstate/?q={id}",
        "runs/flowrunstate/?type__exact=CRASHED&verdict=REJECT",
        "runs/taskrunstate/?q={id}",
        "runs/log/?q={id}",
        "runs/log/?timestamp__gte=2026-11-01",
        "events/event/?q=orion.flow-run.Failed",
        "events/event/?pending__exact=1",
    ],
)
def test_no_list_sorts_or_reads_a_whole_table(browser: Client, path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "REACH", 0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A table of a few rows is read whole, and that is right.
            cursor.execute("SET LOCAL enable_seqscan = off")
    run = make_task_run().flow_run
    add_lines(run, "line")

    with CaptureQueriesContext(connection) as asked:
        browser.get("/admin/" + path.format(id=run.pk))

    for one in asked:
        tables = {table for table in LARGE if f'FROM "{table}"' in one["sql"]}
        if not tables:
            continue
        lines = plan(one["sql"]).splitlines()
        # By an index in order, or down to a row by its key: never the table itself, and never sorted as a whole.
        scans = [line for line in lines if "SCAN" in line and "USING" not in line and "SCAN (" not in line]
        scans += [line for line in lines if "Seq Scan on runs_" in line or "Seq Scan on events_" in line]
        assert [line for line in scans if any(table in line for table in LARGE)] == [], one["sql"]
        assert [line for line in lines if line == "USE TEMP B-TREE FOR ORDER BY"] == [] or "{id}" in path, one["sql"]


def test_a_row_leads_to_its_page(browser: Client):
    run = make_run("brave-otter", flow=make_flow())

    page = browser.get(address(FlowRun, f"{run.pk}/change/")).content.decode()

    assert f'href="/runs/{run.pk}"' in page
    assert "<h1>Flow run brave-otter</h1>" in page


def test_every_list_with_rows_of_its_own_page_has_the_link():
    assert admin.site._registry[WorkQueue].view_on_site(WorkQueue(id=uuid4())).startswith("/work/queues/")
