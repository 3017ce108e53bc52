"""Agents: who is there, what each of them runs, and what is said of one that fell silent."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.test import Client
from django.utils import timezone

from deployments.dispatch.services.agents import AgentRegistration, leave, register_agent
from deployments.models import Lease, Worker
from tests.web.conftest import HOSTILE
from tests.web.rows import make_run


def make_agent(name: str = "w1", *, minutes_ago: int = 0, slots: int = 4, **fields) -> Worker:
    now = timezone.now() - timedelta(minutes=minutes_ago)
    registration = AgentRegistration(
        name=name, incarnation=uuid4(), concurrency=slots, host="box", pid=4711, version="0.4", **fields
    )
    return register_agent(who=registration, now=now)[0]


def give_run(agent: Worker, name: str = "busy"):
    run = make_run(name, state="RUNNING")
    Lease.objects.create(flow_run=run, worker=agent, epoch=1, expires_at=timezone.now() + timedelta(minutes=1))
    return run


def test_agents_are_listed_with_their_slots_and_runs(browser: Client):
    run = give_run(make_agent())
    make_agent("idle")

    answer = browser.get("/agents")

    lines = {line.agent.name: line for line in answer.context["found"].lines}
    assert (lines["w1"].meter.taken, lines["w1"].meter.limit, lines["idle"].meter.taken) == (1, 4, 0)
    page = answer.content.decode()
    for text in ("1 of 4", f"/runs/{run.pk}", "box", "0.4", "Live"):
        assert text in page


def test_agents_that_are_gone_do_not_push_live_ones_off(browser: Client):
    make_agent("silent", minutes_ago=60)
    ended = make_agent("ended")
    leave(agent_id=ended.pk, incarnation=ended.incarnation, now=timezone.now())
    make_agent("here")

    live, gone = browser.get("/agents"), browser.get("/agents?tab=gone")

    assert [line.agent.name for line in live.context["found"].lines] == ["here"]
    conditions = {line.agent.name: line.condition for line in gone.context["found"].lines}
    assert conditions == {"silent": "silent", "ended": "left"}


def test_an_agent_shows_everything_that_it_holds_and_serves(browser: Client):
    agent = make_agent(work_queues=["gpu"])
    runs = [give_run(agent, f"busy-{place}") for place in range(5)]

    page = browser.get(f"/agents/{agent.pk}").content.decode()

    assert all(f"/runs/{run.pk}" in page for run in runs)
    assert "gpu" in page
    assert "kill -INT 4711" in page
    assert "<title>w1 · live · Orion</title>" in page


def test_an_agent_that_is_gone_can_be_removed(browser: Client):
    agent = make_agent(minutes_ago=60)

    assert "Remove" in browser.get(f"/agents/{agent.pk}").content.decode()
    answer = browser.post(f"/agents/{agent.pk}/forget", follow=True)

    assert not Worker.objects.exists()
    assert "was removed from the list" in answer.content.decode()


def test_the_page_without_agents_explains_how_to_start_one(browser: Client):
    assert "orion agent start" in browser.get("/agents").content.decode()
    assert browser.get(f"/agents/{uuid4()}").status_code == 404


def test_the_next_page_goes_on_after_the_last_agent(browser: Client):
    pool = make_agent("first").work_pool
    now = timezone.now()
    Worker.objects.bulk_create(
        Worker(name=f"w{place:03}", work_pool=pool, last_heartbeat=now, offline_at=now + timedelta(hours=1))
        for place in range(150)
    )

    first = browser.get("/agents")
    second = browser.get("/agents" + first.context["next"])
    names = [line.agent.name for answer in (first, second) for line in answer.context["found"].lines]

    assert len(names) == len(set(names)) == 151


def test_pages_cost_few_queries_and_names_are_text(browser: Client, django_assert_max_num_queries):
    for place in range(20):
        agent = make_agent(f"w{place}")
        give_run(agent)
    Worker.objects.filter(pk=agent.pk).update(name=HOSTILE, host=HOSTILE)

    with django_assert_max_num_queries(3):
        listed = browser.get("/agents").content.decode()
    with django_assert_max_num_queries(3):
        shown = browser.get(f"/agents/{agent.pk}").content.decode()

    assert HOSTILE not in listed + shown
