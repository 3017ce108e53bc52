"""Claims: a due run becomes one agent's, with an attempt and a lease of its own."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.dispatch.selectors import due, shares
from deployments.dispatch.selectors.liveness import statuses_of_queues
from deployments.dispatch.services import claims, misfits
from deployments.dispatch.services.claims import WorkRequest, claim_for_all
from deployments.errors import AgentNotFound, AgentReplaced
from deployments.models import Deployment, Lease, Worker, WorkPool, WorkQueue
from orchestration.core.states import scheduled
from orchestration.errors import RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState
from tests.factories import NOON, history_of, later, make_state, state_of
from tests.services.dispatching import (
    claims_of,
    epoch_of,
    is_leased,
    make_agent,
    make_deployment,
    make_queue,
    report,
    start,
    waiting,
)

pytestmark = pytest.mark.django_db


def test_a_due_run_becomes_the_agents():
    queue = make_queue()
    run = waiting(queue, infrastructure_document_id=None)
    FlowRun.objects.filter(pk=run.pk).update(infrastructure_pid="old:1")
    agent = make_agent()

    (claim,) = agent.claim(later(5))

    lease, state = Lease.objects.get(), FlowRunState.objects.get(flow_run=run, seq=2)
    run.refresh_from_db()
    assert (claim.flow_run_id, claim.epoch) == (run.pk, 1)
    assert (run.state_type, run.epoch, run.infrastructure_pid) == ("PENDING", 1, None)
    assert (lease.flow_run_id, lease.worker_id, lease.incarnation, lease.epoch) == (
        run.pk,
        agent.id,
        agent.incarnation,
        1,
    )
    assert lease.expires_at == later(5) + timedelta(seconds=120)
    assert (state.epoch, state.author) == (1, "agent smith")


def test_runs_that_are_not_due_are_not_claimed():
    queue = make_queue()
    early, inside = waiting(queue, later(60)), waiting(queue, empirical_policy={"retry_type": "in_process"})
    agent = make_agent()

    assert agent.claim(later(59), limit=9) == []
    assert agent.claim(later(59), run=early) == []
    assert agent.claim(later(59), run=inside) == []
    assert [claim.flow_run_id for claim in agent.claim(later(60), limit=9)] == [early.pk]


def test_an_agent_is_given_runs_of_its_queues_only():
    mine, other = waiting(make_queue("q")), waiting(make_queue("other"))
    agent = make_agent(queues=("q",))

    assert agent.claim(run=other) == []
    assert [claim.flow_run_id for claim in agent.claim(limit=9)] == [mine.pk]


def test_an_agent_without_queues_serves_all_of_its_pool_also_later_ones():
    agent = make_agent(queues=())
    run = waiting(make_queue("newer"))

    (claim,) = agent.claim()

    assert claim.flow_run_id == run.pk
    assert len(Worker.objects.get().queue_ids) == 2


def test_a_new_queue_is_served_by_an_agent_of_its_pool_that_has_not_claimed_since():
    agent = make_agent(queues=())
    queue = make_queue("newer")
    elsewhere = WorkQueue.objects.create(name="q", work_pool=WorkPool.objects.create(name="elsewhere"))

    statuses = statuses_of_queues([queue, elsewhere], NOON)

    assert statuses == {queue.pk: "READY", elsewhere.pk: "NOT_READY"}
    assert str(queue.pk) not in Worker.objects.get(pk=agent.id).queue_ids


def test_a_queue_with_a_filter_gives_what_it_picks():
    make_queue("picky", filter={"tags": ["gpu"]})
    elsewhere = make_queue("elsewhere")
    picked, other = waiting(elsewhere, tags=["gpu", "x"]), waiting(elsewhere, tags=["x"])
    agent = make_agent(queues=("picky",))

    assert agent.claim(run=other) == []
    assert [claim.flow_run_id for claim in agent.claim(run=picked)] == [picked.pk]


def test_a_run_is_given_once():
    run = waiting(make_queue())
    first, second = make_agent("first"), make_agent("second")

    assert len(first.claim(run=run)) == 1
    assert second.claim(run=run) == first.claim(run=run) == second.claim(limit=9) == []
    assert epoch_of(run) == 1


def test_runs_that_the_rules_refuse_stay_as_they_are():
    queue = make_queue(concurrency_limit=1)
    runs = [waiting(queue, later(-n)) for n in (3, 2, 1)]
    agent = make_agent()

    claims = agent.claim(limit=9)
    refused = agent.claim(run=runs[1])

    assert [claim.flow_run_id for claim in claims] == [runs[0].pk]
    assert refused == []
    assert [state_of(run) for run in runs] == ["PENDING", "SCHEDULED", "SCHEDULED"]
    assert not is_leased(runs[1])


def test_another_attempt_refuses_what_the_one_before_sends():
    run = waiting(make_queue())
    agent = make_agent()
    (old,) = agent.claim()
    start(old, later(1))
    report(old, scheduled(later(2), name="AwaitingRetry"), later(2))

    (new,) = agent.claim(later(3))

    assert (new.epoch, epoch_of(run)) == (2, 2)
    with pytest.raises(RunLost):
        report(old, "COMPLETED", later(4))
    assert start(new, later(4)).written


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"])
def test_a_lease_ends_with_its_attempt(end):
    run = waiting(make_queue())
    (claim,) = make_agent().claim()
    start(claim, later(1))

    report(claim, end, later(2))

    assert not is_leased(run)
    assert history_of(run) == ["Scheduled", "Pending", "Running", end.title()]


def test_a_lease_lasts_while_a_failure_is_retried_in_its_process():
    run = waiting(make_queue(), retries=1, retry_delay=30)
    agent = make_agent()
    (claim,) = agent.claim()
    start(claim, later(1))

    report(claim, "FAILED", later(2))

    assert history_of(run)[-1] == "AwaitingRetry"
    assert is_leased(run)
    assert agent.claim(later(60)) == []
    assert start(claim, later(32)).written


def test_a_suspended_run_leaves_its_agent():
    run = waiting(make_queue())
    (claim,) = make_agent().claim()
    start(claim, later(1))

    report(claim, make_state("PAUSED", "Suspended", pause_reschedule=True), later(2))

    assert (state_of(run), is_leased(run)) == ("PAUSED", False)


def test_a_rescheduled_run_is_cancelled_at_once_despite_leftovers_of_earlier_attempts():
    run = waiting(make_queue())
    (claim,) = make_agent().claim()
    start(claim, later(1))
    report(claim, scheduled(later(60), name="AwaitingRetry"), later(2))
    FlowRun.objects.filter(pk=run.pk).update(infrastructure_pid="here:4711")

    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(3))

    assert state_of(run) == "CANCELLED"


def test_cancelling_a_run_that_waits_in_its_process_is_left_to_that_process():
    run = waiting(make_queue(), retries=1, retry_delay=30)
    (claim,) = make_agent().claim()
    start(claim, later(1))
    report(claim, "FAILED", later(2))

    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(3))

    assert (state_of(run), is_leased(run)) == ("CANCELLING", True)


def test_agents_that_are_over_are_given_nothing():
    waiting(make_queue())
    old = make_agent()
    make_agent(now=later(1))

    with pytest.raises(AgentReplaced):
        old.claim(later(2))
    with pytest.raises(AgentNotFound):
        claims_of(WorkRequest(uuid4(), uuid4()), NOON)


def test_a_draining_agent_is_given_nothing():
    waiting(make_queue())
    agent = make_agent()
    agent.beat([], later(1), draining=True)

    assert agent.claim(later(2)) == []


def test_a_claim_takes_a_constant_number_of_queries():
    queue = make_queue()
    deployment = make_deployment(queue)
    agent = make_agent()

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert len(agent.claim(limit=1)) == 1
        return len(queries)

    for _ in range(2):
        waiting(queue, deployment=deployment)
    few = cost()
    for _ in range(40):
        waiting(queue, deployment=deployment)

    assert cost() == few
    assert few <= 20


def request_of(agent, limit=1, run=None):
    return WorkRequest(agent.id, agent.incarnation, limit, run and run.pk)


def test_agents_that_ask_together_share_what_is_due_at_the_price_of_one():
    queue = make_queue(concurrency_limit=50)
    deployment = make_deployment(queue)
    agents = [make_agent(f"agent-{n}") for n in range(8)]
    runs = [waiting(queue, later(-n), deployment) for n in range(60)]

    with CaptureQueriesContext(connection) as of_one:
        first = claim_for_all([request_of(agents[0], 2)], NOON)
    with CaptureQueriesContext(connection) as of_all:
        others = claim_for_all([request_of(agent, 9) for agent in agents], NOON)

    claimed = [claim.flow_run_id for claims in [*first, *others] for claim in claims]
    assert len(set(claimed)) == len(claimed) == 50
    assert claimed[:2] == [run.pk for run in reversed(runs[-2:])]
    assert sorted(map(len, others)) == [6] * 8
    assert Lease.objects.count() == 50
    assert len(of_all) == len(of_one)


def test_each_of_those_that_ask_together_gets_an_answer_of_its_own():
    run = waiting(make_queue())
    old = make_agent("old")
    make_agent("old", now=later(1))
    named, also, idle = make_agent("named"), make_agent("also"), make_agent("idle", queues=("other",))

    requests = [
        request_of(old),
        request_of(named, run=run),
        request_of(also, run=run),
        request_of(idle),
        request_of(also),
        request_of(named),
    ]
    answers = claim_for_all([*requests, WorkRequest(uuid4(), uuid4())], later(2))

    assert isinstance(answers[0], AgentReplaced)
    assert [claim.flow_run_id for claim in answers[1]] == [run.pk]
    assert answers[2:6] == [[], [], [], []]
    assert isinstance(answers[6], AgentNotFound)


def test_one_agent_may_ask_twice_at_once():
    queue = make_queue()
    agent = make_agent()
    for _ in range(4):
        waiting(queue)

    answers = claim_for_all([request_of(agent, 2), request_of(agent, 2)], NOON)

    assert list(map(len, answers)) == [2, 2]
    assert Lease.objects.filter(worker=agent.id).count() == 4


@pytest.mark.parametrize("key", ["deployment", "tag:team", "author"])
def test_a_fair_pool_gives_slots_to_every_deployment(key):
    queue = make_queue()
    WorkPool.objects.update(fair_share=key)
    crowd = make_deployment(queue, name="crowd", tags=["team:big"], author=1)
    crowd_too = make_deployment(queue, name="crowd too", tags=["team:big"], author=1)
    few = make_deployment(queue, name="few", tags=["team:small"], author=2)
    for n in range(30):
        waiting(queue, later(-100 - n), crowd if n % 2 or key == "deployment" else crowd_too)
    for _ in range(4):
        waiting(queue, later(-1), few)

    claims = make_agent().claim(NOON, limit=8)

    ids = [claim.flow_run_id for claim in claims]
    assert FlowRun.objects.filter(pk__in=ids, deployment_id=few.pk).count() == 4
    assert len(ids) == 8


def test_a_share_that_is_alone_gets_all_that_is_asked_for(monkeypatch):
    monkeypatch.setattr(shares, "MOST_OF_ONE", 3)
    monkeypatch.setattr(due, "MOST_OF_ONE", 3)
    queue = make_queue()
    WorkPool.objects.update(fair_share="deployment")
    deployment = make_deployment(queue)
    for n in range(10):
        waiting(queue, later(-n), deployment)

    assert len(make_agent().claim(limit=8)) == 8


def test_a_large_group_is_answered_in_portions(monkeypatch):
    monkeypatch.setattr(claims, "RUNS_AT_ONCE", 5)
    queue = make_queue()
    deployment = make_deployment(queue)
    agents = [make_agent(f"agent-{n}") for n in range(4)]
    for _ in range(20):
        waiting(queue, deployment=deployment)

    answers = claim_for_all([*(request_of(agent, 2) for agent in agents), request_of(agents[0], 9)], NOON)

    assert list(map(len, answers)) == [2, 2, 2, 2, 9]
    assert Lease.objects.count() == 17


STRICT = {
    "job_configuration": {"cpus": "{{ cpus }}"},
    "variables": {"properties": {"cpus": {"type": "integer", "maximum": 4}}, "additionalProperties": False},
}
FREE = {**STRICT, "variables": {"properties": {"cpus": {"type": "integer"}}}}


def templated(template) -> WorkQueue:
    queue = make_queue()
    WorkPool.objects.filter(pk=queue.work_pool_id).update(base_job_template=template)
    return queue


@pytest.mark.parametrize(
    ("of_deployment", "of_run", "fits"),
    [
        ({"cpus": 2}, {}, True),
        ({"cpus": 64}, {"cpus": 4}, True),
        ({}, {}, True),
        ({"cpus": 64}, {}, False),
        ({"cpus": 2}, {"cpus": 64}, False),
        ({"image": "x"}, {}, False),
    ],
)
def test_job_variables_that_fit_the_template_no_longer_crash_the_run_when_it_is_claimed(of_deployment, of_run, fits):
    """An operator stored job variables that are forbidden now. No agent may receive them."""
    queue = templated(FREE)
    deployment = make_deployment(queue, job_variables=of_deployment, crash_retries=3)
    run, other = waiting(queue, NOON, deployment, job_variables=of_run), waiting(queue, later(1))
    templated(STRICT)

    claimed = make_agent().claim(later(5), limit=2)

    assert {one.flow_run_id for one in claimed} == ({run.pk, other.pk} if fits else {other.pk})
    assert is_leased(run) == fits
    if not fits:
        last = FlowRunState.objects.filter(flow_run=run).latest("seq")
        assert (last.type, last.author) == ("CRASHED", "work pool")
        assert "do not fit the template of work pool 'default-agent-pool': " in last.message
        assert last.message.endswith("Change them, or the template, and retry the run.")


def test_a_run_that_was_refused_by_the_template_is_claimed_once_it_fits():
    queue = templated(STRICT)
    run = waiting(queue, NOON, make_deployment(queue, job_variables={"cpus": 64}))
    agent = make_agent()
    assert agent.claim(later(5)) == []
    Deployment.objects.update(job_variables={"cpus": 4})

    propose_flow_run_state(run_id=run.pk, proposed=scheduled(later(6)), now=later(6))

    assert [one.flow_run_id for one in agent.claim(later(7))] == [run.pk]


def test_runs_with_equal_job_variables_are_checked_once():
    queue = templated(STRICT)
    deployment = make_deployment(queue)
    for number in range(5):
        waiting(queue, later(number), deployment, job_variables={"cpus": 3})
    misfits._judged_text.cache_clear()

    assert len(make_agent().claim(later(9), limit=5)) == 5
    assert misfits._judged_text.cache_info().misses == 1
