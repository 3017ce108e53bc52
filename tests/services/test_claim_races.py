"""Claims, heartbeats and revocations under contention: threads with connections of their own."""

from __future__ import annotations

from contextlib import suppress

import pytest

from deployments.definitions.services.deployments import pause_unless_served, update_deployment
from deployments.dispatch.services.agents import leave
from deployments.dispatch.services.attempt_exit import Cause, revoke
from deployments.dispatch.services.claims import Wish, claim_for_all
from deployments.dispatch.services.reconciler import reconcile
from deployments.models import Lease, WorkPool
from orchestration.database_clock import database_now
from orchestration.errors import AgentReplaced
from runs.models import FlowRun, FlowRunState
from tests.factories import NOON, history_of, later, make_state, state_of
from tests.rounds import THOROUGH
from tests.services.dispatching import make_agent, make_deployment, make_queue, report, start, waiting
from tests.services.threads import race

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 200 if THOROUGH else 50


@pytest.mark.generative
@pytest.mark.parametrize("rivals", [2, 4])
def test_of_agents_that_claim_one_run_at_once_one_gets_it(rivals):
    queue = make_queue()
    deployment = make_deployment(queue)
    agents = [make_agent(f"agent-{n}") for n in range(rivals)]
    runs = [waiting(queue, deployment=deployment) for _ in range(ROUNDS)]

    def claim_all(agent):
        return [claim for run in runs for claim in agent.claim(run=run)]

    claimed = [claim.flow_run_id for claims in race(claim_all, agents) for claim in claims]

    assert sorted(claimed) == sorted(run.pk for run in runs)
    assert set(FlowRun.objects.values_list("state_type", "epoch")) == {("PENDING", 1)}
    assert FlowRunState.objects.filter(type="PENDING").count() == Lease.objects.count() == len(runs)


def test_agents_that_ask_at_once_share_what_is_due():
    queue = make_queue()
    deployment = make_deployment(queue)
    agents = [make_agent(f"agent-{n}") for n in range(4)]
    runs = [waiting(queue, deployment=deployment) for _ in range(40)]

    claims = race(lambda agent: [one for _ in range(8) for one in agent.claim(limit=2)], agents)

    claimed = [claim.flow_run_id for some in claims for claim in some]
    assert sorted(claimed) == sorted(run.pk for run in runs)


def test_agents_that_claim_at_once_never_exceed_a_limit():
    queue = make_queue(concurrency_limit=3)
    deployment = make_deployment(queue)
    agents = [make_agent(f"agent-{n}") for n in range(4)]
    for _ in range(20):
        waiting(queue, deployment=deployment)

    claims = race(lambda agent: agent.claim(limit=5), agents)

    assert sum(map(len, claims)) == FlowRun.objects.filter(state_type="PENDING").count() == 3


def test_servers_that_answer_groups_at_once_give_each_run_once_within_every_limit():
    queue, other = make_queue(concurrency_limit=25), make_queue("other")
    WorkPool.objects.update(fair_share="deployment")
    limited, free = make_deployment(queue, name="limited", concurrency_limit=7), make_deployment(other, name="free")
    runs = [waiting(queue, later(-n), limited) for n in range(20)] + [
        waiting(queue, deployment=free) for _ in range(40)
    ]
    runs += [waiting(other, deployment=free) for _ in range(40)]
    groups = [[make_agent(f"agent-{server}-{n}", queues=("q", "other")) for n in range(4)] for server in range(4)]

    def answer(group):
        wishes = [Wish(agent.id, agent.incarnation, 3) for agent in group]
        return [claim for _ in range(6) for claims in claim_for_all(wishes, NOON) for claim in claims]

    claimed = [claim.flow_run_id for claims in race(answer, groups) for claim in claims]

    going = FlowRun.objects.filter(state_type="PENDING")
    assert len(claimed) == len(set(claimed)) == Lease.objects.count() == going.count()
    assert set(going.values_list("epoch", flat=True)) == {1}
    assert going.filter(deployment_id=limited.pk).count() == 7
    assert going.filter(work_queue_id=queue.pk).count() == 25
    # The queue without a limit is empty.
    assert len(claimed) == 25 + 40 == len(runs) - 35


def test_a_claim_and_a_restart_at_once_leave_nothing_with_the_start_that_is_over():
    queue = make_queue()
    deployment = make_deployment(queue)
    for number in range(25):
        agent = make_agent(f"agent-{number}")
        run = waiting(queue, deployment=deployment)

        def claim_or_restart(restarts, agent=agent, run=run):
            if restarts:
                return make_agent(agent.name, now=later(1))
            with suppress(AgentReplaced):
                return agent.claim(run=run, now=later(1))

        race(claim_or_restart, [False, True])

        assert not Lease.objects.filter(incarnation=agent.incarnation).exists()
        assert state_of(run) == "SCHEDULED"


def test_several_reconcilers_take_a_run_back_once():
    queue = make_queue()
    deployment = make_deployment(queue)
    agent = make_agent()
    runs = [waiting(queue, deployment=deployment) for _ in range(10)]
    for claim in agent.claim(limit=10):
        start(claim, later(1))
    for second in range(0, 131, 5):
        reconcile(later(second))

    taken = race(reconcile, [later(131)] * 4)

    assert sum(taken) == 10
    assert {tuple(history_of(run)) for run in runs} == {("Scheduled", "Pending", "Running", "Crashed")}


def test_a_heartbeat_and_a_revocation_at_once_agree_on_who_has_the_run():
    queue = make_queue()
    deployment = make_deployment(queue)
    agent = make_agent()

    def contend(contender):
        claim, kind = contender
        if kind == "beat":
            return agent.beat([claim], later(15))
        return revoke(run_id=claim.flow_run_id, cause=Cause("Revoked.", "test"), now=later(15))

    for _ in range(20):
        waiting(queue, deployment=deployment)
        (claim,) = agent.claim()
        start(claim, later(1))
        race(contend, [(claim, "beat"), (claim, "revoke")])

        assert state_of(claim.flow_run_id) == "CRASHED"
        assert not Lease.objects.filter(pk=claim.flow_run_id).exists()
        assert agent.beat([claim], later(16)) == ["lost"]


def test_an_end_and_a_cancellation_at_once_leave_one_end():
    queue = make_queue()
    deployment = make_deployment(queue)
    agent = make_agent()

    def contend(contender):
        claim, state = contender
        return report(claim, make_state(state), later(2)).written

    for _ in range(20):
        run = waiting(queue, deployment=deployment)
        (claim,) = agent.claim()
        start(claim, later(1))
        race(contend, [(claim, "COMPLETED"), (claim, "CANCELLING")])
        agent.ended(claim, later(3), exit_code=0)

        assert history_of(run)[2:] in (["Running", "Completed"], ["Running", "Cancelling", "Cancelled"])


def test_a_deployment_that_somebody_begins_to_serve_is_active_whoever_ends_meanwhile():
    """In the order of a program that serves: deploy, register, resume; and in that of one that ends: leave, pause."""
    now = database_now()
    old = make_agent("old", now=now)
    deployment = make_deployment(make_queue())

    for number in range(20):

        def end(agent=old):
            leave(agent_id=agent.id, incarnation=agent.incarnation, now=database_now())
            pause_unless_served(deployment_id=deployment.pk, now=database_now())

        def begin(name=f"agent-{number}"):
            agent = make_agent(name, now=database_now())
            update_deployment(deployment_id=deployment.pk, changes={"paused": False}, now=database_now())
            return agent

        *_, old = race(lambda work: work(), [end, begin])
        deployment.refresh_from_db()
        assert not deployment.paused
