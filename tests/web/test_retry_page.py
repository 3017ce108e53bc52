"""The page that says what a retry from a task comes to, and does it; and what pages of runs say of retries."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from runs.models import FlowRun, RunRetry
from runs.retries.services import RetryOptions, report_outcome, retry_from_tasks
from tests.factories import make_flow_run, make_state, state_of
from tests.recorded_runs import RESULT, call, chain, deployed_run, finish
from tests.web.conftest import HOSTILE


@pytest.fixture
def run(db: None) -> FlowRun:
    run = deployed_run(name="brave-otter")
    chain(run, "abcd")
    return finish(run, data=RESULT)


def text_of(page: object) -> str:
    return " ".join(page.content.decode().split())  # type: ignore[attr-defined]


def test_the_page_lists_what_is_reused_and_what_runs_again(
    browser: Client, run: FlowRun, django_assert_max_num_queries
):
    with django_assert_max_num_queries(12):
        page = browser.get(f"/runs/{run.pk}/retry-from?from=c")

    text = text_of(page)
    assert "Retry from c?" in text
    assert "<dt>Results reused</dt>" in text
    assert [call.name for call, _ in page.context["shown"].rows] == ["c-0", "d-0"]
    assert [why for _, why in page.context["shown"].rows] == ["chosen", "takes input from what runs again"]
    reused = browser.get(f"/runs/{run.pk}/retry-from?from=c&show=reused").context["shown"].rows
    assert [call.name for call, _ in reused] == ["a-0", "b-0"]
    assert state_of(run) == "COMPLETED"


def test_reasons_for_running_again_are_counted(browser: Client):
    run = deployed_run()
    call(run, "fill", data={**RESULT, "inputs_changed": True})
    call(run, "look", data=None)
    calls = chain(run, "ab")
    call(run, "kept", state=make_state("COMPLETED", "Cached", data={**RESULT, "inputs_changed": True}))
    finish(run)

    page = browser.get(f"/runs/{run.pk}/retry-from?from={calls[0].name}")

    assert {call.name: why for call, why in page.context["shown"].rows} == {
        "a-0": "chosen",
        "b-0": "takes input from what runs again",
        "fill-0": "it changed its arguments, which its result does not repeat",
        "look-0": "its result was not stored",
    }
    text = text_of(page)
    assert "<li>1 chosen</li>" in text
    assert "that changed arguments, which no result repeats" in text
    assert "whose result was not stored" in text


def test_the_button_has_the_run_begin_again(browser: Client, run: FlowRun):
    answer = browser.post(f"/runs/{run.pk}/retry-from?from=c", {"as": "same"}, follow=True)

    assert answer.redirect_chain[-1][0] == f"/runs/{run.pk}"
    assert state_of(run) == "SCHEDULED"
    assert "The run waits for an agent to begin again." in text_of(answer)
    assert "2 to be reused, 2 to run again" in text_of(answer)


def test_the_same_form_sent_twice_is_one_new_run(browser: Client, run: FlowRun):
    form = {"as": "new", "id": str(browser.get(f"/runs/{run.pk}/retry-from?from=c").context["new_id"])}

    first, second = (browser.post(f"/runs/{run.pk}/retry-from?from=c", form) for _ in range(2))

    assert first["Location"] == second["Location"] != f"/runs/{run.pk}"
    assert RunRetry.objects.count() == 1


def test_both_runs_link_each_other_and_the_attempt_lists_what_it_reused(browser: Client, run: FlowRun):
    now = timezone.now()
    came = retry_from_tasks(run_id=run.pk, options=RetryOptions(wanted=["c"], new_run=True), now=now)
    report_outcome(run_id=came.flow_run_id, attempt=1, reused=212, again=31, new=0, now=now)

    old, new = text_of(browser.get(f"/runs/{run.pk}")), text_of(browser.get(f"/runs/{came.flow_run_id}"))

    name = FlowRun.objects.get(pk=came.flow_run_id).name
    assert f'<dt>Retried as</dt><dd><a href="/runs/{came.flow_run_id}">{name}</a></dd>' in old
    assert f'<dt>Retry of</dt><dd><a href="/runs/{run.pk}">brave-otter</a></dd>' in new
    assert "<dt>Attempt 1</dt><dd>212 reused, 31 ran again</dd>" in new


def test_without_a_task_the_page_asks_which_one(browser: Client, django_assert_max_num_queries):
    run = deployed_run()
    calls = chain(run, "abc")
    call(run, "d", calls[-1], state="FAILED")
    finish(run, "FAILED")

    with django_assert_max_num_queries(12):
        page = browser.get(f"/runs/{run.pk}/retry-from")

    assert [(one.wanted, one.calls.number, one.unfinished.number) for one in page.context["choices"]] == [
        ("a", 1, 0),
        ("b", 1, 0),
        ("c", 1, 0),
        ("d", 1, 1),
    ]
    assert "All that did not complete (1)" in text_of(page)


def test_the_page_of_a_run_without_task_runs_has_a_note(browser: Client):
    run = finish(deployed_run())

    assert "there is nothing to begin from" in text_of(browser.get(f"/runs/{run.pk}/retry-from"))


def test_a_task_run_offers_it_when_its_run_has_ended(browser: Client):
    run = deployed_run()
    one = call(run, "a")
    address = f"/runs/{run.pk}/retry-from?from={one.pk}"
    assert address not in text_of(browser.get(f"/task-runs/{one.pk}"))

    finish(run)

    assert address in text_of(browser.get(f"/task-runs/{one.pk}"))
    assert "Retry from a-0?" in text_of(browser.get(address))
    assert f"/runs/{run.pk}/retry-from" in text_of(browser.get(f"/runs/{run.pk}"))


def test_a_failed_run_offers_it_on_its_timeline(browser: Client):
    run = deployed_run()
    one = call(run, "a", state="FAILED")
    finish(run, "FAILED")

    assert f"/runs/{run.pk}/retry-from?from={one.pk}" in text_of(browser.get(f"/runs/{run.pk}?tab=timeline"))


def test_a_nested_run_leads_to_the_run_around_it(browser: Client):
    parent = deployed_run()
    child = make_flow_run("RUNNING", parent_task_run_id=call(parent, "child").pk)
    inner = call(child, "inner")
    finish(child)
    finish(parent)

    answer = browser.get(f"/runs/{child.pk}/retry-from?from={inner.pk}")

    assert answer["Location"] == f"/runs/{parent.pk}/retry-from?from={inner.pk}"


def test_an_impossible_retry_shows_the_reason_instead_of_a_button(browser: Client):
    run = make_flow_run("RUNNING")
    call(run, "a")
    finish(run)

    text = text_of(browser.get(f"/runs/{run.pk}/retry-from?from=a"))

    assert "This run cannot be retried from a" in text
    assert "has no deployment" in text
    assert "Retry from here" not in text
    assert browser.post(f"/runs/{run.pk}/retry-from?from=a").status_code == 302
    assert state_of(run) == "COMPLETED"


@pytest.mark.parametrize("wanted", ["nothing", HOSTILE, "@failed", "a" * 5000, "%00", "💥"])
def test_odd_names_of_tasks_are_answered(browser: Client, run: FlowRun, wanted: str):
    address = f"/runs/{run.pk}/retry-from?from={quote(wanted)}&show=x&after=99999999999"

    for answer in (browser.get(address, follow=True), browser.post(address, follow=True)):
        assert answer.status_code == 200
        assert HOSTILE not in answer.content.decode()
    assert state_of(run) == "COMPLETED"


def test_an_unknown_run_is_not_found(browser: Client):
    for method in (browser.get, browser.post):
        assert method("/runs/018f0000-0000-7000-8000-000000000000/retry-from?from=a").status_code == 404


def test_many_runs_are_retried_from_a_task(browser: Client, django_assert_max_num_queries):
    runs = [deployed_run(name=name, now=timezone.now()) for name in ("with", "without", "good")]
    call(runs[0], "load", state="FAILED")
    call(runs[1], "other", state="FAILED")
    call(runs[2], "load")
    for run, state in zip(runs, ("FAILED", "FAILED", "COMPLETED"), strict=True):
        finish(run, state, now=timezone.now())

    with django_assert_max_num_queries(20):
        page = browser.get("/runs/all/retry?flow=etl&from=load")

    scope = page.context["scope"]
    assert {run.name for run in scope.runs} == {"with", "good"}
    assert dict(scope.refused) == {"it called no task 'load'": 1}
    assert "Each run begins again at load" in text_of(page)
    browser.post("/runs/all/retry?flow=etl&from=load")
    assert [state_of(run) for run in runs] == ["SCHEDULED", "FAILED", "SCHEDULED"]
