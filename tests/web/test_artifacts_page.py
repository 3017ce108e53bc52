"""Artifacts in the pages: the newest of each key, and one with its history."""

from __future__ import annotations

from uuid import uuid4

from django.test import Client

from tests.factories import later, make_artifact
from tests.web.conftest import HOSTILE
from tests.web.rows import make_run, make_task_run


def test_the_newest_artifact_of_each_key_is_listed(browser: Client):
    make_artifact("report", data="old")
    newest = make_artifact("report", data="new", now=later(60), description="What came in")
    make_artifact("table", type="table", data=[{"a": 1}])

    answer = browser.get("/artifacts")

    assert [one.key for one in answer.context["found"].rows] == ["report", "table"]
    page = answer.content.decode()
    assert f"/artifacts/{newest.pk}" in page
    assert "What came in" in page


def test_an_artifact_is_rendered_with_its_run_and_history(browser: Client):
    run = make_run()
    task = make_task_run(flow_run=run)
    older = make_artifact("report", data="# Old")
    artifact = make_artifact(
        "report", data="# New\n\n- **one**", flow_run_id=run.pk, task_run_id=task.pk, now=later(60)
    )

    page = browser.get(f"/artifacts/{artifact.pk}").content.decode()

    for text in ("<strong>one</strong>", f"/runs/{run.pk}", f"/task-runs/{task.pk}", f"/artifacts/{older.pk}"):
        assert text in page


def test_keys_are_found_by_a_part_and_paged(browser: Client):
    for place in range(130):
        make_artifact(f"key-{place:03}", data="x")

    first = browser.get("/artifacts")
    second = browser.get("/artifacts" + first.context["next"])
    names = [one.key for answer in (first, second) for one in answer.context["found"].rows]

    assert names == [f"key-{place:03}" for place in range(130)]
    assert [one.key for one in browser.get("/artifacts?q=Y-007").context["found"].rows] == ["key-007"]


def test_the_page_without_artifacts_explains_how_to_make_one(browser: Client):
    assert "create_markdown_artifact" in browser.get("/artifacts").content.decode()
    assert browser.get(f"/artifacts/{uuid4()}").status_code == 404


def test_pages_cost_few_queries_and_what_others_wrote_is_text(browser: Client, django_assert_max_num_queries):
    for place in range(30):
        artifact = make_artifact(f"k{place}", data=HOSTILE, description=HOSTILE)

    with django_assert_max_num_queries(3):
        listed = browser.get("/artifacts").content.decode()
    with django_assert_max_num_queries(4):
        shown = browser.get(f"/artifacts/{artifact.pk}").content.decode()

    assert HOSTILE not in listed + shown
