"""A failed run's page names the task that raised, the line of code, who else failed by it, the last good run."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from runs.models import Environment, FlowRun, FlowRunState, Log, TaskRun
from runs.why.selectors.guilt import guilt_of
from tests.web.deployments import make_deployment
from tests.web.rows import NOON, make_flow, make_run, make_task_run

TRACEBACK = """The task raised an exception:
Traceback (most recent call last):
  File "/home/ada/flows/etl/steps.py", line 20, in load
    return row["customer_id"]
           ~~~^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/site-packages/pandas/core.py", line 99, in get
    raise KeyError(key)
KeyError: 'customer_id'"""
WORDS = "KeyError: 'customer_id'"


def failed_run(name: str = "brave-otter", **columns):
    return make_run(name, state="FAILED", message=f"The flow raised {WORDS}", **columns)


def failed_task(run, name: str = "load-0", **columns):
    return make_task_run(name, flow_run=run, state="FAILED", message=f"The task raised {WORDS}", **columns)


def log_traceback(task_run) -> None:
    line = {"name": "orion.task_runs", "level": 40, "message": TRACEBACK, "timestamp": NOON}
    Log.objects.create(flow_run_id=task_run.flow_run_id, task_run_id=task_run.id, **line)


def page_of(browser: Client, run) -> str:
    return browser.get(f"/runs/{run.id}").content.decode()


def test_the_task_that_raised_is_named_with_the_line_of_the_users_own_code(browser: Client):
    run = failed_run()
    make_task_run("extract-0", flow_run=run)
    task = failed_task(run, run_count=3)
    log_traceback(task)

    page = page_of(browser, run)

    assert f'<a href="/runs/{run.id}' not in page.split("cause")[0]
    assert f'<a href="/task-runs/{task.id}">load-0</a>' in page
    assert "KeyError: &#x27;customer_id&#x27;" in page
    assert "etl/steps.py:20" in page
    assert "return row[&quot;customer_id&quot;]" in page
    assert "core.py:99" not in page
    assert "attempt 3, and the last" in page
    assert f"orion replay {run.id}" in page


def test_of_several_failed_tasks_the_one_is_named_whose_error_the_flow_ended_with(browser: Client):
    run = failed_run()
    make_task_run("first-0", flow_run=run, state="FAILED", message="The task raised ValueError: handled")
    failed_task(run, at=NOON + timedelta(seconds=5))

    assert "load-0</a>\n    raised" in page_of(browser, run)


def test_the_cause_is_followed_through_subflows(browser: Client):
    outer = failed_run("outer-run")
    placeholder = failed_task(outer, "inner-0")
    inner = failed_run("inner-run", flow=make_flow("inner"), parent_task_run=placeholder)
    log_traceback(failed_task(inner, "load-7"))

    page = page_of(browser, outer)

    assert f'<a href="/runs/{inner.id}">inner › inner-run</a> ▸' in page
    assert "load-7</a>" in page
    assert "etl/steps.py:20" in page


def test_a_cause_far_below_costs_no_more_queries(browser: Client, django_assert_max_num_queries):
    # Each level has an error of its own, and beside it another subflow that failed later.
    outer = inner = make_run("outer-run", state="FAILED", message="The flow raised Outer: 0")
    for depth in range(1, 8):
        first, later = (
            make_task_run(
                f"call-{seconds}",
                flow_run=inner,
                state="FAILED",
                message=f"Deep: {depth}",
                end_time=NOON + timedelta(seconds=seconds),
            )
            for seconds in (10, 20)
        )
        make_run(f"other-{depth}", state="FAILED", parent_task_run=later)
        inner = make_run(f"inner-{depth}", state="FAILED", parent_task_run=first)
    guilty = failed_task(inner, "load-7")
    log_traceback(guilty)

    with django_assert_max_num_queries(12):
        page = page_of(browser, outer)

    assert f'<a href="/runs/{inner.id}">etl › inner-7</a>' in page
    assert f'<a href="/task-runs/{guilty.id}">load-7</a>' in page


def test_the_causes_of_many_failures_are_all_found_far_below(db, django_assert_max_num_queries):
    flow = make_flow("etl")
    roots = outer = FlowRun.objects.bulk_create(
        FlowRun(flow=flow, name=f"outer-{number}", state_type="FAILED") for number in range(20)
    )
    for depth in range(7):
        tasks = TaskRun.objects.bulk_create(
            TaskRun(flow_run=run, name=f"call-{depth}", task_key="call", dynamic_key="0", state_type="FAILED")
            for run in outer
        )
        if depth < 6:
            outer = FlowRun.objects.bulk_create(
                FlowRun(flow=flow, name="inner", state_type="FAILED", parent_task_run=task) for task in tasks
            )

    with django_assert_max_num_queries(3):
        found = guilt_of({run.id: None for run in roots})

    assert [len(one.path) for one in found.values()] == [6] * 20
    assert {one.task_run.name for one in found.values() if one.task_run} == {"call-6"}


def test_runs_with_the_same_error_are_counted_and_listed(browser: Client):
    run = failed_run()
    failed_task(run)
    for number in range(3):
        failed_run(f"other-{number}", at=NOON - timedelta(hours=number + 1))
    failed_run("too-old", at=NOON - timedelta(days=2))
    make_run("of-another-kind", state="FAILED", message="The flow raised ValueError: 1")

    page = page_of(browser, run)

    assert "3 other runs failed with the same error" in page
    assert "the first was" in page
    assert "other-2" in page
    assert "too-old" not in page
    assert "of-another-kind" not in page


def test_subflows_are_not_counted_beside_the_parents_that_failed_with_them(browser: Client):
    run, other = failed_run(), failed_run("other", at=NOON - timedelta(hours=1))
    inner = [failed_run(f"inner-{one.name}", parent_task_run=failed_task(one)) for one in (run, other)]
    failed_task(inner[0])

    assert "1 other run failed with the same error" in page_of(browser, run)
    assert "1 other run failed with the same error" in page_of(browser, inner[0])


def test_the_last_good_run_before_it_is_linked(browser: Client):
    run = failed_run()
    failed_task(run)
    good = make_run("good", at=NOON - timedelta(hours=1))
    make_run("older-good", at=NOON - timedelta(hours=2))
    make_run("later-good", at=NOON + timedelta(hours=2))

    page = page_of(browser, run)
    assert f'<a href="/runs/{good.id}">Worked <time' in page
    assert f'href="/runs/{good.id}..{run.id}">Compare with good</a>' in page


def test_a_flow_that_raises_without_a_task_keeps_its_own_message(browser: Client):
    page = page_of(browser, failed_run())

    assert "The flow raised KeyError" in page
    assert "other run" not in page


def test_the_title_shows_the_state_of_the_run(browser: Client):
    assert "<title>Failed · brave-otter · etl · Orion</title>" in page_of(browser, failed_run())


@pytest.mark.parametrize("tasks", [1, 60])
def test_the_page_takes_a_constant_number_of_queries_for_any_failure(
    browser: Client, tasks: int, django_assert_max_num_queries
):
    flow = make_flow("etl")
    make_run("worked-before", flow=flow, at=NOON - timedelta(hours=1))
    run = failed_run(flow=flow)
    for number in range(tasks):
        log_traceback(failed_task(run, f"load-{number}"))
        failed_run(f"other-{number}", at=timezone.now())

    with django_assert_max_num_queries(12):
        page_of(browser, run)


def test_the_page_of_a_run_of_a_deployment_takes_as_few_queries_with_all_its_parts(
    browser: Client, django_assert_max_num_queries
):
    deployment = make_deployment(flow="etl")
    mine = {"flow": deployment.flow, "deployment_id": deployment.pk, "run_count": 2}
    made = [
        Environment.objects.create(id=UUID(int=number), python=f"3.{number}", platform="Linux") for number in (12, 13)
    ]
    make_run("worked-before", at=NOON - timedelta(hours=1), environment_id=made[0].pk, **mine)
    run = failed_run(environment_id=made[1].pk, **mine)
    FlowRunState.objects.filter(flow_run=run, type="PENDING").update(author="agent w1")
    log_traceback(failed_task(run))

    with django_assert_max_num_queries(12):
        page = page_of(browser, run)

    assert ">w1</a>" in page


def test_the_first_page_and_the_runs_own_name_the_same_task(browser: Client):
    run = failed_run(at=timezone.now())
    make_task_run("went-first", flow_run=run, state="FAILED", message="The task raised OSError: disk full")
    failed_task(run, "raised-it", at=NOON + timedelta(minutes=1))

    on_first_page = browser.get("/").content.decode()

    assert "in raised-it" in on_first_page
    assert browser.get(f"/runs/{run.id}").context["failure"].cause.task_run.name == "raised-it"
