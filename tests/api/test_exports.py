"""A flow run as one HTML file: all of it, nothing that is loaded, nothing that runs, no secret."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256

import pytest

from orionflow.contract.ids import uuid7
from orionflow.contract.masking import known
from runs.models import TaskRun
from tests.factories import make_flow, make_flow_run, make_log, make_state, make_task_run

EVIL = "</style><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>"


def exported(api, run) -> str:
    answer = api.read(f"/flow_runs/{run.pk}/export")
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def failed_run(**fields):
    run = make_flow_run(make_state("FAILED", message="The flow raised ValueError: no luck"), name="calm-fox", **fields)
    make_task_run(make_state("COMPLETED"), flow_run=run, name="extract-0", task_key="extract")
    make_task_run(make_state("FAILED", message="no luck"), flow_run=run, name="load-0", task_key="load")
    make_log("hello from the flow", flow_run=run)
    return run


def test_the_file_has_timeline_tasks_log_why_parameters_and_states(api):
    page = exported(api, failed_run(parameters={"day": "2026-01-01"}))

    for wanted in (
        "calm-fox",
        "extract-0",
        "load-0",
        "no luck",
        "hello from the flow",
        "2026-01-01",
        "Timeline",
        "States",
    ):
        assert wanted in page


def test_nothing_is_loaded_and_nothing_leads_out(api):
    page = exported(api, failed_run())

    addresses = re.findall(r'(?:href|src|action|xlink:href)="([^"]*)"', page)
    assert [one for one in addresses if not one.startswith("#")] == []
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert not re.search(r'\sstyle="', page)


def test_the_policy_allows_its_own_style_and_nothing_else(api):
    page = exported(api, failed_run())

    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_every_icon_that_is_shown_is_in_the_file(api):
    page = exported(api, failed_run())

    used = set(re.findall(r'<use href="#(icon-[a-z-]+)"', page))
    assert used
    assert used == set(re.findall(r'<symbol id="(icon-[a-z-]+)"', page))


def test_hostile_texts_stay_texts(api):
    run = make_flow_run(
        make_state("FAILED", message=EVIL), name=EVIL, parameters={EVIL: EVIL}, tags=[EVIL], flow=make_flow("evil"),
    )  # fmt: skip
    make_task_run(make_state("FAILED", message=EVIL), flow_run=run, name=EVIL)
    make_log(f"{EVIL} /*style*/ <!--icons-->", flow_run=run)

    page = exported(api, run)

    assert page.count("<style>") == page.count("</style>") == 1
    assert "<script" not in page
    assert "<img" not in page


def test_known_secrets_are_masked_even_for_users_who_may_read_them(api):
    known.learn(["canary-in-the-file"])
    try:
        run = failed_run(parameters={"x": "canary-in-the-file"})
        make_log("with canary-in-the-file", flow_run=run)

        assert "canary-in-the-file" not in exported(api, run)
    finally:
        known.forget()


def test_parameters_with_the_name_of_a_secret_are_masked(api):
    page = exported(api, failed_run(parameters={"api_key": "canary-1", "deep": [{"passwords": ["canary-2"]}], "n": 7}))

    assert "canary" not in page
    assert "7" in page


def test_a_run_without_tasks_and_log_has_a_file_too(api):
    page = exported(api, make_flow_run(make_state("SCHEDULED")))

    assert "The flow has called no task." in page
    assert "Nothing was logged." in page


def test_the_number_of_queries_does_not_grow_with_the_run(api, django_assert_max_num_queries):
    run = failed_run()
    for number in range(30):
        make_task_run(make_state("COMPLETED"), flow_run=run, name=f"more-{number}", task_key=f"key-{number % 7}")
        make_log(f"line {number}", flow_run=run)

    with django_assert_max_num_queries(16):
        exported(api, run)


def test_a_long_log_keeps_its_beginning_and_its_end(api, monkeypatch):
    monkeypatch.setattr("runs.exports.selectors.MOST_LINES", 20)
    run = make_flow_run("RUNNING")
    for number in range(60):
        make_log(f"line-{number:03d}", flow_run=run)

    page = exported(api, run)

    assert "line-000" in page
    assert "line-059" in page
    assert "line-030" not in page
    assert "not in this file" in page


def test_a_missing_run_is_not_found(api):
    assert api.read(f"/flow_runs/{uuid7()}/export").status_code == 404


@pytest.mark.long
def test_the_file_of_a_thousand_tasks_is_smaller_than_two_megabytes(api):
    from runs.models import Log, TaskRun

    run = failed_run()
    pattern = TaskRun.objects.filter(flow_run=run).first()
    rows = []
    for number in range(1000):
        row = TaskRun.objects.get(pk=pattern.pk)
        row.pk, row.name, row.dynamic_key = uuid7(), f"transform-{number}", f"n{number}"
        rows.append(row)
    TaskRun.objects.bulk_create(rows)
    line = Log.objects.filter(flow_run_id=run.pk).first()
    Log.objects.bulk_create(
        Log(
            id=uuid7(),
            name=line.name,
            level=20,
            timestamp=line.timestamp,
            flow_run_id=run.pk,
            message=f"{number} " + "x" * 400,
        )
        for number in range(10_000)
    )

    assert len(exported(api, run)) < 2_000_000


def test_a_task_with_many_runs_is_a_band(api):
    run = failed_run()
    begin, second = run.start_time or run.created, timedelta(seconds=1)
    TaskRun.objects.bulk_create(
        TaskRun(
            flow_run=run,
            name=f"map-{number}",
            task_key="etl.map",
            dynamic_key=str(number),
            state_type="COMPLETED",
            expected_start_time=begin,
            start_time=begin + number // 10 * second,
            end_time=begin + (number // 10 + 1) * second,
            total_run_time=second,
        )
        for number in range(60)
    )

    page = exported(api, run)

    assert '<svg class="band"' in page
    assert re.search(r'<path class="work [a-z-]+" d="M', page)
    assert "up to 10 at a time</span>" in page
    assert "how many were at work at a time" in page
    assert '<text x="0.0%"' in page
