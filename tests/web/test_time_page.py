"""Where the time of a run went, on its page, and of all runs."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import ConcurrencyLimit, WorkPool, WorkQueue
from runs.models import FlowRunState
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, make_flow, make_run, make_task_run


def make_history(run, *states) -> None:
    """The states of a run, by type and seconds after its time."""
    FlowRunState.objects.filter(flow_run=run).delete()
    for seq, (kind, seconds) in enumerate(states, start=1):
        FlowRunState.objects.create(
            flow_run=run,
            seq=seq,
            type=kind,
            name=kind.capitalize(),
            timestamp=run.expected_start_time + timedelta(seconds=seconds),
        )


LIFE = (("SCHEDULED", -60), ("PENDING", 30), ("RUNNING", 33), ("COMPLETED", 133))


def deployed_run(name: str = "brave-otter", at=NOON, **columns):
    begin = at + timedelta(seconds=33)
    run = make_run(name, at=at, **{"start_time": begin, "end_time": begin + timedelta(seconds=100), **columns})
    make_history(run, *LIFE)
    return run


def limited_queue(slots: int = 1) -> WorkQueue:
    pool = WorkPool.objects.create(name="pool")
    return WorkQueue.objects.create(name="slow", work_pool=pool, concurrency_limit=slots)


def test_the_parts_of_a_run_stand_in_a_bar_and_in_a_table(browser: Client):
    run = deployed_run()
    make_task_run(
        "load-0", flow_run=run, start_time=NOON + timedelta(seconds=43), end_time=NOON + timedelta(seconds=83)
    )

    answer = browser.get(f"/runs/{run.id}?tab=time")

    page = answer.content.decode()
    sums = {one.kind: one.lasted.total_seconds() for one in answer.context["spent"].shares}
    assert sums == {"queue": 30, "startup": 3, "work": 40, "idle": 60}
    for text in ("Waited to be taken", "Started up", "Worked", "Ran no task", "2m 13s", "30.1 %"):
        assert text in page
    assert page.count('<rect class="t-') == 5


def test_a_full_queue_is_named_with_the_run_that_held_it(browser: Client):
    queue = limited_queue()
    in_queue = {"work_queue_id": queue.id, "work_queue_name": "slow"}
    holder = deployed_run("holder", at=NOON - timedelta(seconds=40), **in_queue)
    run = deployed_run(**in_queue, start_time=NOON + timedelta(seconds=95), end_time=NOON + timedelta(seconds=100))
    make_history(run, ("SCHEDULED", -60), ("PENDING", 94), ("RUNNING", 95), ("COMPLETED", 100))

    answer = browser.get(f"/runs/{run.id}?tab=time")

    page = answer.content.decode()
    assert "Waited for a slot of work queue &#x27;slow&#x27;" in page
    assert f'held longest by <a href="/runs/{holder.id}">holder</a>' in page
    assert [one.kind for one in answer.context["spent"].shares] == ["limit", "startup", "work"]


@pytest.mark.parametrize("tag", ["db", "👩\u200d🚀"])
def test_a_wait_of_tasks_for_a_slot_of_a_tag_is_named(browser: Client, tag: str):
    ConcurrencyLimit.objects.create(tag=tag, concurrency_limit=1)
    run = deployed_run()
    begin = NOON + timedelta(seconds=33)
    make_task_run(
        "load-0",
        flow_run=run,
        tags=[tag],
        expected_start_time=begin,
        start_time=begin + timedelta(seconds=50),
        end_time=begin + timedelta(seconds=100),
    )

    page = browser.get(f"/runs/{run.id}?tab=time").content.decode()

    assert f"Waited for a slot of tag &#x27;{tag}&#x27;" in page


def test_a_run_that_is_not_due_has_spent_no_time(browser: Client):
    run = make_run(state="SCHEDULED", at=timezone.now() + timedelta(hours=1))
    FlowRunState.objects.filter(flow_run=run).delete()

    assert "No time spent yet" in browser.get(f"/runs/{run.id}?tab=time").content.decode()


@pytest.mark.parametrize("tasks", [1, 30])
def test_queries_of_a_run_do_not_depend_on_its_tasks(browser: Client, django_assert_max_num_queries, tasks):
    queue = limited_queue()
    run = deployed_run(work_queue_id=queue.id, work_queue_name="slow")
    for number in range(tasks):
        make_task_run(f"load-{number}", flow_run=run, run_count=2)

    with django_assert_max_num_queries(14):
        browser.get(f"/runs/{run.id}?tab=time")


def test_the_time_of_all_runs_is_summed_up_by_reason_and_by_flow(browser: Client):
    now, queue = timezone.now() - timedelta(hours=1), limited_queue()
    in_queue = {"work_queue_id": queue.id, "work_queue_name": "slow"}
    deployed_run("holder", at=now - timedelta(seconds=40), **in_queue)
    deployed_run("waiter", at=now, **in_queue)
    deployed_run("other", at=now, flow=make_flow("load"))

    answer = browser.get("/time")

    page = answer.content.decode()
    found = answer.context["found"]
    assert found.runs == 3
    assert sum(one.percent for one in found.reasons) == pytest.approx(100)
    assert {(one.share.kind, one.share.name) for one in found.reasons} == {
        ("limit", "work queue 'slow'"), ("queue", ""), ("startup", ""), ("work", ""),
    }  # fmt: skip
    assert [one.flow for one in found.flows] == ["etl", "load"]
    for text in ("Waited for a slot of work queue &#x27;slow&#x27;", 'href="/runs?flow=load&amp;since=-24h"', "3 runs"):
        assert text in page


def test_waiting_for_slots_is_shown_apart(browser: Client):
    now = timezone.now() - timedelta(hours=1)
    ConcurrencyLimit.objects.create(tag="db", concurrency_limit=1)
    make_task_run("load-0", flow_run=deployed_run(at=now), tags=["db"], at=now, start_time=now + timedelta(seconds=50))

    (one,) = browser.get("/time").context["found"].tags

    assert (one.tag, one.task_runs, one.waited) == ("db", 1, timedelta(seconds=50))


def test_each_number_of_runs_leads_to_so_many(browser: Client):
    now, queue = timezone.now() - timedelta(hours=1), limited_queue()
    ConcurrencyLimit.objects.create(tag="d & b", concurrency_limit=1)
    in_queue = {"work_queue_id": queue.id, "work_queue_name": "slow"}
    deployed_run("holder", at=now - timedelta(seconds=40), **in_queue)
    waiter = deployed_run("waiter", at=now, **in_queue)
    deployed_run("other", at=now, flow=make_flow("l & d"))
    make_task_run("load-0", flow_run=waiter, tags=["d & b"], at=now, start_time=now + timedelta(seconds=50))
    make_task_run("load-1", flow_run=waiter, tags=["d & b"], at=now, start_time=now)
    page = browser.get("/time?since=-7d").content.decode()

    wrong, numbers = {}, re.findall(r'<a href="([^"]+)">\s*(\d+)(?: runs)?</a>', page)
    for address, number in numbers:
        address = html.unescape(address)
        context = browser.get(f"/time{address}" if address.startswith("?") else address).context
        rows = context["found"].listed if address.startswith("?") else context["found"].page.rows
        if len(rows) != int(number):
            wrong[address] = (number, len(rows))

    assert len(numbers) == 8
    assert wrong == {}


def test_the_runs_of_a_reason_are_listed_longest_first_with_the_number_of_the_others(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("runs.time_spent.selectors.of_fleet.RUNS_LISTED", 2)
    now = timezone.now() - timedelta(hours=1)
    for seconds in (5, 20, 10):
        run = deployed_run(f"run-{seconds}", at=now)
        make_history(run, ("SCHEDULED", -60), ("PENDING", seconds), ("RUNNING", 33), ("COMPLETED", 133))

    answer = browser.get("/time?of=queue/")

    assert [one.name for one in answer.context["found"].listed] == ["run-20", "run-10"]
    assert "The first 2 of 3." in answer.content.decode()


@pytest.mark.parametrize("reason", ["queue", "nonsense/x", "/", "tag/none"])
def test_a_reason_of_which_there_is_no_run_lists_none(browser: Client, reason: str):
    run = deployed_run(at=timezone.now() - timedelta(hours=1))
    make_history(run, ("PENDING", 0), ("RUNNING", 0), ("COMPLETED", 133))

    answer = browser.get(f"/time?of={reason}")

    assert answer.status_code == 200
    assert "longest first" not in answer.content.decode()


def test_the_page_without_runs_explains_what_it_will_show(browser: Client):
    deployed_run()

    assert "No run has ended in this time" in browser.get("/time").content.decode()
    assert browser.get("/time?since=nonsense").status_code == 200


def test_the_queries_of_the_page_do_not_depend_on_the_number_of_runs(browser: Client, django_assert_max_num_queries):
    now, queue = timezone.now() - timedelta(hours=1), limited_queue()
    for number in range(30):
        deployed_run(f"run-{number}", at=now, work_queue_id=queue.id, work_queue_name="slow")

    with django_assert_max_num_queries(9):
        browser.get("/time?since=-7d")


def test_names_of_flows_and_queues_are_shown_as_text(browser: Client):
    deployed_run(HOSTILE, at=timezone.now() - timedelta(hours=1), flow=make_flow(HOSTILE))

    assert HOSTILE not in browser.get("/time").content.decode()
