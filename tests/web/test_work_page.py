"""Work pools and queues: what waits, what runs, who serves them, and what can be done about it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.dispatch.services.agents import register_agent
from deployments.models import Lease, WorkPool, WorkQueue
from deployments.work.services.work_pools import create_work_pool
from deployments.work.services.work_queues import create_work_queue, queue_for
from orionflow.contract.agents import AgentRegistration
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, make_run


@pytest.fixture
def gpu(db: None) -> WorkQueue:
    queue = queue_for(pool_name=None, queue_name="gpu", now=timezone.now())
    assert queue is not None
    return queue


def make_waiting(queue: WorkQueue, name: str, minutes: int, **columns):
    due = timezone.now() - timedelta(minutes=minutes)
    return make_run(name, state="SCHEDULED", at=due, work_queue_id=queue.pk, next_scheduled_start_time=due, **columns)


def test_queues_are_listed_with_what_waits_and_runs_there(browser: Client, gpu: WorkQueue):
    WorkQueue.objects.filter(pk=gpu.pk).update(concurrency_limit=3)
    make_waiting(gpu, "late-one", 12, state_name="Late")
    make_waiting(gpu, "newer", 2)
    make_run("busy", state="RUNNING", work_queue_id=gpu.pk)

    answer = browser.get("/work")

    (pool,) = answer.context["found"].pools
    line = next(line for line in pool.queues if line.queue.name == "gpu")
    assert (str(line.waiting), line.late, line.running, line.meter.share) == ("2", 1, 1, 33)
    page = answer.content.decode()
    for text in ("default-agent-pool", "gpu", "1 of 3", "Nobody serves it", "oldest"):
        assert text in page


def test_a_queue_explains_why_its_runs_wait_and_how_to_start_an_agent(browser: Client, gpu: WorkQueue):
    make_waiting(gpu, "newer", 2)
    make_waiting(gpu, "older", 12)

    answer = browser.get(f"/work/queues/{gpu.pk}")

    page = answer.content.decode()
    assert [run.name for run in answer.context["found"].page.rows] == ["older", "newer"]
    assert "Nobody serves work queue" in page
    assert "ORION_API_URL=http://127.0.0.1:4200/api orion agent start -q gpu" in page
    assert "<title>gpu · nobody serves it · Orion</title>" in page


def test_a_queue_shows_what_runs_and_who_has_it(browser: Client, gpu: WorkQueue):
    now = timezone.now()
    who = AgentRegistration(name="w1", incarnation=uuid4(), work_queues=["gpu"], concurrency=2)
    agent, _ = register_agent(who=who, now=now)
    run = make_run("busy", state="RUNNING", work_queue_id=gpu.pk)
    Lease.objects.create(flow_run=run, worker=agent, epoch=1, expires_at=now + timedelta(minutes=1))

    answer = browser.get(f"/work/queues/{gpu.pk}?tab=running")

    page = answer.content.decode()
    assert answer.context["found"].status == "READY"
    for text in ("busy", "w1", "Served"):
        assert text in page


@pytest.mark.parametrize(("tab", "after"), [("waiting", "CANCELLED"), ("running", "CANCELLING")])
def test_runs_are_cancelled_from_the_list_of_a_queue_one_by_one_or_all(
    browser: Client, gpu: WorkQueue, tab: str, after: str
):
    now = timezone.now()
    runs = {
        "waiting": make_waiting(gpu, "patient", 2),
        "running": make_run("busy", state="RUNNING", work_queue_id=gpu.pk),
    }
    Lease.objects.create(flow_run=runs["running"], epoch=1, expires_at=now + timedelta(seconds=150))
    run, address = runs[tab], f"/work/queues/{gpu.pk}?tab={tab}"

    page = browser.get(address).content.decode()
    all_of_tab = re.search(r'href="(/runs/all/cancel[^"]+)"', page)
    assert all_of_tab
    scope = browser.get(html.unescape(all_of_tab[1])).context["scope"]
    done = browser.post(f"/runs/{run.pk}/cancel", {"back": address})
    elsewhere = browser.post(f"/runs/{run.pk}/cancel", {"back": "//evil.example/"})

    run.refresh_from_db()
    assert run.state_type == after
    assert (done["location"], elsewhere["location"]) == (address, f"/runs/{run.pk}")
    assert [one.pk for one in scope.runs] == [run.pk]
    assert f'<input type="hidden" name="back" value="{address}">' in page
    assert ("in 2m" in page) == (tab == "running")
    assert f'action="/runs/{run.pk}/cancel"' not in browser.get(address).content.decode()


@pytest.mark.usefixtures("noon")
def test_a_queue_counts_what_came_due_and_what_started_hour_by_hour(browser: Client, gpu: WorkQueue, monkeypatch):
    now = NOON
    for name, due, start in [
        ("prompt", now - timedelta(hours=2), now - timedelta(hours=2)),
        ("waited", now - timedelta(hours=2, microseconds=-1), now - timedelta(hours=1)),
        ("waits", now - timedelta(hours=1, seconds=1), None),
        ("from yesterday", now - timedelta(hours=40), now - timedelta(hours=3)),
        ("long ago", now - timedelta(hours=40), now - timedelta(hours=39)),
    ]:
        make_run(name, at=due, start_time=start, work_queue_id=gpu.pk)
    make_run("elsewhere", at=now - timedelta(hours=2))

    answer = browser.get(f"/work/queues/{gpu.pk}")
    monkeypatch.setattr("deployments.pages.selectors.arrivals.MOST_READ", 2)
    cut = browser.get(f"/work/queues/{gpu.pk}")

    bars = {now - one.hour.since: one for one in answer.context["chart"].bars}
    counted = {age // timedelta(hours=1): (one.hour.due, one.hour.started) for age, one in bars.items()}
    assert len(counted) == 24
    assert {age: one for age, one in counted.items() if any(one)} == {3: (0, 1), 2: (3, 1), 1: (0, 1)}
    listed = browser.get(bars[timedelta(hours=2)].address).context["found"].page.rows
    assert {run.name for run in listed} == {"prompt", "waited", "waits"}
    assert "at most 3 in an hour" in answer.content.decode()
    assert [one.hour.since for one in cut.context["chart"].bars] == [now - timedelta(hours=1), now]
    assert "earlier hours are missing" in cut.content.decode()


def test_planned_runs_have_a_tab_of_their_own(browser: Client, gpu: WorkQueue):
    make_waiting(gpu, "tomorrow", -60 * 24)

    waiting = browser.get(f"/work/queues/{gpu.pk}")
    upcoming = browser.get(f"/work/queues/{gpu.pk}?tab=upcoming")

    assert list(waiting.context["found"].page.rows) == []
    assert [run.name for run in upcoming.context["found"].page.rows] == ["tomorrow"]


def test_a_queue_is_paused_and_resumed(browser: Client, gpu: WorkQueue):
    paused = browser.post(f"/work/queues/{gpu.pk}/pause", follow=True).content.decode()
    gpu.refresh_from_db()

    assert gpu.is_paused
    assert "until it is resumed" in paused.replace("&#x27;", "'")

    browser.post(f"/work/queues/{gpu.pk}/resume")
    gpu.refresh_from_db()
    assert not gpu.is_paused


def test_a_pool_is_made_and_changed_in_forms(browser: Client):
    made = browser.post("/work/pools/new", {"name": "cluster", "type": "process", "base_job_template": "{}"})
    pool = WorkPool.objects.get(name="cluster")
    filled = browser.get(f"/work/pools/{pool.pk}/edit").context["form"].initial
    fields = {"description": "fast", "concurrency_limit": "4", "fair_share": "tag:team", "base_job_template": "{}"}
    changed = browser.post(f"/work/pools/{pool.pk}/edit", fields)

    pool.refresh_from_db()
    assert (made.status_code, changed.status_code) == (302, 302)
    assert filled["concurrency_limit"] is None
    assert (pool.type, pool.description, pool.concurrency_limit) == ("process", "fast", 4)
    assert pool.fair_share == "tag:team"
    assert "take turns by tag:team" in browser.get("/work").content.decode()

    browser.post(f"/work/pools/{pool.pk}/edit", {**fields, "fair_share": ""})
    pool.refresh_from_db()
    assert pool.fair_share is None


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "a/b"}, "must not contain"),
        ({"name": "prefect-pool"}, "prefect"),
        ({"name": "x", "concurrency_limit": "-1"}, "greater than or equal to 0"),
        ({"name": "x", "fair_share": "owner"}, "Write deployment, author, or tag:"),
        ({"name": "x", "base_job_template": "[1]"}, "Write a JSON object"),
        ({"name": "x", "base_job_template": '{"variables": {}}'}, "job_configuration"),
    ],
)
def test_errors_are_shown_above_the_form_and_the_input_is_kept(browser: Client, wrong: dict, shown: str):
    answer = browser.post("/work/pools/new", {"type": "process", "description": "kept", **wrong})

    page = answer.content.decode()
    assert answer.status_code == 200
    assert shown in page
    assert "kept" in page
    assert not WorkPool.objects.exists()


def test_a_queue_is_made_with_a_priority_and_edited(browser: Client, gpu: WorkQueue):
    pool = WorkPool.objects.get()
    made = browser.post(f"/work/pools/{pool.pk}/queues/new", {"name": "urgent", "priority": "1"})
    urgent = WorkQueue.objects.get(name="urgent")
    browser.post(f"/work/queues/{urgent.pk}/edit", {"name": "urgent", "priority": "1", "concurrency_limit": "2"})

    urgent.refresh_from_db()
    assert made["location"] == f"/work/queues/{urgent.pk}"
    assert (urgent.priority, urgent.concurrency_limit) == (1, 2)


def test_a_name_that_is_taken_is_refused_in_the_form(browser: Client, gpu: WorkQueue):
    answer = browser.post(f"/work/pools/{gpu.work_pool_id}/queues/new", {"name": "gpu"})

    assert answer.status_code == 200
    assert answer.context["form"].errors["name"]


def test_a_queue_in_use_is_not_deleted_and_the_page_explains_why(browser: Client, gpu: WorkQueue):
    make_waiting(gpu, "waits", 1)

    page = browser.post(f"/work/queues/{gpu.pk}/delete", follow=True).content.decode()

    assert WorkQueue.objects.filter(pk=gpu.pk).exists()
    assert "1 unfinished run" in page


def test_queues_and_pools_are_deleted(browser: Client):
    pool = create_work_pool(columns={"name": "old"}, now=timezone.now())
    queue = create_work_queue(pool_name="old", columns={"name": "side"}, now=timezone.now())

    browser.post(f"/work/queues/{queue.pk}/delete")
    browser.post(f"/work/pools/{pool.pk}/delete")

    assert not WorkPool.objects.exists()
    assert not WorkQueue.objects.exists()


def test_the_page_without_pools_explains_how_to_start_an_agent(browser: Client):
    page = browser.get("/work").content.decode()

    assert "ORION_API_URL=http://127.0.0.1:4200/api orion agent start" in page


@pytest.mark.parametrize("path", ["", "/edit"])
def test_a_queue_that_is_not_there_is_not_found(browser: Client, path: str):
    assert browser.get(f"/work/queues/{uuid4()}{path}").status_code == 404


def test_names_of_others_are_text(browser: Client, gpu: WorkQueue):
    WorkQueue.objects.filter(pk=gpu.pk).update(name=HOSTILE, description=HOSTILE)

    pages = [browser.get(path).content.decode() for path in ("/work", f"/work/queues/{gpu.pk}")]

    assert all(HOSTILE not in page for page in pages)


@pytest.mark.parametrize("tab", ["waiting", "running", "upcoming"])
def test_pages_take_a_constant_number_of_queries(
    browser: Client, gpu: WorkQueue, django_assert_max_num_queries, tab: str
):
    WorkQueue.objects.filter(pk=gpu.pk).update(concurrency_limit=3)
    for place in range(30):
        queue_for(pool_name=None, queue_name=f"queue-{place}", now=timezone.now())
        make_waiting(gpu, f"waits-{place}", place + 1)
        make_run(f"busy-{place}", state="RUNNING", work_queue_id=gpu.pk)

    with django_assert_max_num_queries(6):
        browser.get("/work")
    with django_assert_max_num_queries(12):
        browser.get(f"/work/queues/{gpu.pk}?tab={tab}")
