"""The list of flows, and one flow's page."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.core.states import StateType
from runs.models import FlowRun, TaskRun
from runs.pages.selectors import flow_history
from tests.web.conftest import HOSTILE
from tests.web.deployments import add_run, make_deployment
from tests.web.rows import NOON, make_flow, make_run, make_task_run


def test_a_flow_is_shown_with_its_last_run(browser: Client):
    make_run("older", state="FAILED", at=NOON)
    newest = make_run("newest", state="RUNNING", at=NOON + timedelta(hours=1))

    answer = browser.get("/flows")

    (line,) = answer.context["found"].lines
    assert line.last_run.id == newest.id
    assert "etl" in answer.content.decode()


def test_planned_runs_are_no_last_runs(browser: Client):
    now = timezone.now()
    for hours in range(1, 20):
        make_run(f"later-{hours}", state="SCHEDULED", at=now + timedelta(hours=hours))
    finished = make_run("finished", at=now - timedelta(hours=1))

    (line,) = browser.get("/flows").context["found"].lines
    page = browser.get(f"/flows/{finished.flow_id}")

    found = page.context["found"]
    assert [run.name for run in line.last_runs] == ["finished"]
    assert [run.name for run in found.page.rows] == [run.name for run in found.trend] == ["finished"]
    assert FlowRun.objects.get(pk=found.next_run.pk).name == "later-1"
    assert "Next run" in page.content.decode()


def test_only_the_last_twelve_runs_are_fetched_of_each_flow(browser: Client):
    for name in ("etl", "train"):
        for place in range(20):
            make_run(f"{name}-{place:02}", flow=make_flow(name), at=NOON + timedelta(minutes=place))

    lines = browser.get("/flows").context["found"].lines

    for line in lines:
        assert [run.name for run in line.last_runs] == [f"{line.flow.name}-{place:02}" for place in range(8, 20)]


def test_a_flow_without_runs_is_marked_as_never_run(browser: Client):
    make_flow("rarely")

    page = browser.get("/flows").content.decode()

    assert "never run" in page


def test_the_page_without_flows_explains_how_to_make_one(browser: Client):
    assert "No runs yet" in browser.get("/flows").content.decode()


def test_flows_are_found_by_a_part_of_their_name(browser: Client):
    make_flow("etl-daily")
    make_flow("train")

    page = browser.get("/flows?q=DAILY").content.decode()

    assert "etl-daily" in page
    assert "train" not in page


def test_the_next_page_goes_on_after_the_last_name(browser: Client):
    for place in range(50):
        make_flow(f"flow-{place:02}")

    first = browser.get("/flows")
    second = browser.get("/flows" + first.context["next"])
    names = [line.flow.name for answer in (first, second) for line in answer.context["found"].lines]

    assert names == [f"flow-{place:02}" for place in range(50)]


def test_the_list_costs_the_same_few_queries_for_many_flows(browser: Client, django_assert_num_queries):
    for place in range(40):
        make_run(flow=make_flow(f"flow-{place}"))

    with django_assert_num_queries(4):  # flows, where their last runs begin, those runs, saved views
        browser.get("/flows")


def test_a_flow_has_a_page_with_its_runs_and_how_they_went(browser: Client):
    make_run("good", at=NOON)
    bad = make_run("bad", state="FAILED", at=NOON + timedelta(minutes=1))

    page = browser.get(f"/flows/{bad.flow_id}").content.decode()

    for text in ("good", "bad", "50 %", "1m 30s"):
        assert text in page


def test_the_usual_duration_of_a_flow_is_the_median_of_its_completed_runs(browser: Client):
    for place, seconds in enumerate((60, 80)):
        make_run(f"good-{place}", at=NOON + timedelta(minutes=place), total_run_time=timedelta(seconds=seconds))
    for place, state in enumerate(("FAILED", "CANCELLED")):
        bad = make_run(state, state=state, at=NOON + timedelta(minutes=place), total_run_time=timedelta(seconds=2))

    answer = browser.get(f"/flows/{bad.flow_id}")

    assert answer.context["found"].usual.seconds == 70
    assert "1m 10s" in answer.content.decode()


def test_a_flow_that_is_not_there_is_not_found(browser: Client):
    assert browser.get(f"/flows/{uuid4()}").status_code == 404


def test_a_flow_without_runs_has_a_page(browser: Client):
    page = browser.get(f"/flows/{make_flow().id}").content.decode()

    assert "never run" in page


def test_names_of_others_are_text_and_not_markup(browser: Client):
    run = make_run(HOSTILE, flow=make_flow(HOSTILE, tags=[HOSTILE]))

    pages = [browser.get(address).content.decode() for address in ("/flows", f"/flows/{run.flow_id}")]

    assert all(HOSTILE not in page for page in pages)


def test_the_page_of_a_flow_costs_few_queries(browser: Client, django_assert_num_queries):
    for place in range(70):
        run = make_run(f"run-{place}", state="FAILED", message="no")
    make_task_run(flow_run=run)
    add_run(make_deployment(), ago=timedelta(minutes=1))

    # Flow, runs of the chart, runs of the list, next run, reasons, tasks, deployments and their runs, outcomes.
    with django_assert_num_queries(9):
        browser.get(f"/flows/{run.flow_id}")


def test_runs_that_have_not_started_are_not_counted(browser: Client):
    now = timezone.now()
    make_run("good", at=now - timedelta(hours=3))
    make_run("bad", state="FAILED", at=now - timedelta(hours=2))
    make_run("runs", state="RUNNING", at=now - timedelta(hours=1))
    late = make_run("late", state="SCHEDULED", state_name="Late", at=now - timedelta(minutes=2))

    answer = browser.get(f"/flows/{late.flow_id}")

    page, found = answer.content.decode(), answer.context["found"]
    assert [run.name for run in found.trend] == ["good", "bad", "runs"]
    assert '50 % <span class="muted">of the last 2</span>' in page
    assert "<title>etl, last run running · Orion</title>" in page
    assert 'role="img"' not in page


def test_the_runs_of_a_chart_are_found_beneath_a_backlog_without_reading_it(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flow_history, "RUNS_READ", 4)
    monkeypatch.setattr(flow_history, "DUE_READ", 2)
    now = timezone.now()
    begun = [make_run(state, state=state, at=NOON) for state in ("FAILED", "COMPLETED", "RUNNING")]
    late = {"state": "SCHEDULED", "state_name": "Late", "flow": begun[0].flow}
    for number in range(6):
        make_run(f"late-{number}", **late, at=NOON + timedelta(hours=number + 1))
    make_run("retried", **late | {"state_name": "AwaitingRetry"}, at=now, start_time=NOON)
    make_run("planned", **late, at=now + timedelta(hours=1))

    with CaptureQueriesContext(connection) as queries:
        found = browser.get(f"/flows/{begun[0].flow_id}").context["found"]

    assert {run.name for run in found.trend} == {"FAILED", "COMPLETED", "RUNNING", "retried"}
    assert found.trend[-1].name == "retried"
    if connection.vendor == "sqlite":
        (asked,) = [one["sql"] for one in queries if "flow_version" in one["sql"]]
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + asked)
            plan = [str(row[-1]) for row in cursor.fetchall()]
        read = [line for line in plan if "flow_run_by_flow" in line]
        assert len(read) == len(StateType) + 1
        assert all("flow_run_by_flow_state (flow_id=? AND state_type=?" in line for line in read), plan
        assert [line for line in plan if line.startswith("SCAN runs_")] == []


def test_a_flow_with_late_runs_only_has_a_list_and_no_chart(browser: Client):
    late = make_run("late", state="SCHEDULED", state_name="Late", at=NOON)

    page = browser.get(f"/flows/{late.flow_id}").content.decode()

    assert "late" in page
    assert "<figure" not in page


def test_the_outcomes_of_a_flow_lead_to_lists_of_as_many_runs(browser: Client):
    now = timezone.now()
    for hours, state in ((1, "COMPLETED"), (2, "COMPLETED"), (30, "FAILED"), (31, "CRASHED"), (32, "CANCELLED")):
        run = make_run(f"{state}-{hours}", state=state, at=now - timedelta(hours=hours))
    make_run("other", flow=make_flow("other"), at=now - timedelta(hours=1))
    make_run("long-ago", state="FAILED", at=now - timedelta(days=20))

    for since, failed in (("-24h", 0), ("-7d", 2), ("-30d", 3), ("never", 2)):
        slots = browser.get(f"/flows/{run.flow_id}?since={since}").context["slots"]

        assert sum(slot.outcomes.completed for slot in slots) == 2
        assert sum(slot.outcomes.failed for slot in slots) == failed
        for slot in slots:
            if slot.outcomes.completed:
                assert len(listed_at(browser, slot.completed_address)) == slot.outcomes.completed
            if slot.outcomes.failed:
                assert len(listed_at(browser, slot.failed_address)) == slot.outcomes.failed


def listed_at(browser: Client, address: str) -> list[FlowRun]:
    return list(browser.get(address).context["found"].page.rows)


def test_the_durations_of_a_flow_are_compared_with_those_before(browser: Client):
    for place in range(90):
        run = make_run(at=NOON + timedelta(minutes=place), total_run_time=timedelta(seconds=20 if place < 30 else 30))

    page = browser.get(f"/flows/{run.flow_id}").content.decode()

    assert page.count("▲ 50 % slower") == 2


def test_the_page_of_a_flow_has_its_deployments_and_versions(browser: Client):
    add_run(make_deployment("nightly"), ago=timedelta(hours=2), deployment_version="v1", flow_version="ignored")
    run = add_run(make_deployment("hourly"), "FAILED", ago=timedelta(hours=1), flow_version="v2")
    make_deployment("foreign", flow="other")

    answer = browser.get(f"/flows/{run.flow_id}")

    found = [(one.name, one.runs, one.completed_percent) for one in answer.context["versions"]]
    assert found == [("v2", 1, 0), ("v1", 1, 100)]
    assert [line.deployment.name for line in answer.context["deployments"]] == ["hourly", "nightly"]
    assert 'href="/deployments?flow=etl"' in answer.content.decode()


def test_the_grid_has_the_state_of_each_task_in_the_last_runs(browser: Client):
    first, second = (make_run(name, at=NOON + timedelta(hours=place)) for place, name in enumerate(("one", "two")))
    for place in range(12):
        state = "FAILED" if place == 11 else "COMPLETED"
        make_task_run(f"load-{place}", flow_run=first, state=state, task_key="etl.load", dynamic_key=f"{place:02}")
    make_task_run("save-0", flow_run=second, task_key="etl.save", state="FAILED", at=NOON + timedelta(minutes=2))
    make_task_run("load-0", flow_run=second, task_key="etl.load", at=NOON + timedelta(minutes=1))

    answer = browser.get(f"/flows/{first.flow_id}")

    grid = answer.context["grid"]
    assert [run.name for run in grid.runs] == ["one", "two"]
    assert [(row.name, [cell and cell.state_type for cell in row.cells]) for row in grid.rows] == [
        ("load", ["FAILED", "COMPLETED"]),
        ("save", [None, "FAILED"]),
    ]
    page = answer.content.decode()
    assert "More than 10, among them 10 completed, 1 failed" in page
    assert f'<a href="/runs/{second.pk}?tab=tasks&amp;task=etl.save"><i>1 failed</i></a>' in page


def test_task_runs_without_a_state_are_not_shown_as_completed(browser: Client):
    run = make_run()
    for place in range(7):
        make_task_run(f"load-{place}", flow_run=run, task_key="etl.load", state="COMPLETED")
        make_task_run(f"save-{place}", flow_run=run, task_key="etl.save")
    TaskRun.objects.filter(name__in=["load-0", *(f"save-{place}" for place in range(7))]).update(state_type=None)

    answer = browser.get(f"/flows/{run.flow_id}")
    lines = browser.get(f"/runs/{run.pk}", {"tab": "timeline"}).context["lines"]

    cells = {row.name: row.cells[0] for row in answer.context["grid"].rows}
    assert [cells[name].state_type for name in ("load", "save")] == ["", ""]
    assert cells["load"].by_type == {"COMPLETED": 6, "": 1}
    assert "7 no state" in answer.content.decode()
    assert {one.line.name: one.worst for one in lines} == {"load": "", "save": ""}


def test_a_version_with_a_failure_did_not_complete_entirely(browser: Client):
    failed = make_run(state="FAILED", flow_version="v1")
    columns = {"flow_version": "v1", "state_type": "COMPLETED", "expected_start_time": NOON, "start_time": NOON}
    FlowRun.objects.bulk_create(FlowRun(flow=failed.flow, name="good", **columns) for _ in range(249))

    answer = browser.get(f"/flows/{failed.flow_id}")

    assert [(one.runs, one.completed_percent) for one in answer.context["versions"]] == [(250, 99)]


def test_the_grid_leaves_out_what_is_more_than_it_can_show(browser: Client):
    run = make_run()
    for place in range(45):
        make_task_run(f"t{place}-0", flow_run=run, task_key=f"t{place:02}", at=NOON + timedelta(minutes=place))

    grid = browser.get(f"/flows/{run.flow_id}").context["grid"]

    assert [row.key for row in grid.rows] == [f"t{place:02}" for place in range(30)]
    assert (grid.left_out, grid.is_cut) == (10, True)
