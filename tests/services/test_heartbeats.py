"""Heartbeats renew the leases of the named attempts, and return the orders for each of them."""

from __future__ import annotations

from itertools import permutations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.dispatch.services.agents import record_worker_heartbeat
from deployments.dispatch.services.attempt_exit import Cause, revoke
from deployments.dispatch.services.heartbeats import agents_of_lost, attempts_of, cancelling_runs_of, orders_now
from deployments.errors import AgentReplaced
from deployments.models import Lease, Worker
from deployments.work.services.work_queues import DEFAULT_POOL
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun
from tests.factories import NOON, later, make_state
from tests.services.dispatching import make_agent, make_queue, report, start, waiting

pytestmark = pytest.mark.django_db


def held(agent, number=1):
    queue = make_queue()
    for _ in range(number):
        waiting(queue)
    return agent.claim(limit=number)


def leases():
    return set(Lease.objects.values_list("expires_at", flat=True))


def test_a_heartbeat_renews_every_lease_and_keeps_the_agent_online():
    agent = make_agent()
    claims = held(agent, 3)

    orders = agent.beat(claims, later(15))

    worker = Worker.objects.get()
    assert orders == ["ok", "ok", "ok"]
    assert leases() == {later(135)}
    assert (worker.last_heartbeat, worker.offline_at) == (later(15), later(60))


def test_a_heartbeat_that_is_processed_late_replaces_no_later_one():
    agent = make_agent()
    claims = held(agent)
    agent.beat(claims, later(30), draining=True)

    orders = agent.beat(claims, later(15))

    worker = Worker.objects.get()
    assert orders == ["ok"]
    assert leases() == {later(150)}
    assert (worker.last_heartbeat, worker.offline_at, worker.draining) == (later(30), later(75), True)


@pytest.mark.parametrize("order", list(permutations([10, 20, 30])))
def test_no_heartbeat_of_a_worker_replaces_a_later_one(order: tuple[int, ...]):
    times = []

    for seconds in order:
        record_worker_heartbeat(pool_name=DEFAULT_POOL, name="w", interval_seconds=seconds, now=later(seconds))
        times.append(Worker.objects.get().last_heartbeat)

    worker = Worker.objects.get()
    assert times == sorted(times)
    assert (worker.last_heartbeat, worker.heartbeat_interval_seconds, worker.offline_at) == (later(30), 30, later(120))


def test_a_worker_that_announces_the_longest_pauses_is_offline_after_three_days():
    record_worker_heartbeat(pool_name=DEFAULT_POOL, name="w", interval_seconds=2_000_000_000, now=later(0))

    assert Worker.objects.get().offline_at == later(3 * 24 * 60 * 60)


def test_a_run_that_the_agent_does_not_name_is_not_renewed():
    agent = make_agent()
    first, _ = held(agent, 2)

    agent.beat([first], later(15))

    assert leases() == {later(120), later(135)}


@pytest.mark.parametrize(("state", "order"), [("CANCELLING", "cancel"), ("PAUSED", "pause"), ("RUNNING", "ok")])
def test_orders_follow_the_state(state, order):
    agent = make_agent()
    (claim,) = held(agent)
    start(claim, later(1))
    propose_flow_run_state(run_id=claim.flow_run_id, proposed=make_state(state), now=later(2))

    assert agent.beat([claim], later(15)) == [order]


def test_an_attempt_that_was_replaced_or_whose_run_was_deleted_is_lost():
    agent = make_agent()
    (replaced, deleted) = held(agent, 2)
    FlowRun.objects.filter(pk=replaced.flow_run_id).update(epoch=2)
    FlowRun.objects.filter(pk=deleted.flow_run_id).delete()

    assert agent.beat([replaced, deleted], later(15)) == ["lost", "lost"]


def test_a_process_that_reported_its_end_may_finish_and_is_not_lost_at_once():
    agent = make_agent()
    (claim,) = held(agent)
    start(claim, later(1))
    report(claim, "COMPLETED", later(2))

    assert agent.beat([claim], later(15)) == ["ok"]
    assert agent.beat([claim], later(123)) == ["lost"]


def test_a_run_cancelled_by_force_gets_the_order_to_cancel():
    agent = make_agent()
    (claim,) = held(agent)
    start(claim, later(1))
    propose_flow_run_state(run_id=claim.flow_run_id, proposed=make_state("CANCELLED"), now=later(2), force=True)

    assert agent.beat([claim], later(15)) == ["cancel"]


def test_a_lease_of_another_agent_is_not_renewed():
    agent, stranger = make_agent(), make_agent("stranger")
    claims = held(agent)

    stranger.beat(claims, later(15))

    assert leases() == {later(120)}


def test_an_earlier_start_of_the_agent_is_refused():
    old = make_agent()
    make_agent(now=later(1))

    with pytest.raises(AgentReplaced):
        old.beat([], later(2))


def test_a_heartbeat_takes_a_constant_number_of_queries():
    agent = make_agent()
    claims = held(agent, 12)

    def cost(some):
        with CaptureQueriesContext(connection) as queries:
            agent.beat(some, later(15))
        return len([one for one in queries if "SAVEPOINT" not in one["sql"]])

    assert cost(claims[:1]) == cost(claims) == 3


def test_a_heartbeat_without_runs_shows_that_the_agent_is_alive():
    agent = make_agent()

    assert agent.beat([], later(15), draining=True) == []
    assert Worker.objects.get().draining
    assert Worker.objects.get().last_heartbeat > NOON


notifications: list[tuple[str, object, str]] = []


def listen(kind, id, state_type):
    notifications.append((kind, id, state_type))


@pytest.fixture
def notified(settings):
    """Collect the announcements about agents, once they are committed."""
    settings.ORION_STATE_LISTENERS = [f"{__name__}.listen"]
    notifications.clear()
    return notifications


def test_an_agent_learns_what_others_request_of_its_runs_and_not_what_its_runs_report(
    notified, django_capture_on_commit_callbacks
):
    agent = make_agent()

    with django_capture_on_commit_callbacks(execute=True):
        reported, cancelled = held(agent, 2)
        for claim in (reported, cancelled):
            start(claim, later(1))
        report(reported, "COMPLETED", later(2))
    of_its_own = [one for one in notified if one[0] == "agent"]
    with django_capture_on_commit_callbacks(execute=True):
        propose_flow_run_state(run_id=cancelled.flow_run_id, proposed=make_state("CANCELLING"), now=later(3))

    assert of_its_own == []
    assert [one for one in notified if one[0] == "agent"] == [("agent", agent.id, "CANCELLING")]


def test_an_agent_of_another_server_is_called_when_an_attempt_is_lost_and_not_when_it_ends():
    agent, other = make_agent(), make_agent("other")
    ended, going, lost, deleted = held(agent, 4)
    before = attempts_of([agent.id, other.id])
    start(ended, later(1))
    report(ended, "COMPLETED", later(2))
    without_an_end = attempts_of([agent.id])

    revoke(run_id=lost.flow_run_id, cause=Cause("Revoked.", "somebody"), now=later(2))
    of_revoked = agents_of_lost(dict.fromkeys(without_an_end.keys() - attempts_of([agent.id]).keys(), 1))
    FlowRun.objects.filter(pk=deleted.flow_run_id).delete()

    assert len(before) == 4
    assert agents_of_lost(dict.fromkeys(before.keys() - without_an_end.keys(), 1)) == set()
    assert of_revoked == {agent.id}
    assert agents_of_lost({(agent.id, deleted.flow_run_id): 1}) == {agent.id}
    assert attempts_of([agent.id]) == {(agent.id, going.flow_run_id): 1}


def test_orders_are_received_without_renewing_a_lease():
    agent = make_agent()
    cancelled, lost, fine = claims = held(agent, 3)
    for claim in claims:
        start(claim, later(1))
    propose_flow_run_state(run_id=cancelled.flow_run_id, proposed=make_state("CANCELLING"), now=later(2))
    revoke(run_id=lost.flow_run_id, cause=Cause("Revoked.", "somebody"), now=later(2))

    runs = {claim.flow_run_id: claim.epoch for claim in claims}
    orders = orders_now(agent_id=agent.id, incarnation=agent.incarnation, runs=runs, now=later(3))

    assert orders == {cancelled.flow_run_id: "cancel", lost.flow_run_id: "lost"}
    assert cancelling_runs_of([agent.id]) == {(agent.id, cancelled.flow_run_id)}
    assert leases() == {later(120)}
    assert fine.flow_run_id not in orders
