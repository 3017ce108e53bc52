"""Find the present bottleneck of the installation, from the same figures as at /metrics.

`judged` is pure: from what was observed, it returns at most three findings, the worst first, each with its evidence and
the command or setting that fixes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from orchestration.measured import Seen
from orion_site.metrics.database import OTHERS, WITHOUT_QUEUE, DatabaseFigures, QueueFigures
from orion_site.metrics.recent import Claims, slowest

MOST = 3
SLOW_SYNC_SECONDS = 0.02
# Seconds that a due run may wait before it counts as a problem.
PATIENCE_SECONDS = 10.0
# Runs that are tried in vain for each claim, because another server has them; and how many say something.
MANY_IN_VAIN, ENOUGH_IN_VAIN = 3.0, 100


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A part that keeps others waiting. `weight` sorts them: roughly, the seconds of waiting."""

    part: str
    evidence: str
    fix: str
    weight: float


@dataclass(frozen=True, slots=True)
class PoolOfThreads:
    name: str
    in_flight: int
    limit: int
    refused: int


@dataclass(frozen=True, slots=True)
class PoolOfConnections:
    """The connections of this process to one database."""

    database: str
    size: int
    most: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Observed:
    """All observations. `lately` has the distributions of the last minutes by name, `claims` those of agents."""

    database: DatabaseFigures
    vendor: str
    lately: Mapping[str, Seen] = field(default_factory=dict)
    claims: Claims = Claims()
    # Processes of this server that seem to be frozen, and for how many seconds.
    silent: Mapping[str, float] = field(default_factory=dict)
    threads: Sequence[PoolOfThreads] = ()
    connections: Sequence[PoolOfConnections] = ()
    writers_waiting: int = 0
    # How long the disk of ORION_HOME takes to sync a write, and the path of ORION_HOME.
    sync_seconds: float = 0.0
    home: str = ""
    full_disks: Sequence[str] = ()
    # Large tables without planner statistics, and partitioned tables without a partition for tomorrow.
    unknown_tables: Sequence[str] = ()
    parts_missing: Sequence[str] = ()
    # Why the replica is not used, if there is one.
    replica: str = ""


def judged(seen: Observed) -> list[Bottleneck]:
    found = [
        *_waiting(seen),
        *_claims(seen),
        *_services(seen),
        *_processes(seen),
        *_threads(seen),
        *_connections(seen),
        *_database(seen),
        *_writers(seen),
        *_storage(seen),
        *_reports(seen),
    ]
    return sorted(found, key=lambda one: -one.weight)[:MOST]


def _waiting(seen: Observed) -> Iterator[Bottleneck]:
    """Yield due runs that wait: for each reason the queue that waits longest."""
    waiting: dict[str, list[QueueFigures]] = {}
    for queue in seen.database.queues:
        if queue.depth and queue.oldest_wait >= PATIENCE_SECONDS and queue.name not in {OTHERS, WITHOUT_QUEUE}:
            waiting.setdefault(queue.reason, []).append(queue)
    for reason, queues in waiting.items():
        worst = max(queues, key=lambda one: one.oldest_wait)
        number = sum(one.depth for one in queues)
        others = f" (and in {len(queues) - 1} more)" if len(queues) > 1 else ""
        wait = (
            f"{number} due runs wait in {worst.pool}/{worst.name}{others}, the first for {_period(worst.oldest_wait)}"
        )
        weight = worst.oldest_wait + number
        if reason == "starting":
            # A server that has just started has given out nothing yet.
            if seen.claims.seconds >= PATIENCE_SECONDS:
                evidence = f"{wait}, though its agents have free slots. {_pace(seen)}"
                yield Bottleneck("claims", evidence, _faster(seen), weight)
        elif reason == "agents_full":
            pool = next(one for one in seen.database.pools if one.name == worst.pool)
            evidence = (
                f"{wait}: the {pool.agents} agents of pool {pool.name} execute {pool.used} of {pool.places} runs."
            )
            fix = f"orion agent start --pool {quote(pool.name)} on another machine, or a higher --concurrency."
            yield Bottleneck("agents", evidence, fix, weight)
        else:
            yield Bottleneck("queues", f"{wait}. {worst.text}", worst.fix, weight)


def _claims(seen: Observed) -> Iterator[Bottleneck]:
    """Yield that servers get in each other's way, unless runs wait for their claims anyway."""
    waits = any(one.reason == "starting" and one.oldest_wait >= PATIENCE_SECONDS for one in seen.database.queues)
    if not waits and seen.claims.taken >= ENOUGH_IN_VAIN and _in_vain(seen) >= MANY_IN_VAIN:
        yield Bottleneck("claims", f"Servers try the same runs. {_pace(seen)}", _faster(seen), 5.0)


def _pace(seen: Observed) -> str:
    """Describe how fast claims were in the last minutes."""
    period, claimed = _period(seen.claims.seconds), seen.claims.claimed
    if not claimed:
        return f"This server gave out no run in the last {period}."
    pace = f"This server gave out {claimed / seen.claims.seconds:.1f} runs a second in the last {period}"
    if late := _slowest(seen, "claims"):
        pace += f", one in twenty {_period(late)} or more after it was due"
    return f"{pace}. For each, it tried {_in_vain(seen):.1f} that another process had."


def _faster(seen: Observed) -> str:
    """Return what makes claims faster."""
    if not seen.claims.claimed:
        return "Do its agents reach this server? Look at their logs. ORION_BROKER_URL lets agents be notified."
    ask_for_more = "Agents with a higher --concurrency ask for more runs at once, which costs less for each"
    if _in_vain(seen) >= MANY_IN_VAIN:
        return f"{ask_for_more}; or fewer servers and --workers that answer them."
    if seen.vendor == "postgresql":
        return f"{ask_for_more}; orion server start --workers N. ORION_BROKER_URL lets agents be notified."
    return f"{ask_for_more}; PostgreSQL allows several --workers. ORION_BROKER_URL lets agents be notified."


def _in_vain(seen: Observed) -> float:
    return seen.claims.taken / max(seen.claims.claimed, 1)


def _services(seen: Observed) -> Iterator[Bottleneck]:
    ailing = [one for one in seen.database.services if one.verdict != "well"]
    behind = sorted((one for one in ailing if one.verdict == "behind"), key=lambda one: -one.lag)
    if behind:
        names = ", ".join(one.record.name for one in behind[:3])
        evidence = f"{len(behind)} services are behind ({names}), by up to {_period(behind[0].lag)}."
        longest = max(behind, key=lambda one: one.record.last_seconds).record
        if longest.last_seconds > longest.every_seconds:
            evidence += f" The last tick of {longest.name} took {_period(longest.last_seconds)}."
        yield Bottleneck("services", evidence, "orion services start, on this machine or another one.", behind[0].lag)
    for one in ailing:
        if one.verdict == "failing":
            last_line = (one.record.last_error.strip().splitlines() or [""])[-1]
            evidence = f"The service {one.record.name} fails at each tick: {last_line[:200]}"
            yield Bottleneck("services", evidence, "orion services ls -o wide", 60.0)
            return


def _processes(seen: Observed) -> Iterator[Bottleneck]:
    if seen.silent:
        name, seconds = max(seen.silent.items(), key=lambda one: one[1])
        others = f" (and {len(seen.silent) - 1} more)" if len(seen.silent) > 1 else ""
        evidence = (
            f"The process {name} of this server{others} has shown no sign of life for {_period(seconds)}. "
            "Requests that it has accepted wait."
        )
        fix = "orion server status shows its number: kill -9 it, and the server starts another one."
        yield Bottleneck("processes", evidence, fix, seconds)


def _threads(seen: Observed) -> Iterator[Bottleneck]:
    for pool in seen.threads:
        waits = _slowest(seen, f"wait for {pool.name}")
        fix = (
            "orion server start --workers N, or another server; slow requests are what uses them up."
            if seen.vendor == "postgresql"
            else "Fewer open pages and pollers; on PostgreSQL also orion server start --workers N."
        )
        if pool.in_flight >= pool.limit:
            evidence = (
                f"All {pool.limit} requests that the pool {pool.name} holds are there; more are refused with 503."
            )
            yield Bottleneck("threads", evidence, fix, 100.0)
        elif waits >= 0.1:
            evidence = f"One request in twenty waits {_period(waits)} or more for a thread of the pool {pool.name}."
            yield Bottleneck("threads", evidence, fix, 20 * waits)
    if (late := _slowest(seen, "loop")) >= 0.1:
        evidence = f"The event loop of this process is late by {_period(late)} or more, one time in twenty."
        fix = (
            "Its core is used up: orion server start --workers N on PostgreSQL, or services elsewhere (--no-services)."
        )
        yield Bottleneck("processor", evidence, fix, 20 * late)


def _connections(seen: Observed) -> Iterator[Bottleneck]:
    for pool in seen.connections:
        # A pool that is not full is waiting for the database to connect.
        if pool.waiting and pool.size >= pool.most:
            evidence = (
                f"{pool.waiting} threads wait for one of the {pool.most} connections to the {pool.database} database."
            )
            yield Bottleneck("connections", evidence, f"ORION_DATABASE_POOL_SIZE={2 * pool.most}", 10.0 * pool.waiting)
    used, most = seen.database.connections, seen.database.connections_limit
    if used is not None and most and used > 0.9 * most:
        fix = "A lower ORION_DATABASE_POOL_SIZE, a higher max_connections of PostgreSQL, or a pooler between."
        yield Bottleneck("connections", f"PostgreSQL has {used} of {most} connections.", fix, 50.0)


def _database(seen: Observed) -> Iterator[Bottleneck]:
    took = seen.database.quickest_seconds
    if took >= 0.1:
        where = "PostgreSQL" if seen.vendor == "postgresql" else "SQLite"
        evidence = f"{where} takes {_period(took)} for a question about a dozen rows."
        fix = (
            "Look at its processor and disk, and at what runs there: pg_stat_activity."
            if seen.vendor == "postgresql"
            else ("Look at the disk and at what else uses it.")
        )
        yield Bottleneck("database", evidence, fix, 100 * took)
    if seen.unknown_tables:
        names = ", ".join(seen.unknown_tables)
        fix = (
            f"ANALYZE {seen.unknown_tables[0]};"
            if seen.vendor == "postgresql"
            else "orion services ls: does database upkeep tick?"
        )
        yield Bottleneck("statistics", f"The planner knows nothing of {names}, which are large.", fix, 8.0)
    if seen.parts_missing:
        names = ", ".join(seen.parts_missing)
        fix = "orion services ls: does database upkeep tick?"
        yield Bottleneck("partitions", f"No part for tomorrow was made of {names}.", fix, 15.0)
    if seen.replica:
        fix = "Look at its replication, or unset ORION_DATABASE_REPLICA_URL."
        yield Bottleneck("replica", f"The replica is {seen.replica}, so the primary answers for it.", fix, 12.0)


def _writers(seen: Observed) -> Iterator[Bottleneck]:
    waits = _slowest(seen, "gate")
    if waits >= 0.25 or seen.writers_waiting >= 8:
        now = f"{seen.writers_waiting} wait now, one in twenty for {_period(waits)} or more"
        evidence = f"Writers of SQLite take turns: {now}."
        yield Bottleneck("writers", evidence, "PostgreSQL: ORION_DATABASE_URL=postgresql://…", max(20 * waits, 5.0))


def _storage(seen: Observed) -> Iterator[Bottleneck]:
    if seen.sync_seconds >= SLOW_SYNC_SECONDS and seen.vendor == "sqlite":
        evidence = f"The disk below {seen.home} takes {_period(seen.sync_seconds)} to keep a small write."
        yield Bottleneck(
            "disk", evidence, "ORION_HOME on a local SSD, and not on a network or a busy disk.", 200 * seen.sync_seconds
        )
    for disk in seen.full_disks:
        yield Bottleneck(
            "disk", f"The disk of {disk} is nearly full.", "orion database purge, orion result purge", 80.0
        )
    for kind, days in seen.database.kept.items():
        age = seen.database.oldest.get(kind, 0.0) / 86400
        # Ages of runs count from their end, and some runs are kept because of others.
        if days and kind != "runs" and age > 1.5 * days:
            evidence = f"The oldest of the {kind} are {age:.0f} days old, and are to be kept for {days}."
            yield Bottleneck("retention", evidence, "orion database purge; does retention tick? orion services ls", 3.0)


def _reports(seen: Observed) -> Iterator[Bottleneck]:
    if (late := _slowest(seen, "reports")) >= 5:
        evidence = f"Reports of task runs are {_period(late)} old or more when they come, one batch in twenty."
        fix = "Look at the network between runs and this server, and at its clock: orion doctor, there."
        yield Bottleneck("reports", evidence, fix, late)
    if seen.database.events_waiting >= 1000:
        evidence = f"{seen.database.events_waiting} events wait for the triggers of automations."
        yield Bottleneck(
            "automations", evidence, "Fewer enabled automations; orion services ls: do triggers tick?", 6.0
        )
    if seen.database.messages_waiting >= 100:
        evidence = f"{seen.database.messages_waiting} messages of notifications wait to be sent."
        yield Bottleneck("notifications", evidence, "orion notify log: does their receiver answer?", 4.0)


def _slowest(seen: Observed, name: str) -> float:
    return slowest(seen.lately[name]) if name in seen.lately else 0.0


def _period(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
