"""Claims, heartbeats and revocations under contention: threads with connections of their own."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from deployments.definitions.services.deployments import pause_unless_served, update_deployment
from deployments.dispatch.selectors.due import due_ids
from deployments.dispatch.services.agents import leave
from deployments.dispatch.services.attempt_exit import Cause, revoke
from deployments.dispatch.services.claims import WorkRequest, claim_for_all
from deployments.dispatch.services.reconciler import reconcile
from deployments.errors import AgentReplaced
from deployments.models import Deployment, Lease, WorkPool, WorkQueue
from orchestration.database_clock import database_now
from orionflow.contract.ids import uuid7
from runs.models import FlowRun, FlowRunState
from runs.querysets import is_holding
from tests.conftest import DATABASE
from tests.factories import NOON, history_of, later, make_state, state_of
from tests.rounds import THOROUGH, rounds
from tests.services.dispatching import make_agent, make_deployment, make_queue, report, start, waiting
from tests.services.threads import race

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 200 if THOROUGH else 50
locks_rows = pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite locks the whole file")


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
        requests = [WorkRequest(agent.id, agent.incarnation, 3) for agent in group]
        return [claim for _ in range(6) for claims in claim_for_all(requests, NOON) for claim in claims]

    claimed = [claim.flow_run_id for claims in race(answer, groups) for claim in claims]

    going = FlowRun.objects.filter(state_type="PENDING")
    assert len(claimed) == len(set(claimed)) == Lease.objects.count() == going.count()
    assert set(going.values_list("epoch", flat=True)) == {1}
    assert going.filter(deployment_id=limited.pk).count() == 7
    assert going.filter(work_queue_id=queue.pk).count() == 25
    # The queue without a limit is empty.
    assert len(claimed) == 25 + 40 == len(runs) - 35


@contextmanager
def locked_by_another(*runs: FlowRun) -> Iterator[None]:
    """Another connection has these runs locked, as a server that claims or hints them."""
    has_them, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(FlowRun.objects.select_for_update(no_key=True).filter(pk__in=[run.pk for run in runs]))
                has_them.set()
                may_end.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert has_them.wait(10)
        yield
    finally:
        may_end.set()
        thread.join()


@contextmanager
def frozen(work: Callable[[], object], after: str) -> Iterator[None]:
    """Another server does this work, and stands still after its first statement that contains the given words."""
    stands_still, may_go_on = threading.Event(), threading.Event()

    def execute(run: Callable[..., Any], *statement: Any) -> Any:
        answer = run(*statement)
        if after in statement[0] and not stands_still.is_set():
            stands_still.set()
            may_go_on.wait(60)
        return answer

    def do(_: object) -> None:
        with connection.execute_wrapper(execute):
            work()

    thread = threading.Thread(target=race, args=(do, [None]))
    thread.start()
    try:
        assert stands_still.wait(10)
        yield
    finally:
        may_go_on.set()
        thread.join()


@contextmanager
def after_the_first_advice(work: Callable[[], object]) -> Iterator[None]:
    """Do this on another connection when this one has read which runs are due, before it claims them."""
    left = [work]

    def execute(run: Callable[..., Any], *statement: Any) -> Any:
        answer = run(*statement)
        if is_advice(statement[0]) and left:
            race(lambda last: last(), [left.pop()])
        return answer

    with connection.execute_wrapper(execute):
        yield


def is_advice(sql: str) -> bool:
    return "AS first" in sql


def reads_of(queries: CaptureQueriesContext) -> int:
    return sum(is_advice(query["sql"]) for query in queries)


def ids_of(claims: Collection[Any]) -> list[UUID]:
    return [claim.flow_run_id for claim in claims]


@locks_rows
def test_a_claim_takes_the_next_runs_for_those_that_are_locked_without_reading_again():
    queue = make_queue()
    deployment = make_deployment(queue)
    runs = [waiting(queue, later(n - 10), deployment) for n in range(8)]
    agent = make_agent()

    with locked_by_another(*runs[:3]), CaptureQueriesContext(connection) as queries:
        claims = agent.claim(limit=2)

    assert ids_of(claims) == [run.pk for run in runs[3:5]]
    assert reads_of(queries) == 1
    assert sum("SKIP LOCKED" in query["sql"] for query in queries) == 1
    assert ids_of(agent.claim(limit=3)) == [run.pk for run in runs[:3]]


@locks_rows
def test_a_claim_locks_no_more_runs_than_it_gives_to_agents():
    queue = make_queue()
    deployment = make_deployment(queue)
    runs = [waiting(queue, later(n - 10), deployment) for n in range(4)]
    agent, other = make_agent(), make_agent("other")

    with frozen(lambda: agent.claim(limit=2), "SKIP LOCKED"):
        claims = other.claim(limit=2)

    assert ids_of(claims) == [run.pk for run in runs[2:]]


def copy_of(run: FlowRun) -> FlowRun:
    copy = FlowRun.objects.get(pk=run.pk)
    copy.pk, copy.idempotency_key, copy.state_id = uuid7(), None, None
    return copy


@locks_rows
def test_a_claim_finds_the_rows_to_lock_by_their_ids():
    queue = make_queue()
    deployment = make_deployment(queue)
    run = waiting(queue, deployment=deployment)
    FlowRun.objects.bulk_create(copy_of(run) for _ in range(600))
    agent = make_agent()

    with CaptureQueriesContext(connection) as queries:
        agent.claim(limit=2)

    lock, *_ = [query["sql"] for query in queries if "SKIP LOCKED" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {lock}")
        assert "Index Cond: ((state_type" not in "".join(line for (line,) in cursor.fetchall())


def test_a_claim_takes_the_next_runs_for_those_that_another_server_claimed_meanwhile():
    queue = make_queue()
    deployment = make_deployment(queue)
    runs = [waiting(queue, later(n - 10), deployment) for n in range(8)]
    agent, other = make_agent(), make_agent("other")

    with after_the_first_advice(lambda: other.claim(limit=3)), CaptureQueriesContext(connection) as queries:
        claims = agent.claim(limit=2)

    assert ids_of(claims) == [run.pk for run in runs[3:5]]
    assert reads_of(queries) == 1


@locks_rows
def test_a_free_slot_is_used_though_the_first_run_is_locked():
    queue = make_queue(concurrency_limit=1)
    deployment = make_deployment(queue)
    locked, free = (waiting(queue, later(n - 10), deployment) for n in range(2))

    with locked_by_another(locked):
        claims = make_agent().claim()

    assert ids_of(claims) == [free.pk]


@locks_rows
def test_a_limited_queue_goes_first_although_another_server_has_its_first_run():
    urgent, patient = make_queue("urgent", priority=1, concurrency_limit=1), make_queue("patient", priority=2)
    deployment = make_deployment(urgent)
    locked, free = (waiting(urgent, later(n - 10), deployment) for n in range(2))
    waiting(patient, later(-60), deployment)

    with locked_by_another(locked):
        claims = make_agent(queues=("urgent", "patient")).claim()

    assert ids_of(claims) == [free.pk]


def test_a_deployment_that_becomes_full_does_not_hide_the_runs_behind_its_own():
    queue = make_queue()
    crowd = make_deployment(queue, name="crowd", concurrency_limit=1)
    other = make_deployment(queue, name="other")
    first, *_ = [waiting(queue, later(n - 100), crowd) for n in range(40)]
    behind = [waiting(queue, later(n - 10), other) for n in range(4)]

    claims = make_agent().claim(limit=5)

    assert ids_of(claims) == [run.pk for run in (first, *behind)]


def test_servers_together_hand_out_the_most_urgent_runs():
    urgent, patient = make_queue("urgent", priority=1), make_queue("patient", priority=2)
    deployment = make_deployment(urgent)
    first = [waiting(urgent, later(-n), deployment).pk for n in range(14)]
    then = [waiting(patient, later(n - 60), deployment).pk for n in range(30)]
    groups = [[make_agent(f"a-{server}-{n}", queues=("urgent", "patient")) for n in range(3)] for server in range(4)]

    answers = race(lambda group: answered(group, limit=2), groups)

    assert sorted(claim.flow_run_id for claims in answers for claim in claims) == sorted([*first, *then[:10]])


def test_servers_together_share_fairly():
    queue = make_queue()
    WorkPool.objects.update(fair_share="deployment")
    crowd, few = make_deployment(queue, name="crowd"), make_deployment(queue, name="few")
    for n in range(60):
        waiting(queue, later(-100 - n), crowd)
    for n in range(15):
        waiting(queue, later(-n), few)
    groups = [[make_agent(f"agent-{server}-{n}") for n in range(3)] for server in range(4)]

    answers = race(lambda group: answered(group, limit=2), groups)

    assert sum(map(len, answers)) == 24
    assert FlowRun.objects.filter(state_type="PENDING", deployment_id=few.pk).count() == 12


def answered(group, limit):
    requests = [WorkRequest(agent.id, agent.incarnation, limit) for agent in group]
    return [claim for claims in claim_for_all(requests, NOON) for claim in claims]


class Crowd:
    """Queues with priorities, limits everywhere, deployments and due runs, as a seed draws them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.names = ("first", "second", "third")
        queues = [
            make_queue(name, priority=self.chance.randint(1, 2), concurrency_limit=self.limit(8)) for name in self.names
        ]
        pool = {"concurrency_limit": self.limit(15), "fair_share": self.chance.choice([None, "deployment"])}
        WorkPool.objects.update(**pool)
        deployments = [make_deployment(queues[0], name=f"d-{n}", concurrency_limit=self.limit(6)) for n in range(4)]
        for _ in range(70):
            # Few different times: many runs are due at the same one.
            waiting(self.chance.choice(queues), later(-self.chance.randrange(5)), self.chance.choice(deployments))
        # Each server has an agent of all queues; the others serve some.
        self.groups = [
            [make_agent(f"a-{server}-{n}", queues=self.names if n == 0 else self.some()) for n in range(3)]
            for server in range(4)
        ]

    def limit(self, most: int) -> int | None:
        return self.chance.choice([None, self.chance.randint(1, most)])

    def some(self) -> tuple[str, ...]:
        return tuple(self.chance.sample(self.names, self.chance.randint(1, 2)))


def beyond_limits() -> list[str]:
    """Return the queues, pools and deployments that have more runs than they may, as one statement sees them."""
    held = FlowRun.objects.filter(is_holding()).values_list("work_queue_id", "deployment_id")
    pool_of = dict(WorkQueue.objects.values_list("pk", "work_pool_id"))
    taken = Counter(key for queue, deployment in held for key in (queue, pool_of[queue], deployment))
    limited = [
        *WorkQueue.objects.values_list("pk", "concurrency_limit"),
        *WorkPool.objects.values_list("pk", "concurrency_limit"),
        *Deployment.objects.values_list("pk", "concurrency_limit"),
    ]
    return [f"{pk}: {taken[pk]} of {most}" for pk, most in limited if most is not None and taken[pk] > most]


@pytest.mark.turns
@pytest.mark.generative
@pytest.mark.parametrize("seed", range(rounds(3)))
def test_servers_hand_out_each_run_once_within_every_limit_and_leave_none_that_could_start(seed):
    crowd = Crowd(seed)
    given: list[UUID] = []

    def answer(group):
        found, too_many = [], []
        while claims := answered(group, limit=crowd.chance.randint(1, 3)):
            found += claims
            too_many += beyond_limits()
        return found, too_many

    while True:
        answers = race(answer, crowd.groups)
        claims = [claim for found, _ in answers for claim in found]
        given += ids_of(claims)

        # Agents still ask, so what waits may not start.
        assert [one for _, too_many in answers for one in too_many] == []
        assert due_ids(before=NOON, limit=100) == []
        if not claims:
            break
        for claim in claims:
            report(claim, "COMPLETED", NOON)

    assert sorted(given) == sorted(FlowRun.objects.values_list("pk", flat=True))
    assert set(FlowRun.objects.values_list("state_type", "epoch")) == {("COMPLETED", 1)}
    assert not Lease.objects.exists()


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


@locks_rows
@pytest.mark.parametrize("stage", ["claim", "heartbeat"])
def test_heartbeats_renew_leases_while_another_server_is_frozen_in_a_request_of_the_agent(stage):
    queue = make_queue()
    deployment = make_deployment(queue)
    for _ in range(2):
        waiting(queue, deployment=deployment)
    agent = make_agent()
    (claim,) = agent.claim()
    start(claim, later(1))
    requests = {
        "claim": (lambda: agent.claim(now=later(2)), "SKIP LOCKED"),
        "heartbeat": (lambda: agent.beat([claim], later(2)), "UPDATE"),
    }

    with frozen(*requests[stage]):
        orders = agent.beat([claim], later(15))

    assert orders == ["ok"]
    assert Lease.objects.get(pk=claim.flow_run_id).expires_at == later(135)


def is_waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


@locks_rows
@pytest.mark.parametrize("end", ["leaves", "is started again"])
def test_an_agent_that_ends_while_a_claim_is_processed_holds_nothing_afterwards(end):
    queue = make_queue()
    run = waiting(queue)
    agent = make_agent()
    ends = {
        "leaves": lambda: leave(agent_id=agent.id, incarnation=agent.incarnation, now=later(3)),
        "is started again": lambda: make_agent(agent.name, now=later(3)),
    }
    ending = threading.Thread(target=race, args=(lambda work: work(), [ends[end]]))

    with frozen(lambda: agent.claim(now=later(2)), "SKIP LOCKED"):
        ending.start()
        while ending.is_alive() and not is_waiting_for_a_lock():
            time.sleep(0.02)
    ending.join()

    assert not Lease.objects.exists()
    assert state_of(run) == "SCHEDULED"


def test_a_deployment_that_an_agent_begins_to_serve_stays_active():
    """A program that serves deploys, registers and resumes. One that ends leaves and pauses."""
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
