"""A flow run's page, and what can be done from it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.dispatch.services.lateness import mark_late_runs
from deployments.models import Deployment, Worker, WorkPool, WorkQueue
from runs.models import Artifact, FlowRun, FlowRunState
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.run import Progress, progress_of
from runs.why.selectors.blockers import Reason
from tests.factories import NOON, later, make_flow_run, make_state
from tests.web.conftest import HOSTILE
from tests.web.rows import add_lines, make_flow, make_run, make_task_run

TRAIL = [["PreventDuplicateTransitions", "accept", ""], ["RetryFailedFlows", "reject", "retry 1 of 3"]]


def test_the_head_shows_the_flow_its_times_and_its_state(browser: Client):
    run = make_run("brave-otter", state="FAILED", tags=["prod"], flow_version="4fa9c1")

    page = browser.get(f"/runs/{run.id}").content.decode()

    for text in ("brave-otter", "etl", "Failed", "2026-11-20 12:00:00 UTC", "1m 30s", "4fa9c1", "prod", str(run.id)):
        assert text in page


def test_a_run_that_is_not_there_is_not_found(browser: Client):
    answer = browser.get(f"/runs/{uuid4()}")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_the_history_shows_each_rule_that_spoke_and_counts_the_silent_ones(browser: Client):
    run = make_run(state="SCHEDULED", state_name="AwaitingRetry", message="KeyError", trail=TRAIL)

    page = browser.get(f"/runs/{run.id}?tab=history").content.decode()

    for text in (
        "Awaiting retry",
        "KeyError",
        "Retry failed flows",
        "retry 1 of 3",
        "1 rule had no objection",
        "Pending",
    ):
        assert text in page


def test_the_history_shows_the_author_the_duration_and_the_details_of_a_state(browser: Client):
    run = make_run(state="PAUSED", message="حمل")
    paused = FlowRunState.objects.filter(flow_run=run, type="PAUSED")
    paused.update(author="ada", verdict="REJECT", details={"pause_key": "review", "flow_run_id": str(run.id)})

    answer = browser.get(f"/runs/{run.id}?tab=history")

    page = answer.content.decode()
    assert [passage.author for passage in answer.context["history"].states] == ["ada", *["the run itself"] * 2]
    assert answer.context["history"].states[0].details == {"pause key": "review"}
    for text in ("in place of what was proposed", "for 1.0 s", "pause key:", '<p dir="auto">حمل</p>'):
        assert text in page
    assert f'href="/events?resource=prefect.flow-run.{run.id}"' in page


def test_the_task_runs_are_listed_and_summed_up(browser: Client):
    run = make_run(state="RUNNING")
    make_task_run("load-0", flow_run=run)
    make_task_run("load-1", flow_run=run, state="FAILED", message="disk full")
    make_task_run("of-another-run")

    page = browser.get(f"/runs/{run.id}?tab=tasks").content.decode()

    assert '2 of <a class="muted" href="?tab=tasks">2 task runs</a> finished' in page
    assert "disk full" in page
    assert "of-another-run" not in page


def test_the_task_runs_of_a_large_run_are_counted_up_to_a_limit(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.pages.selectors.run.TASKS_COUNTED", 5)
    few, many = make_run(state="RUNNING"), make_run(state="RUNNING")
    for run, number in ((few, 3), (many, 4)):
        for state in ("COMPLETED", "FAILED", "PENDING", "RUNNING"):
            make_task_run(f"one-{state}", flow_run=run, state=state, task_key=f"etl.{state}")
        for place in range(number - 3):
            make_task_run(f"more-{place}", flow_run=run, task_key="etl.more")
    make_task_run("more", flow_run=many, task_key="etl.more")

    assert progress_of(run_id=few.pk) == Progress(
        {"COMPLETED": 1, "FAILED": 1, "PENDING": 1, "RUNNING": 1},
        Count(4),
        ["etl.COMPLETED", "etl.FAILED", "etl.PENDING", "etl.RUNNING"],
    )
    assert progress_of(run_id=many.pk).total == Count(5, capped=True)
    assert ">5+ task runs</a> finished" in browser.get(f"/runs/{many.pk}?tab=logs").content.decode()


def test_ten_thousand_tags_are_counted_and_not_all_shown(browser: Client):
    run = make_run(tags=[f"customer-{number}" for number in range(10_000)])

    page = browser.get(f"/runs/{run.id}").content.decode()
    listed = browser.get("/runs").content.decode()

    assert page.count("?tag=customer-") == 100
    assert "9\u202f900 more; the API has all of them" in page
    assert listed.count("?tag=customer-") == 3
    assert "9\u202f997 more<" in listed


def test_a_long_name_has_the_whole_of_it_in_its_title(browser: Client):
    long, short = make_run("x" * 255), make_run("brave-otter")

    assert f'<h1 title="{"x" * 255}">' in browser.get(f"/runs/{long.id}").content.decode()
    assert "<h1>brave-otter</h1>" in browser.get(f"/runs/{short.id}").content.decode()


def test_task_runs_can_be_narrowed_to_a_state(browser: Client):
    run = make_run(state="RUNNING")
    make_task_run("load-0", flow_run=run)
    make_task_run("load-1", flow_run=run, state="FAILED")

    page = browser.get(f"/runs/{run.id}?state=failed").content.decode()

    assert "load-1" in page
    assert "load-0" not in page


def test_every_task_run_is_on_exactly_one_page(browser: Client):
    run = make_run()
    for place in range(230):
        make_task_run(f"load-{place}", flow_run=run)

    seen: list[str] = []
    address = "?tab=tasks"
    while address:
        answer = browser.get(f"/runs/{run.id}{address}")
        seen += [task.name for task in answer.context["page"].rows]
        address = answer.context["next"]

    assert sorted(seen) == sorted(f"load-{place}" for place in range(230))


def test_the_parameters_are_shown_as_json(browser: Client):
    run = make_run(parameters={"day": "2026-11-20", "deep": {"limit": 10}})

    page = browser.get(f"/runs/{run.id}?tab=parameters").content.decode()

    assert "2026-11-20" in page
    assert "&quot;limit&quot;: 10" in page


def test_a_deployed_run_names_its_deployment_its_agent_and_the_defaults_of_its_flow(browser: Client):
    schema = {"properties": {"day": {"default": "today"}, "limit": {"default": 10}, "must": {}}}
    run = make_run(parameters={"limit": 5})
    deployment = Deployment.objects.create(name="nightly", flow=run.flow, parameter_openapi_schema=schema)
    FlowRun.objects.filter(pk=run.pk).update(deployment_id=deployment.pk)
    FlowRunState.objects.filter(flow_run=run, type="PENDING").update(author="agent crane-2")

    answer = browser.get(f"/runs/{run.id}?tab=parameters")

    page = answer.content.decode()
    assert answer.context["defaults"] == {"day": "today"}
    assert all(text in page for text in ("nightly", "crane-2", "Defaults of the flow", "today"))


def test_a_run_of_a_deleted_deployment_has_a_note(browser: Client):
    run = make_run(deployment_id=uuid4())

    assert "deleted" in browser.get(f"/runs/{run.id}").content.decode()


def test_nested_runs_and_their_parent_lead_to_each_other(browser: Client):
    parent = make_run("parent-run")
    child = make_run("child-run", flow=make_flow("inner"), parent_task_run=make_task_run(flow_run=parent))

    below = browser.get(f"/runs/{parent.id}?tab=subflows").content.decode()
    above = browser.get(f"/runs/{child.id}").content.decode()

    assert "child-run" in below
    assert f"/runs/{parent.id}" in above


def test_artifacts_are_shown_and_stored_results_are_not(browser: Client):
    run = make_run()
    Artifact.objects.create(key="summary", type="markdown", data="# Good", flow_run_id=run.id)
    Artifact.objects.create(type="result", data="secret-place", flow_run_id=run.id)

    page = browser.get(f"/runs/{run.id}?tab=artifacts").content.decode()

    assert "<h3>Good</h3>" in page
    assert "secret-place" not in page


def test_a_table_is_shown_as_one_and_cut_where_it_is_long(browser: Client):
    run = make_run()
    rows = [{"name": "orders", "rows": place} for place in range(130)]
    Artifact.objects.create(key="t", type="table", data=rows, flow_run_id=run.id)

    page = browser.get(f"/runs/{run.id}?tab=artifacts").content.decode()

    assert '<th scope="col">rows</th>' in page
    assert page.count("<td>orders</td>") == 100
    assert "30 more rows" in page


def test_a_waiting_run_shows_the_reason(browser: Client):
    run = make_run(
        state="PAUSED",
        refusal={
            "at": "2026-11-20T12:00:00+00:00",
            "proposed": {"type": "RUNNING", "name": "Running"},
            "verdict": "WAIT",
            "reason": "not yet",
        },
    )

    page = browser.get(f"/runs/{run.id}").content.decode()

    assert "It is paused" in page
    assert "not yet" in page


def test_the_command_that_helps_a_late_run_can_be_copied(browser: Client):
    queue = WorkQueue.objects.create(name="gpu")
    run = make_run(state="SCHEDULED", state_name="Late", work_queue_id=queue.pk, work_queue_name="gpu")

    page = browser.get(f"/runs/{run.id}").content.decode()

    assert 'data-copy="orion agent start -q gpu"' in page


def test_a_late_run_shows_once_since_when_it_is_due(browser: Client):
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=NOON))
    mark_late_runs(later(20))

    page = browser.get(f"/runs/{run.id}").content.decode()

    assert page.count("It was due at") == 1
    assert "has not been started" in page


@pytest.mark.parametrize(
    ("fix", "advice", "command"),
    [
        ("Start an agent: orion agent start -q gpu", "Start an agent:", "orion agent start -q gpu"),
        ("Start such a worker, or use `orion deploy`.", "Start such a worker, or use `orion deploy`.", ""),
        ("Raise the limit on 'x: orion server stop'.", "Raise the limit on 'x: orion server stop'.", ""),
        (None, "", ""),
    ],
)
def test_a_fix_is_shown_without_its_command(fix: str | None, advice: str, command: str):
    reason = Reason("no_agent", "Nobody serves it.", fix, command=command)

    assert reason.advice == advice


def test_that_all_rules_let_a_run_pass_is_no_news(browser: Client):
    run = make_run(trail=[["CopyScheduledTime", "accept", ""]])

    page = browser.get(f"/runs/{run.id}").content.decode()

    assert 'id="why"' not in page


@pytest.mark.parametrize("tab", ["tasks", "logs", "history", "parameters", "subflows", "artifacts"])
def test_an_empty_tab_has_a_text(browser: Client, tab: str):
    run = make_run(state="PENDING")

    page = browser.get(f"/runs/{run.id}?tab={tab}").content.decode()

    assert 'class="empty"' in page or 'class="history"' in page


@pytest.mark.parametrize("tab", ["tasks", "logs", "history", "parameters", "artifacts"])
def test_values_of_runs_are_shown_as_text(browser: Client, tab: str):
    run = make_run(
        HOSTILE, state="FAILED", message=HOSTILE, parameters={HOSTILE: HOSTILE}, trail=[["R", "reject", HOSTILE]]
    )
    task = make_task_run(HOSTILE, flow_run=run, state="FAILED", message=HOSTILE, tags=[HOSTILE])
    add_lines(run, HOSTILE, task_run=task)
    Artifact.objects.create(key=HOSTILE, type=HOSTILE, description=HOSTILE, data=HOSTILE, flow_run_id=run.id)

    page = browser.get(f"/runs/{run.id}?tab={tab}").content.decode()

    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("tab", "most"), [("tasks", 6), ("logs", 8), ("history", 5), ("parameters", 4), ("subflows", 6), ("artifacts", 5)]
)
def test_a_tab_takes_a_constant_number_of_queries(browser: Client, django_assert_max_num_queries, tab: str, most: int):
    run = make_run()
    for place in range(30):
        task = make_task_run(f"load-{place}", flow_run=run, state="FAILED", message="no")
        make_run(f"child-{place}", state="FAILED", parent_task_run=task)
        add_lines(run, "line", task_run=task)
        Artifact.objects.create(key=f"k-{place}", flow_run_id=run.id)

    with django_assert_max_num_queries(most):
        browser.get(f"/runs/{run.id}?tab={tab}")


def test_an_active_run_reloads_its_page_until_that_is_switched_off(browser: Client):
    run = make_run(state="RUNNING")

    moving = browser.get(f"/runs/{run.id}")
    still = browser.get(f"/runs/{run.id}?refresh=0")

    assert '<noscript>\n      <meta http-equiv="refresh" content="15">' in moving.content.decode()
    assert "refresh=0" in moving.content.decode()
    assert 'http-equiv="refresh"' not in still.content.decode()


def test_a_scheduled_run_is_cancelled_from_its_page(browser: Client):
    run = make_run(state="SCHEDULED")

    answer = browser.post(f"/runs/{run.id}/cancel", follow=True)

    run.refresh_from_db()
    assert run.state_type == "CANCELLED"
    assert "cancelled now" in answer.content.decode()


def test_a_running_run_is_cancelled(browser: Client):
    run = make_run(state="RUNNING")

    answer = browser.post(f"/runs/{run.id}/cancel", follow=True)

    run.refresh_from_db()
    assert run.state_type == "CANCELLING"
    assert "is being cancelled" in answer.content.decode()


def test_a_refused_action_shows_the_reason(browser: Client):
    run = make_run(state="COMPLETED")

    answer = browser.post(f"/runs/{run.id}/cancel", follow=True)

    assert "The run stays as it is" in answer.content.decode()


def test_a_failed_deployed_run_is_retried_from_its_page(browser: Client):
    run = make_run(state="FAILED", deployment_id=uuid4())

    browser.post(f"/runs/{run.id}/retry")

    run.refresh_from_db()
    assert run.state_name == "AwaitingRetry"


def test_a_run_is_deleted_from_its_page(browser: Client):
    run = make_run()

    answer = browser.post(f"/runs/{run.id}/delete", follow=True)

    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert "was deleted" in answer.content.decode()


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_an_action_is_a_post_from_our_own_page(action: str, db: None):
    run = make_run(state="RUNNING")
    stranger = Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1:4200"})

    posted = stranger.post(f"/runs/{run.id}/{action}")
    got = stranger.get(f"/runs/{run.id}/{action}")

    assert posted.status_code == 403
    assert "The form has expired" in posted.content.decode()
    assert got.status_code == 405
    assert FlowRun.objects.get(pk=run.pk).state_type == "RUNNING"


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_an_action_on_a_run_that_is_gone_is_not_found(browser: Client, action: str):
    assert browser.post(f"/runs/{uuid4()}/{action}").status_code == 404


def test_artifacts_are_rendered_and_not_shown_as_their_source(browser: Client):
    run = make_run()
    for key, kind, data in (
        ("report", "markdown", "# Good\n[the report](https://example.org/r) <script>alert(1)</script>"),
        ("cities", "table", '[{"city": "<b>Berlin</b>", "see": "[map](https://example.org/m)"}]'),
    ):
        Artifact.objects.create(key=key, type=kind, data=data, flow_run_id=run.id)

    page = browser.get(f"/runs/{run.id}?tab=artifacts").content.decode()

    assert "<h3>Good</h3>" in page
    assert '<a href="https://example.org/r" rel="noopener noreferrer nofollow">the report</a>' in page
    assert "<script>alert(1)" not in page
    assert '<th scope="col">city</th>' in page
    assert "&lt;b&gt;Berlin&lt;/b&gt;" in page
    assert 'href="https://example.org/m"' in page


def test_the_page_leads_to_the_previous_and_the_next_run_of_the_same_deployment(browser: Client):
    deployment = Deployment.objects.create(name="nightly", flow=make_flow())
    same_time = sorted(
        (make_run(deployment_id=deployment.pk, at=later(60)) for _ in range(2)), key=lambda run: str(run.pk)
    )
    first = make_run(deployment_id=deployment.pk, at=NOON)
    failed = make_run(deployment_id=deployment.pk, at=later(240), state="FAILED")
    crashed = make_run(deployment_id=deployment.pk, at=later(180), state="CRASHED")
    make_run("of-the-flow-alone", at=later(30))
    planned = make_run(deployment_id=deployment.pk, at=timezone.now() + timedelta(days=1), state="SCHEDULED")
    runs = [first, *same_time, crashed, failed]

    pages = [browser.get(f"/runs/{run.pk}") for run in [*runs, planned]]

    found = [(page.context["run"].previous_id, page.context["run"].next_id) for page in pages]
    ids = [run.pk for run in runs]
    assert found == list(zip([None, *ids], [*ids[1:], None, None], strict=True))
    assert 'aria-keyshortcuts="["' not in pages[0].content.decode()
    assert f'<a href="/runs/{failed.pk}" rel="next"' in " ".join(pages[3].content.decode().split())
    after = {run: browser.get(f"/runs/{run.pk}/next-failed", follow=True) for run in (same_time[0], crashed, failed)}
    assert [page.request["PATH_INFO"] for page in after.values()] == [
        f"/runs/{one.pk}" for one in (crashed, failed, failed)
    ]
    assert "No later run of it has failed." in after[failed].content.decode()


def test_the_agent_of_a_run_leads_to_its_page(browser: Client):
    queue = WorkQueue.objects.create(name="gpu", work_pool=WorkPool.objects.create(name="machines"))
    agent = Worker.objects.create(name="crane-2", work_pool=queue.work_pool)
    Worker.objects.create(name="crane-2", work_pool=WorkPool.objects.create(name="others"))
    run, of_nobody = (make_run(work_queue_id=one) for one in (queue.pk, None))
    FlowRunState.objects.filter(type="PENDING").update(author="agent crane-2")

    assert f'<a href="/agents/{agent.pk}">crane-2</a>' in browser.get(f"/runs/{run.pk}").content.decode()
    assert '<a href="/agents?tab=gone">crane-2</a>' in browser.get(f"/runs/{of_nobody.pk}").content.decode()
