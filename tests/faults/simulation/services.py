"""The real server: the services of dispatch and orchestration on whatever database the tests run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from deployments.dispatch.selectors.due import due_ids
from deployments.dispatch.services.agents import register_agent
from deployments.dispatch.services.attempt_exit import ProcessExit, report_end
from deployments.dispatch.services.claims import Claim as Granted
from deployments.dispatch.services.claims import WorkRequest, claim_for_all
from deployments.dispatch.services.heartbeats import record_heartbeat
from deployments.dispatch.services.reconciler import SERVICE, reconcile
from deployments.errors import AgentReplaced
from deployments.models import ConcurrencyLimit, Lease, ServiceRecord, Worker, WorkPool
from deployments.upkeep.selectors.invariants import violations
from orchestration.api.fencing import fenced
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import State, StateType, scheduled
from orchestration.core.verdicts import Accept
from orchestration.errors import RunLost
from orchestration.new_runs import NewTaskRun
from orchestration.services import propose_flow_run_state
from orionflow.contract.agents import AgentRegistration
from orionflow.contract.ids import uuid7
from runs.flow_runs.commands import cancel_flow_run
from runs.models import FlowRun, FlowRunState, TaskRun
from tests.factories import NOON, make_flow_run
from tests.faults.simulation.calls import LIMIT, STEP, Claim, Look, Plan, Replaced
from tests.services.dispatching import claims_of, make_deployment, make_queue

TAG, SLOTS = "gpu", 2


def at(now: int) -> datetime:
    return NOON + timedelta(seconds=now)


@dataclass(kw_only=True)
class Services:
    """Each run that starts also starts a task that needs a slot. The switches plant faults, as in the model."""

    fencing: bool = True
    reconciles: bool = True
    amnesty: bool = True

    ids: list[UUID] = field(default_factory=list)
    agents: dict[str, UUID] = field(default_factory=dict)
    incarnations: dict[tuple[str, int], UUID] = field(default_factory=dict)
    states: dict[int, UUID] = field(default_factory=dict)

    def create(self, plans: list[Plan]) -> None:
        self.queue = make_queue(concurrency_limit=LIMIT)
        self.numbers: dict[UUID, int] = {}
        # A crowd and a few, which take turns.
        WorkPool.objects.update(fair_share="deployment")
        deployments = [make_deployment(self.queue, name=name) for name in ("crowd", "few")]
        ConcurrencyLimit.objects.create(tag=TAG, concurrency_limit=SLOTS)
        for number, plan in enumerate(plans):
            deployment = deployments[number % 4 == 3]
            run = make_flow_run(
                scheduled(at(plan.due)),
                flow=deployment.flow,
                deployment_id=deployment.pk,
                work_queue_id=self.queue.pk,
                crash_retries=plan.crash_retries,
            )
            self.numbers[run.pk] = len(self.ids)
            self.ids.append(run.pk)

    def register(self, agent: str, start: int, now: int) -> None:
        who = AgentRegistration(
            name=agent, incarnation=self._incarnation(agent, start), work_queues=[self.queue.name], host="here"
        )
        row, _ = register_agent(who=who, now=at(now))
        self.agents[agent] = row.pk

    def claim(self, agent: str, start: int, run: int | None, now: int) -> list[Claim]:
        named = None if run is None else self.ids[run]
        try:
            claims = claims_of(WorkRequest(self.agents[agent], self._incarnation(agent, start), named=named), at(now))
        except AgentReplaced:
            raise Replaced from None
        return self._known(claims)

    def claim_together(self, asking: list[tuple[str, int]], now: int) -> list[list[Claim] | Replaced]:
        requests = [WorkRequest(self.agents[agent], self._incarnation(agent, start)) for agent, start in asking]
        answers = claim_for_all(requests, at(now))
        return [Replaced() if isinstance(one, Exception) else self._known(one) for one in answers]

    def _known(self, claims: list[Granted]) -> list[Claim]:
        return [Claim(self.numbers[claim.flow_run_id], claim.epoch) for claim in claims]

    def heartbeat(self, agent: str, start: int, runs: Mapping[int, int], now: int) -> dict[int, str]:
        try:
            orders = record_heartbeat(
                agent_id=self.agents[agent],
                incarnation=self._incarnation(agent, start),
                runs={self.ids[run]: epoch for run, epoch in runs.items()},
                draining=False,
                now=at(now),
            )
        except AgentReplaced:
            raise Replaced from None
        return {self.numbers[run_id]: str(order) for run_id, order in orders.items()}

    def report(self, run: int, epoch: int, state: str, token: int, now: int) -> str:
        def write() -> str:
            return self._reported(run, epoch if self.fencing else None, state, token, now)

        try:
            return fenced(self.ids[run], epoch, True, write) if self.fencing else write()
        except RunLost:
            return "lost"

    def _reported(self, run: int, epoch: int | None, state: str, token: int, now: int) -> str:
        proposed = State(type=StateType(state), id=self.states.setdefault(token, uuid7()))
        outcome = propose_flow_run_state(run_id=self.ids[run], proposed=proposed, now=at(now), epoch=epoch)
        is_accepted = isinstance(outcome.verdict, Accept)
        if is_accepted and state == "RUNNING":
            self._start_a_task(run, epoch, now)
        elif is_accepted:
            self._finish_tasks(run, epoch, now)
        return "accepted" if is_accepted else "refused"

    def _start_a_task(self, run: int, epoch: int | None, now: int) -> None:
        new = NewTaskRun(task_key="t", dynamic_key=str(epoch), flow_run_id=self.ids[run], name="t", tags=[TAG])
        task_id = uuid7()
        begun = TaskRunTransition(task_id, new, State(type=StateType.PENDING))
        self._apply(run, epoch, [begun, TaskRunTransition(task_id, None, State(type=StateType.RUNNING))], now)

    def _finish_tasks(self, run: int, epoch: int | None, now: int) -> None:
        open_tasks = TaskRun.objects.unfinished().filter(flow_run=self.ids[run]).values_list("pk", flat=True)
        done = State(type=StateType.COMPLETED)
        self._apply(run, epoch, [TaskRunTransition(task, None, done) for task in open_tasks], now)

    def _apply(self, run: int, epoch: int | None, items: list[TaskRunTransition], now: int) -> None:
        writer = None if epoch is None else (self.ids[run], epoch)
        apply_task_run_transitions(items=items, now=at(now), sent_at=None, writer=writer)

    def ended(self, run: int, epoch: int, now: int) -> None:
        lease = Lease.objects.select_related("worker").filter(flow_run=self.ids[run]).first()
        agent = lease.worker if lease and lease.worker else Worker.objects.get(pk=next(iter(self.agents.values())))
        try:
            report_end(flow_run_id=self.ids[run], epoch=epoch, process=ProcessExit(signal=9), agent=agent, now=at(now))
        except RunLost:
            return

    def cancel(self, run: int, now: int) -> None:
        cancel_flow_run(run_id=self.ids[run], now=at(now))

    def reconcile(self, now: int) -> None:
        if not self.amnesty:
            ServiceRecord.objects.filter(pk=SERVICE).update(last_success=at(now - STEP))
        if self.reconciles:
            reconcile(at(now))

    def due(self, now: int) -> list[int]:
        found = due_ids(queues=[self.queue.pk], before=at(now), limit=50)
        return [self.numbers[run_id] for run_id in found]

    def look(self) -> list[Look]:
        rows = {pk: Look(state or "", epoch) for pk, state, epoch in self._rows()}
        return [rows[run_id] for run_id in self.ids]

    def _rows(self) -> list[tuple[UUID, str | None, int]]:
        return list(FlowRun.objects.values_list("pk", "state_type", "epoch"))

    def history(self, run: int) -> list[Look]:
        states = FlowRunState.objects.filter(flow_run=self.ids[run]).order_by("seq")
        return [Look(*row) for row in states.values_list("type", "epoch")]

    def faults(self, now: int) -> list[str]:
        # During an outage leases run out and nobody is there to mind; whether that heals is another question.
        return [str(one) for one in violations(at(now)) if "has a lease that expired" not in one.message]

    def _incarnation(self, agent: str, start: int) -> UUID:
        return self.incarnations.setdefault((agent, start), uuid4())
