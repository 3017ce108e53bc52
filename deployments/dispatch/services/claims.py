"""Claiming: a due run is given to one agent and never to two.

One transaction answers all agents that ask at the same time: it sets PENDING by the rules, a new epoch, and the lease
for all their runs. Which runs to try, and who gets which, is only advice; everything that matters is checked again
under locks. Other servers do the same at the same time. A run that another transaction has locked is skipped, not
waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection

from deployments.dispatch.core.hand_out import Candidate, Taker
from deployments.dispatch.selectors.due import FOR_AGENTS, Advice, due_in
from deployments.dispatch.services.agents import OWNER, refuse_absent
from deployments.dispatch.services.misfits import crash_misfits
from deployments.errors import AgentReplaced
from deployments.limits.selectors.capacity import Room, chosen_by, room_in, uncounted
from deployments.models import Worker, WorkQueue
from orchestration.compiled import Compiled
from orchestration.core.states import State, StateType
from orchestration.errors import DomainError
from orchestration.measured import claim_attempts, claim_delay
from orchestration.moving import MovingRun
from orchestration.proposals import Proposal
from orchestration.tables import FLOW_RUNS, dialect, fetch, insert_rows
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Unit
from runs.models import FlowRun

# Extra runs in the advice, besides one more for each that is wanted: servers that ask at the same time get the same
# advice, and with these each finds some runs.
SPARE = 10
ROUNDS = 3
# The first runs of each deployment are read at most this many times, if deployments share the slots fairly.
LOOKS = 10
RUNS_AT_ONCE = 500
_LEASE = ("flow_run_id", "worker_id", "incarnation", "epoch", "granted_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that the agent now holds, and the attempt that it may execute."""

    flow_run_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """A request of one incarnation of an agent: the most urgent runs of its queues, up to `limit`, or one named run."""

    agent_id: UUID
    incarnation: UUID
    limit: int = 1
    named: UUID | None = None
    account: int = OWNER


@dataclass(slots=True)
class _Claimer:
    """An agent whose request is processed, and the runs that it has received."""

    request: WorkRequest
    agent: Worker
    queues: frozenset[UUID] = frozenset()
    claims: tuple[Claim, ...] = ()
    error: DomainError | None = None

    @property
    def taker(self) -> Taker:
        if self.error:
            return Taker(0)
        return Taker(max(self.request.limit - len(self.claims), 0), self.queues, self.request.named)


@dataclass(slots=True)
class _Tried:
    """The outcome of one transaction: claims by the index of their agent, and the runs that were not claimed."""

    claims: dict[int, list[Claim]] = field(default_factory=dict)
    # Refused by a rule.
    refused: set[UUID] = field(default_factory=set)
    # How many another server has locked or claimed, and how many runs were tried at all.
    taken: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Runs to lock in this order until `wanted` are locked, and their takers if those are decided."""

    runs: Sequence[Candidate]
    wanted: int
    takers: Mapping[UUID, int] = field(default_factory=dict)

    def tried(self, held: Collection[UUID]) -> Sequence[Candidate]:
        """Return the runs that were tried, if these could be locked: those behind the last one were not needed."""
        if len(held) < self.wanted:
            return self.runs
        return self.runs[: 1 + max(number for number, run in enumerate(self.runs) if run.id in held)]


_agents = Compiled(lambda ids: Worker.objects.filter(pk__in=ids).order_by())


def claim_for_all(requests: Sequence[WorkRequest], now: datetime) -> list[list[Claim] | Exception]:
    """Return the claimed runs for each request, or its error: AgentNotFound, AgentReplaced or AgentOfAnother."""
    agents = {agent.pk: agent for agent in _agents([request.agent_id for request in requests])}
    judged = [_judged(request, agents.get(request.agent_id)) for request in requests]
    claimers = [one for one in judged if isinstance(one, _Claimer) and not one.agent.draining and one.request.limit > 0]
    for portion in _portions(claimers):
        _claim(portion, now)
    return [one.error or list(one.claims) if isinstance(one, _Claimer) else one for one in judged]


def _portions(claimers: Sequence[_Claimer]) -> Iterator[list[_Claimer]]:
    """Yield groups of agents, each for one transaction, so that no transaction holds up other writers for too long."""
    portion: list[_Claimer] = []
    for one in claimers:
        if portion and sum(other.request.limit for other in portion) + one.request.limit > RUNS_AT_ONCE:
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion


def lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.ORION_LEASE_SECONDS)


def _judged(request: WorkRequest, agent: Worker | None) -> _Claimer | DomainError:
    try:
        return _Claimer(request, refuse_absent(agent, request.agent_id, request.incarnation, request.account))
    except DomainError as error:
        return error


def _claim(claimers: Sequence[_Claimer], now: datetime) -> None:
    refused: set[UUID] = set()
    taken = 0
    rounds = ROUNDS
    for look in range(LOOKS):
        # Read again at each look: what is refused may be refused because another server has used up the room.
        room = _room_of(claimers)
        wanted = _wanted(claimers)
        advice = Advice()
        if wanted:
            spare = wanted + taken + len(refused) + SPARE
            advice = due_in(room, before=now, limit=wanted + spare, spare=spare, among=FOR_AGENTS)
        if look == 0:
            advice = _with_named(advice, claimers)
        tried = _try(advice.without(refused), claimers, now)
        refused |= tried.refused
        taken += tried.taken
        # Look again only where more may be found: behind the runs that were read, or beside those that were refused.
        rounds -= bool(tried.refused or tried.taken)
        is_worthwhile = bool(tried.refused) or (advice.is_cut and tried.number > 0)
        if not rounds or not is_worthwhile or not _wanted(claimers):
            break
    if room.with_templates:
        _keep_what_fits(claimers, room, now)


def _wanted(claimers: Sequence[_Claimer]) -> int:
    return sum(one.taker.wanted for one in claimers if one.request.named is None)


def _try(advice: Advice, claimers: Sequence[_Claimer], now: datetime) -> _Tried:
    """Claim runs of the advice for the agents."""
    if not (attempt := _next(advice, [one.taker for one in claimers])):
        return _Tried()
    tried = _given(advice, attempt, claimers, now)
    for number, claims in tried.claims.items():
        claimers[number].claims += tuple(claims)
    claimed = sum(map(len, tried.claims.values()))
    claim_attempts.add({"claimed": claimed, "taken": tried.taken, "refused": len(tried.refused)})
    return tried


def _keep_what_fits(claimers: Sequence[_Claimer], room: Room, now: datetime) -> None:
    claimed = {claim.flow_run_id: claim.epoch for one in claimers for claim in one.claims}
    if claimed and (misfits := crash_misfits(claimed, pools=room.with_templates, now=now)):
        for one in claimers:
            one.claims = tuple(claim for claim in one.claims if claim.flow_run_id not in misfits)


@repeated_on_conflict
def _given(advice: Advice, attempt: _Attempt | None, claimers: Sequence[_Claimer], now: datetime) -> _Tried:
    """Propose all runs in one unit of work."""
    with write_transaction():
        if _refuse_replaced(claimers):
            attempt = _next(advice, [one.taker for one in claimers])
        unit, tried = Unit(now), _Tried()
        for run_id, number in _locked(unit, advice, attempt, claimers, tried):
            moving = unit.runs[run_id]
            if not _becomes_pending(unit, moving, claimers[number].agent):
                tried.refused.add(run_id)
                continue
            tried.claims.setdefault(number, []).append(Claim(run_id, moving.epoch))
            if (due := moving.stored.run.next_scheduled_start_time) is not None:
                claim_delay.observe((now - due).total_seconds())
        unit.write()
        _grant([(claimers[number].request, claims) for number, claims in tried.claims.items()], unit, now)
        return tried


def _next(advice: Advice, takers: Sequence[Taker]) -> _Attempt | None:
    """Return the runs to lock for these takers, and others in case that another server has some of them."""
    wanted = sum(taker.wanted for taker in takers)
    if connection.features.has_select_for_update_skip_locked and (runs := advice.in_order(takers, wanted + SPARE)):
        return _Attempt(runs, wanted)
    pairs = advice.among(takers)
    return _Attempt([run for run, _ in pairs], len(pairs), {run.id: number for run, number in pairs}) if pairs else None


def _locked(
    unit: Unit, advice: Advice, attempt: _Attempt | None, claimers: Sequence[_Claimer], tried: _Tried
) -> list[tuple[UUID, int]]:
    """Lock runs for the agents. In place of each that another server has, lock the next run of the advice.

    The replacements come before anything is proposed, because the rules count slots once for all runs of the unit.
    """
    locked: list[tuple[UUID, int]] = []
    takers = [one.taker for one in claimers]
    while attempt:
        held = set(unit.load_free(FLOW_RUNS, [run.id for run in attempt.runs], attempt.wanted))
        runs = attempt.tried(held)
        free = [run for run in runs if run.id in held and _is_due(unit.runs.get(run.id), unit.now)]
        pairs = [(run, attempt.takers[run.id]) for run in free] if attempt.takers else advice.only(free).among(takers)
        locked += [(run.id, number) for run, number in pairs]
        tried.number += len(runs)
        tried.taken += len(runs) - len(free)
        if len(free) in (len(runs), attempt.wanted):
            break
        received = Counter(number for _, number in pairs)
        takers = [taker.after(received[number]) for number, taker in enumerate(takers)]
        advice = advice.after(runs, free)
        attempt = _next(advice, takers)
    return locked


def _becomes_pending(unit: Unit, moving: MovingRun, agent: Worker) -> bool:
    pending = State(type=StateType.PENDING, message=f"Taken by agent {agent.name!r}.")
    proposal = Proposal(pending, unit.now, author=f"agent {agent.name}"[:255], new_attempt=True)
    outcome = unit.propose(moving, proposal)
    return outcome.written and outcome.state is not None and outcome.state.type is StateType.PENDING


def _is_due(moving: MovingRun | None, now: datetime) -> bool:
    """Whether the run may be claimed, as far as its row says: a run that is None is locked by another transaction."""
    if moving is None:
        return False
    state, due = moving.state, moving.run.next_scheduled_start_time
    if state is None or state.type is not StateType.SCHEDULED:
        return False
    if moving.run.leased or moving.run.policy.retry_type == "in_process":
        return False
    return due is None or due <= now


def _locked_incarnations(agent_ids: Iterable[UUID]) -> dict[UUID, UUID | None]:
    """Lock the agents against being registered again, deregistered or deleted, and return their incarnations.

    Heartbeats and other claims of the agent need no wait for this lock: a server that is frozen in its claim would
    otherwise cost all agents of the group their leases.
    """
    locking = " ORDER BY id FOR KEY SHARE" if connection.vendor == "postgresql" else ""
    rows = fetch("SELECT id, incarnation FROM deployments_worker WHERE id IN ", sorted(agent_ids), locking)
    read = dialect().read_uuid
    return {read(pk): incarnation and read(incarnation) for pk, incarnation in rows}


def _refuse_replaced(claimers: Iterable[_Claimer]) -> bool:
    """Lock the agents until their leases are stored, so that deregistering an incarnation finds all of its leases.

    Return whether one has been replaced.
    """
    present = _locked_incarnations({one.agent.pk for one in claimers})
    replaced = [one for one in claimers if present.get(one.agent.pk) != one.request.incarnation]
    for one in replaced:
        one.error = AgentReplaced(name=one.agent.name)
    return bool(replaced)


def _grant(granted: Sequence[tuple[WorkRequest, Sequence[Claim]]], unit: Unit, now: datetime) -> None:
    db, end = dialect(), lease_end(now)
    rows = [
        db.write([claim.flow_run_id, request.agent_id, request.incarnation, claim.epoch, now, end])
        for request, claims in granted
        for claim in claims
    ]
    # In the transaction of PENDING: without a lease, nothing takes the run back if its agent dies.
    insert_rows("deployments_lease", _LEASE, rows)
    # A process that the run names belongs to an earlier attempt.
    ids = [claim.flow_run_id for _, claims in granted for claim in claims]
    if named := [id for id in ids if unit.runs[id].run.infrastructure_pid is not None]:
        FlowRun.objects.filter(pk__in=named).update(infrastructure_pid=None)


# --- queues --------------------------------------------------------------------------------------------------------


def _room_of(claimers: Sequence[_Claimer]) -> Room:
    """Return the queues of all agents with their room. Agents of a whole pool also get queues created since."""
    pools = {one.agent.work_pool_id for one in claimers if one.agent.serves_pool}
    named = {UUID(id) for one in claimers if not one.agent.serves_pool for id in one.agent.queue_ids}
    is_counted = any(one.request.named is None for one in claimers)
    room = room_in(named, pools) if is_counted else uncounted(named, pools)
    of_pools: dict[UUID, list[UUID]] = {}
    for queue in room.queues:
        if queue.work_pool_id in pools:
            of_pools.setdefault(queue.work_pool_id, []).append(queue.pk)
    for one in claimers:
        agent = one.agent
        if not agent.serves_pool:
            one.queues = frozenset(UUID(id) for id in agent.queue_ids)
            continue
        one.queues = frozenset(of_pools.get(agent.work_pool_id, ()))
        ids = [str(id) for id in of_pools.get(agent.work_pool_id, ())]
        if set(ids) != set(agent.queue_ids):
            agent.queue_ids = ids
            Worker.objects.filter(pk=agent.pk).update(queue_ids=ids)
    return room


_queues_of_named = Compiled(
    lambda ids: FlowRun.objects.filter(FOR_AGENTS, pk__in=ids).order_by().values_list("pk", "work_queue_id")
)


def _with_named(advice: Advice, claimers: Sequence[_Claimer]) -> Advice:
    """Return the advice with named runs first, if they wait in a queue of the agent that asks for them."""
    ids = [one.request.named for one in claimers if one.request.named]
    if not ids:
        return advice
    queue_of = dict(_queues_of_named(ids))
    named = [
        Candidate(run_id, 0, 0, line)
        for one in claimers
        for run_id in queue_of
        if run_id == one.request.named and (line := _line_of(run_id, queue_of[run_id], one)) is not None
    ]
    return replace(advice, candidates=[*named, *advice.candidates])


def _line_of(run_id: UUID, queue_id: UUID | None, one: _Claimer) -> UUID | None:
    if queue_id in one.queues:
        return queue_id
    filtering = WorkQueue.objects.filter(pk__in=one.queues, filter__isnull=False)
    run = FlowRun.objects.filter(pk=run_id)
    return next((queue.pk for queue in filtering if run.filter(chosen_by(queue)).exists()), None)
