"""The reconciler: expired leases are revoked, but never because of an outage of the servers."""

from __future__ import annotations

import pytest
from django.db import InterfaceError

from deployments.dispatch.services import reconciler
from deployments.dispatch.services.reconciler import reconcile
from deployments.models import Lease, ServiceRecord, Worker
from orchestration.errors import RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState
from tests.factories import NOON, history_of, later, make_state, state_of
from tests.services.dispatching import epoch_of, is_leased, make_agent, make_queue, report, start, waiting

pytestmark = pytest.mark.django_db


def begun(agent, **fields):
    run = waiting(make_queue(), **fields)
    (claim,) = agent.claim(run=run)
    start(claim, later(1))
    return run, claim


def ticks(until, since=0, every=5):
    """Reconcile every few seconds; how many runs that revoked."""
    return sum(reconcile(later(second)) for second in range(since, until + 1, every))


def test_a_run_of_an_agent_that_no_longer_exists_is_crashed():
    agent = make_agent()
    run, claim = begun(agent)
    agent.beat([claim], later(15))

    before = ticks(145)
    after = ticks(150, since=146)

    state = FlowRunState.objects.filter(flow_run=run).last()
    assert (before, after) == (0, 1)
    assert (state_of(run), epoch_of(run), is_leased(run)) == ("CRASHED", 2, False)
    assert (state.author, state.epoch) == ("crash detection", 2)
    assert state.message == (
        "Agent 'smith' on here is gone: its last heartbeat came at 2026-01-05 12:00:15 UTC, "
        "and its lease of this run ran out at 2026-01-05 12:02:15 UTC."
    )
    with pytest.raises(RunLost):
        report(claim, "COMPLETED", later(160))


def test_no_lease_is_revoked_while_heartbeats_arrive():
    agent = make_agent()
    run, claim = begun(agent)

    for second in range(5, 600, 5):
        assert reconcile(later(second)) == 0
        if second % 15 == 0:
            agent.beat([claim], later(second))

    assert state_of(run) == "RUNNING"


def test_a_crash_is_retried_within_its_budget():
    agent = make_agent()
    run, _ = begun(agent, crash_retries=1)

    ticks(140)

    assert history_of(run)[-1] == "AwaitingRetry"
    assert [one.epoch for one in make_agent("other").claim(later(141))] == [3]


def test_a_start_that_was_lost_goes_back_to_its_queue_three_times():
    make_queue()
    run = waiting(make_queue())
    second = 0

    for _ in range(4):
        assert state_of(run) == "SCHEDULED"
        make_agent(f"agent-{second}", now=later(second)).claim(later(second))
        ticks(second + 140, since=second)
        second += 140

    assert history_of(run) == [*["Scheduled", "Pending"] * 4, "Crashed"]
    assert "lost before it began 4 times" in FlowRunState.objects.filter(flow_run=run).last().message
    assert epoch_of(run) == 8


def test_a_cancelled_run_whose_agent_no_longer_exists_is_cancelled():
    run, _ = begun(make_agent(), crash_retries=3)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(2))

    ticks(140)

    assert history_of(run)[-2:] == ["Cancelling", "Cancelled"]


def test_a_retry_that_waited_in_a_lost_process_is_given_to_another_agent():
    run, claim = begun(make_agent(), retries=1, retry_delay=1000)
    report(claim, "FAILED", later(2))

    ticks(140)

    assert (history_of(run)[-1], is_leased(run)) == ("AwaitingRetry", False)
    assert make_agent("other").claim(later(500)) == []
    assert len(make_agent("third").claim(later(1002))) == 1


def test_a_lease_of_a_finished_run_is_deleted_silently():
    run, claim = begun(make_agent())
    report(claim, "COMPLETED", later(2))
    Lease.objects.create(flow_run_id=run.pk, epoch=1, expires_at=later(3))

    ticks(140)

    assert (state_of(run), epoch_of(run), is_leased(run)) == ("COMPLETED", 1, False)


def test_a_deleted_agent_is_reported_as_such():
    run, _ = begun(make_agent())
    Worker.objects.all().delete()

    ticks(140)

    assert "was deleted" in FlowRunState.objects.filter(flow_run=run).last().message


def test_an_outage_of_the_servers_crashes_nothing():
    agent = make_agent()
    run, claim = begun(agent)
    ticks(10)

    taken = reconcile(later(1000)) + reconcile(later(1005)) + reconcile(later(1010))
    agent.beat([claim], later(1012))

    assert taken == 0
    assert state_of(run) == "RUNNING"


def test_after_an_outage_agents_that_are_gone_are_still_found():
    run, _ = begun(make_agent())
    ticks(10)

    ticks(1140, since=1000)

    assert state_of(run) == "CRASHED"


def test_a_second_server_knows_that_the_first_one_was_there():
    run, _ = begun(make_agent())
    ticks(125)
    ServiceRecord.objects.update(ticker="the first one")

    assert reconcile(later(131)) == 1
    assert state_of(run) == "CRASHED"


def accepts_heartbeat(monkeypatch, second):
    monkeypatch.setattr(reconciler, "database_now", lambda: later(second))
    return reconciler.record_api_heartbeat(NOON)


def test_no_lease_is_revoked_while_no_server_receives_heartbeats(monkeypatch):
    run, _ = begun(make_agent())
    accepts_heartbeat(monkeypatch, 0)

    while_away = ticks(1000)
    # From here on the heartbeats of the agent could arrive again.
    taken_at = []
    for second in range(1001, 1141, 5):
        accepts_heartbeat(monkeypatch, second)
        taken_at += [second] * reconcile(later(second))

    assert (while_away, taken_at) == (0, [1136])
    assert state_of(run) == "CRASHED"


def test_servers_that_never_come_back_keep_no_run_forever(monkeypatch):
    run, _ = begun(make_agent())
    accepts_heartbeat(monkeypatch, 0)

    assert ticks(3595) == 0
    assert ticks(3610, since=3600) == 1
    assert state_of(run) == "CRASHED"


def test_a_server_without_an_outage_renews_no_lease(monkeypatch):
    run, _ = begun(make_agent())

    taken = 0
    for second in range(0, 140, 5):
        assert accepts_heartbeat(monkeypatch, second) is (second == 0)
        taken += reconcile(later(second))

    assert (taken, state_of(run)) == (1, "CRASHED")


def test_a_clock_that_goes_back_changes_nothing():
    run, _ = begun(make_agent())
    ticks(125)

    assert reconcile(NOON) == 0
    assert reconcile(later(124)) == 0
    assert state_of(run) == "RUNNING"


def test_a_run_that_cannot_be_revoked_keeps_no_other_from_its_turn():
    agent = make_agent()
    (odd, _), (run, _) = begun(agent), begun(agent)
    FlowRun.objects.filter(pk=odd.pk).update(empirical_policy={"overlap": "unheard of"})
    ticks(125)

    with pytest.raises(ValueError, match="unheard of"):
        reconcile(later(131))

    assert (state_of(odd), state_of(run)) == ("RUNNING", "CRASHED")


def test_an_outage_of_the_database_is_not_met_once_for_each_expired_attempt(monkeypatch):
    agent = make_agent()
    for _ in range(2):
        begun(agent)
    ticks(125)
    tried = []

    def fail(run_id, now):
        tried.append(run_id)
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(reconciler, "_end_expired", fail)

    with pytest.raises(InterfaceError):
        reconcile(later(131))

    assert len(tried) == 1
