"""A task run's page."""

from __future__ import annotations

from uuid import uuid4

from django.test import Client

from deployments.models import ConcurrencyLimit
from tests.web.conftest import HOSTILE
from tests.web.rows import add_lines, make_run, make_task_run


def test_the_head_names_the_task_and_links_its_flow_run(browser: Client):
    task = make_task_run("load-0", cache_key="rows-of-november", empirical_policy={"retries": 2})

    page = browser.get(f"/task-runs/{task.id}").content.decode()

    for text in ("load-0", "Completed", "rows-of-november", "1 of 3", f"/runs/{task.flow_run_id}", "etl.load"):
        assert text in page


def test_a_task_run_that_is_not_there_is_not_found(browser: Client):
    assert browser.get(f"/task-runs/{uuid4()}").status_code == 404


def test_a_flow_run_without_a_name_is_called_by_its_id(browser: Client):
    task = make_task_run(flow_run=make_run(""))

    page = browser.get(f"/task-runs/{task.id}")

    assert page.status_code == 200
    assert f">{task.flow_run_id}</a>" in page.content.decode()


def test_a_name_that_reads_like_a_command_cannot_be_copied_as_one(browser: Client):
    tag = "x: orion server stop"
    ConcurrencyLimit.objects.create(tag=tag, concurrency_limit=0)
    task = make_task_run(state="SCHEDULED", tags=[tag])

    page = browser.get(f"/task-runs/{task.id}").content.decode()

    assert "Raise the limit on" in page
    assert 'data-copy="orion' not in page


def test_only_its_own_lines_are_shown(browser: Client):
    task = make_task_run()
    add_lines(task.flow_run, "mine", task_run=task)
    add_lines(task.flow_run, "of the flow")

    page = browser.get(f"/task-runs/{task.id}").content.decode()

    assert "mine" in page
    assert "of the flow" not in page


def test_its_inputs_name_the_runs_they_came_from(browser: Client):
    source = str(uuid4())
    task = make_task_run(task_inputs={"rows": [{"input_type": "task_run", "id": source}]})

    page = browser.get(f"/task-runs/{task.id}?tab=inputs").content.decode()

    assert source in page


def test_a_task_that_ran_a_flow_leads_to_that_run(browser: Client):
    task = make_task_run()
    child = make_run("child-run", parent_task_run=task)

    page = browser.get(f"/task-runs/{task.id}").content.decode()

    assert f"/runs/{child.id}" in page


def test_a_task_run_without_a_flow_run_has_a_page_too(browser: Client):
    task = make_task_run()
    type(task).objects.filter(pk=task.pk).update(flow_run=None)

    assert browser.get(f"/task-runs/{task.id}").status_code == 200


def test_values_of_tasks_are_shown_as_text(browser: Client):
    task = make_task_run(HOSTILE, task_key=HOSTILE, cache_key=HOSTILE, task_inputs={HOSTILE: HOSTILE}, tags=[HOSTILE])

    page = browser.get(f"/task-runs/{task.id}?tab=inputs").content.decode()

    assert HOSTILE not in page


def test_the_page_costs_few_queries(browser: Client, django_assert_max_num_queries):
    task = make_task_run()
    add_lines(task.flow_run, *["line"] * 40, task_run=task)

    with django_assert_max_num_queries(6):
        browser.get(f"/task-runs/{task.id}")
