"""Reasons why a deployed run waits: a pause, a full queue, no agent that polls the queue, a silent agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any
from uuid import UUID

from deployments.dispatch.selectors.liveness import is_recent, is_served, served_queues
from deployments.dispatch.selectors.shares import going, shares_of
from deployments.limits.selectors.capacity import holding_by_deployment
from deployments.limits.selectors.holders import holders_in
from deployments.models import Deployment, Lease, Worker, WorkPool, WorkQueue
from orchestration.authors import refusal
from orionflow.contract.kinds import BY_DEPLOYMENT
from orionflow.contract.names import quoted
from runs.models import FlowRun
from runs.why.selectors.blockers import HOLDERS_SHOWN, Reason, moment_text

_Limited = WorkQueue | WorkPool | Deployment
MOST_CALLERS = 50


def queue_blockers(run: FlowRun, now: datetime) -> Iterator[Reason]:
    """Yield the reasons why a deployed run that is due has not started."""
    if run.deployment_id is None and run.work_queue_id is None:
        return
    deployment = Deployment.objects.filter(pk=run.deployment_id).first() if run.deployment_id else None
    queues = WorkQueue.objects.select_related("work_pool")
    queue = queues.filter(pk=run.work_queue_id).first() if run.work_queue_id else None
    if queue is None:
        yield from _without_queue(deployment, now)
    else:
        yield from _in_queue(run, queue, now)
        yield from _not_for_agents(run, deployment, queue, now)
    if deployment is not None:
        yield from _refused_to_author(run, deployment)
        yield from _full(run, "deployment", deployment)


def _refused_to_author(run: FlowRun, deployment: Deployment) -> Iterator[Reason]:
    """Yield a reason if a schedule planned the run, but the author of its deployment has no permission to run it."""
    if not run.auto_scheduled:
        return
    if reason := refusal(deployment.author, "deployments.run", Deployment._meta.db_table, deployment.pk):
        text = (
            f"A schedule planned it, and {deployment.author_name}, who deployed {quoted(deployment.name)}, "
            "may not run it: "
        )
        command = f"orion deployment adopt {deployment.pk}"
        fix = f"Somebody who may run it deploys it again, or answers for it: {command}"
        yield Reason("author_refused", f"{text}{reason}", fix, run.next_scheduled_start_time, command=command)


def _without_queue(deployment: Deployment | None, now: datetime) -> Iterator[Reason]:
    if deployment is None:
        yield Reason("no_queue", "It waits in no queue, so only its own process can start it.")
    elif not is_recent(deployment.last_polled, now):
        asked = f"since {moment_text(deployment.last_polled)}" if deployment.last_polled else "so far"
        served = quoted(deployment.name)
        text = f"It waits in no queue, and no process that serves {served} has asked for its runs {asked}."
        yield Reason("no_queue", text, "Serve the flow again, or give its deployment a work queue.")


def _in_queue(run: FlowRun, queue: WorkQueue, now: datetime) -> Iterator[Reason]:
    yield from _closed(queue, lambda: bool(served_queues([queue], now)))
    yield from _full(run, "queue", queue)
    if queue.work_pool is not None:
        yield from _full(run, "pool", queue.work_pool)
        yield from _others_turn(run, queue.work_pool)


def _others_turn(run: FlowRun, pool: WorkPool) -> Iterator[Reason]:
    """Yield a reason if the pool has fair shares, and shares with fewer active runs take precedence."""
    if pool.fair_share is None:
        return
    holding = holding_by_deployment()
    fair: dict[UUID | None, str] = {pool.pk: pool.fair_share}
    shares = shares_of(fair, holding, {run.deployment_id})
    mine = shares[pool.pk, run.deployment_id]
    if runs := going(shares, holding, fair).get(mine):
        whose = f"share {quoted(mine[1])}" if mine[1] and pool.fair_share != BY_DEPLOYMENT else "share"
        under_way = "1 run" if runs == 1 else f"{runs} runs"
        turns = f"In work pool {quoted(pool.name)} runs take turns by {pool.fair_share}"
        text = f"{turns}, and its {whose} has {under_way} under way: those with fewer go first."
        command = f"orion work-pool clear-fair-share {quote(pool.name)}"
        fix = f"Wait for its turn, or end the turns: {command}"
        yield Reason("fair_share", text, fix, run.next_scheduled_start_time, command=command)


def blockers_of_queue(
    queue: WorkQueue, *, workers: Sequence[Worker], taken: Mapping[UUID, int], now: datetime
) -> Iterator[Reason]:
    """Yield what holds back every run of a queue, given the live workers and the number of slots taken."""
    yield from _closed(queue, lambda: is_served(queue, workers, now))
    for kind, limited in (("queue", queue), ("pool", queue.work_pool)):
        if limited is not None and limited.concurrency_limit is not None:
            held = taken.get(limited.pk, 0)
            if held >= limited.concurrency_limit:
                slots = limited.concurrency_limit
                text = f"Work {kind} {quoted(limited.name)} is full: {held} of {slots} slots are taken."
                yield Reason(f"{kind}_full", text, "Wait for one of the holders, end one, or raise the limit.")


def _closed(queue: WorkQueue, is_served: Callable[[], bool]) -> Iterator[Reason]:
    """Yield a reason if a queue or its pool is paused or has no agent; `is_served` is called only if needed."""
    pool = queue.work_pool
    if pool is not None and pool.is_paused:
        yield Reason("pool_paused", f"Work pool {quoted(pool.name)} is paused.", "Resume the work pool.")
    if queue.is_paused:
        yield Reason("queue_paused", f"Work queue {quoted(queue.name)} is paused.", "Resume the work queue.")
    elif not is_served():
        yield _unserved(queue)


def _unserved(queue: WorkQueue) -> Reason:
    asked = f"has asked it for work since {moment_text(queue.last_polled)}" if queue.last_polled else "asks it for work"
    name = f"{quoted(queue.name)}{_of_its_pool(queue)}"
    text = f"Nobody serves work queue {name}: no live agent has it among its queues, and no worker {asked}."
    command = f"orion agent start {_address(queue)}"
    return Reason("no_agent", text, f"Start an agent: {command}", queue.last_polled, command=command)


def _of_its_pool(queue: WorkQueue) -> str:
    """Name the pool, unless it is the default one: each pool has a queue 'default'."""
    pool = queue.work_pool
    return "" if pool is None or pool.name == WorkPool.DEFAULT_NAME else f" of pool {quoted(pool.name)}"


def _address(queue: WorkQueue) -> str:
    pool = queue.work_pool
    of_pool = f"--pool {quote(pool.name)} " if pool and _of_its_pool(queue) else ""
    return f"{of_pool}-q {quote(queue.name)}"


def _not_for_agents(run: FlowRun, deployment: Deployment | None, queue: WorkQueue, now: datetime) -> Iterator[Reason]:
    """Yield a reason if Orion's agents cannot execute the run, and no other worker polls the queue."""
    has_entrypoint = deployment is None or deployment.entrypoint is not None
    if (has_entrypoint and run.infrastructure_document_id is None) or is_recent(queue.last_polled, now):
        return
    why = "asks for infrastructure of another make" if has_entrypoint else "names no entry point"
    text = f"Its deployment {why}, so Orion's agents leave it to the workers of that make, and none of them asks."
    yield Reason("not_for_agents", text, "Start such a worker, or hand the flow over with `orion deploy`.")


def _full(run: FlowRun, kind: str, limited: _Limited) -> Iterator[Reason]:
    """Yield a reason if the limit is full, with the runs that hold its slots."""
    limit = limited.concurrency_limit
    if limit is None:
        return
    holders = list(holders_in(limited)[: max(limit, HOLDERS_SHOWN)])
    if len(holders) < limit:
        return
    what = "Deployment" if kind == "deployment" else f"Work {kind}"
    text = f"{what} {quoted(limited.name)} is full: {len(holders)} of {limit} slots are taken."
    fix = "Wait for one of the holders, end one, or raise the limit."
    since = holders[0].state_timestamp if holders else None
    yield Reason(f"{kind}_full", text, fix, since, [_holder(one) for one in holders[:HOLDERS_SHOWN]])
    yield from _held_by_callers(run, f"{what[0].lower()}{what[1:]} {quoted(limited.name)}", limited)


def _held_by_callers(run: FlowRun, where: str, limited: _Limited) -> Iterator[Reason]:
    """Yield a reason if a caller of the run holds the slot that it waits for, while the caller waits for the run."""
    callers = list(_callers(run))
    if callers and (holder := holders_in(limited).filter(pk__in=callers).first()):
        text = (
            f"{quoted(holder.name)}, which called it, holds a slot of {where}: "
            "if it waits for this run, neither continues."
        )
        fix = "Raise the limit, or give the flow that is called a queue of its own."
        yield Reason("caller_holds_place", text, fix, holder.state_timestamp, [_holder(holder)])


def _callers(run: FlowRun) -> Iterator[UUID]:
    """Yield the run that called this one, then the caller of that one, and so on."""
    called_from = run.parent_task_run_id
    for _ in range(MOST_CALLERS):
        if called_from is None:
            return
        caller = FlowRun.objects.filter(task_runs=called_from).values_list("pk", "parent_task_run_id").first()
        if caller is None:
            return
        yield caller[0]
        called_from = caller[1]


def _holder(run: FlowRun) -> dict[str, Any]:
    since = run.state_timestamp
    return {"kind": "flow-run", "id": run.pk, "name": run.name, "state_type": run.state_type, "since": since}


def agent_of(run: FlowRun, now: datetime) -> Iterator[Reason]:
    """Yield the agent that claimed the run, or that its heartbeats are missing."""
    if run.deployment_id is None and run.work_queue_id is None:
        return
    lease = Lease.objects.select_related("worker").filter(flow_run=run).first()
    if lease is None:
        return
    name = repr(lease.worker.name) if lease.worker else "of an unknown name"
    if lease.expires_at <= now:
        last_heartbeat = lease.worker.last_heartbeat if lease.worker else None
        text = f"Its agent {name} has not reported since {moment_text(last_heartbeat or lease.granted_at)}."
        fix = "It is revoked when the grace is over; look whether the agent's machine is there."
        yield Reason("agent_silent", text, fix, last_heartbeat or lease.granted_at)
    elif run.state_type == "PENDING":
        yield Reason("claimed", f"Agent {name} has claimed it and is starting its process.", since=lease.granted_at)
