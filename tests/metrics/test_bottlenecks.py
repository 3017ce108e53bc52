"""`orion doctor` names what keeps an installation waiting: judged from figures, and found on a real server."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from deployments.models import ServiceRecord
from deployments.upkeep.selectors.service_health import ServiceHealth
from orchestration.measured import Distribution
from orion_site.metrics import recent, siblings
from orion_site.metrics.bottlenecks import Observed, PoolOfConnections, PoolOfThreads, judged
from orion_site.metrics.database import DatabaseFigures, PoolFigures, QueueFigures
from orion_site.metrics.observing import observed, sync_seconds
from orion_site.metrics.recent import Claims, recent_claims, slowest
from orion_site.metrics.views import shared
from tests.metrics.test_metrics import make_waiting
from tests.security.askers import Asker
from tests.services.dispatching import make_agent, make_queue

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def seen(*, figures: dict[str, Any] | None = None, **fields: Any) -> Observed:
    return Observed(database=DatabaseFigures(**(figures or {})), **{"vendor": "postgresql", **fields})


def queue(reason: str, *, depth: int = 5, wait: float = 60, **fields: Any) -> QueueFigures:
    named = {"pool": "p", "name": "q", "holding": 2, "limit": None, "text": "Why.", "fix": "Mend it.", **fields}
    return QueueFigures(depth=depth, oldest_wait=wait, reason=reason, **named)


def service(name: str = "hints", *, lag: float = 0, **fields: Any) -> ServiceHealth:
    return ServiceHealth(ServiceRecord(name=name, every_seconds=1, **fields), lag)


def took(seconds: float, times: int = 100) -> Any:
    distribution = Distribution()
    for _ in range(times):
        distribution.observe(seconds)
    return distribution.seen()


BUSY = {"queues": [queue("agents_full")], "pools": [PoolFigures("p", 2, 8, 8)]}


@pytest.mark.parametrize(
    ("observed", "part", "words"),
    [
        (seen(figures={"queues": [queue("no_agent")]}), "queues", ("5 due runs", "p/q", "Why.", "Mend it.")),
        (seen(figures={"queues": [queue("queue_full")]}), "queues", ("Why.", "Mend it.")),
        (seen(figures=BUSY), "agents", ("2 agents of pool p execute 8 of 8", "--concurrency")),
        (
            seen(figures={"queues": [queue("agents_full", pool="$(id)")], "pools": [PoolFigures("$(id)", 1, 1, 1)]}),
            "agents",
            ("--pool '$(id)' on",),
        ),
        (
            seen(figures={"queues": [queue("starting")]}, claims=Claims(90)),
            "claims",
            ("free slots", "no run in the last 90 s", "their logs", "ORION_BROKER_URL"),
        ),
        (
            seen(figures={"queues": [queue("starting")]}, claims=Claims(90, 450, 90), lately={"claims": took(20)}),
            "claims",
            ("5.0 runs a second", "one in twenty 30 s or more", "tried 0.2 that", "--concurrency", "--workers N"),
        ),
        (
            seen(figures={"queues": [queue("starting")]}, claims=Claims(90, 450, 0), vendor="sqlite"),
            "claims",
            ("5.0 runs a second", "PostgreSQL allows several"),
        ),
        (seen(claims=Claims(60, 300, 1500)), "claims", ("try the same runs", "tried 5.0 that", "fewer servers")),
        (seen(figures={"services": [service(lag=90)]}), "services", ("hints", "90 s", "orion services start")),
        (
            seen(figures={"services": [service(last_error="ValueError: odd", last_error_at=NOON)]}),
            "services",
            ("fails at each tick", "ValueError: odd"),
        ),
        (
            seen(silent={"worker-2": 40.0, "services": 20.0}),
            "processes",
            ("worker-2 of this server (and 1 more)", "no sign of life for 40 s", "kill -9"),
        ),
        (seen(threads=[PoolOfThreads("requests", 64, 64, 9)]), "threads", ("All 64", "503", "--workers")),
        (
            seen(threads=[PoolOfThreads("requests", 5, 64, 0)], lately={"wait for requests": took(0.4)}),
            "threads",
            ("waits 500 ms or more",),
        ),
        (seen(lately={"loop": took(0.4)}), "processor", ("event loop",)),
        (
            seen(connections=[PoolOfConnections("default", 20, 20, 3)]),
            "connections",
            ("3 threads", "ORION_DATABASE_POOL_SIZE=40"),
        ),
        (seen(figures={"connections": 99, "connections_limit": 100}), "connections", ("99 of 100",)),
        (seen(figures={"quickest_seconds": 0.3}), "database", ("300 ms", "pg_stat_activity")),
        (seen(vendor="sqlite", lately={"gate": took(0.7)}), "writers", ("take turns", "ORION_DATABASE_URL")),
        (seen(vendor="sqlite", sync_seconds=0.05, home="/slow"), "disk", ("/slow", "50 ms", "SSD")),
        (seen(full_disks=["/home"]), "disk", ("nearly full",)),
        (seen(unknown_tables=["runs_log"]), "statistics", ("runs_log", "ANALYZE runs_log")),
        (seen(parts_missing=["runs_log"]), "partitions", ("tomorrow", "upkeep")),
        (seen(replica="behind"), "replica", ("behind", "ORION_DATABASE_REPLICA_URL")),
        (seen(figures={"kept": {"logs": 30}, "oldest": {"logs": 90 * 86400}}), "retention", ("90 days", "30")),
        (seen(lately={"reports": took(9)}), "reports", ("10 s",)),
        (seen(figures={"events_waiting": 5000}), "automations", ("5000 events",)),
        (seen(figures={"messages_waiting": 500}), "notifications", ("500 messages",)),
    ],
)
def test_each_bottleneck_is_named_with_its_evidence_and_what_mends_it(
    observed: Observed, part: str, words: tuple[str, ...]
):
    (found,) = judged(observed)

    assert found.part == part
    for one in words:
        assert one in f"{found.evidence} {found.fix}"


@pytest.mark.parametrize(
    "observed",
    [
        seen(),
        # They are about to be claimed.
        seen(figures={"queues": [queue("starting", wait=2)]}),
        # The server has just started.
        seen(figures={"queues": [queue("starting")]}, claims=Claims(2)),
        seen(figures={"queues": [queue("no_agent", depth=0)]}),
        # Some is usual, and few say nothing.
        seen(claims=Claims(60, 300, 600)),
        seen(claims=Claims(60, 2, 40)),
        # Runs waited for a slot, or for their agent.
        seen(lately={"claims": took(500)}, claims=Claims(60, 300, 0)),
        # Too few to say.
        seen(lately={"loop": took(3, times=3)}),
        seen(threads=[PoolOfThreads("requests", 3, 64, 9)], lately={"wait for requests": took(0.001)}),
        seen(vendor="sqlite", sync_seconds=0.001),
        # Its server is away, which is another matter.
        seen(connections=[PoolOfConnections("default", 1, 20, 3)]),
        # For ever.
        seen(figures={"kept": {"logs": 0}, "oldest": {"logs": 900 * 86400}}),
    ],
)
def test_nothing_is_named_where_nothing_waits(observed: Observed):
    assert judged(observed) == []


def test_at_most_three_are_named_the_worst_first():
    many = seen(
        figures={"queues": [queue("no_agent", wait=600)], "messages_waiting": 500, "quickest_seconds": 0.3},
        replica="away",
        full_disks=["/home"],
    )

    assert [one.part for one in judged(many)] == ["queues", "disk", "database"]


def test_the_slowest_of_few_is_not_known():
    assert slowest(took(5, times=19)) == 0.0
    assert slowest(took(5, times=20)) == 5.0


def write_attempts(folder: Path, name: str, claimed: float, taken: float) -> None:
    lines = [
        f'orion_claim_attempts_total{{process="{name}",status="{status}"}} {number}'
        for status, number in (("claimed", claimed), ("taken", taken))
    ]
    (folder / f"{name}.prom").write_text("\n".join(["# TYPE orion_claim_attempts_total counter", *lines, ""]))


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a server whose first worker is this process, which has stored no figures yet."""
    monkeypatch.setattr(siblings, "siblings", siblings.Siblings("worker-1", tmp_path))
    monkeypatch.setattr(recent, "_past", deque(maxlen=recent.KEPT))
    return tmp_path


def test_claims_are_counted_with_those_of_the_other_processes(workers: Path):
    before = recent_claims()
    for number, name in enumerate(("worker-1", "worker-2", "worker-3"), 1):
        write_attempts(workers, name, claimed=number * 10, taken=number)

    now = recent_claims()

    assert (now.claimed - before.claimed, now.taken - before.taken) == (50, 5)
    assert now.seconds > 0


def test_claims_of_a_process_that_was_frozen_are_counted_once(workers: Path):
    write_attempts(workers, "worker-2", claimed=1000, taken=100)
    long_ago = time.time() - 3600
    os.utime(workers / "worker-2.prom", (long_ago, long_ago))
    recent.remember()

    write_attempts(workers, "worker-2", claimed=1003, taken=101)

    assert (recent_claims().claimed, recent_claims().taken) == (3, 1)


def test_claims_of_a_process_that_was_restarted_are_counted(workers: Path):
    for name in ("worker-2", "worker-3"):
        write_attempts(workers, name, claimed=1000, taken=100)
    recent.remember()

    write_attempts(workers, "worker-2", claimed=7, taken=2)
    write_attempts(workers, "worker-3", claimed=1010, taken=100)

    assert (recent_claims().claimed, recent_claims().taken) == (17, 2)


# --- on a real server ---


def of_part(part: str, client: Asker) -> dict[str, str]:
    """The disk of the tests may be slow as well."""
    found: list[dict[str, str]] = client.get("/api/admin/bottlenecks").json()
    return next(one for one in found if one["part"] == part)


@pytest.mark.django_db
def test_a_queue_without_agents_is_found(asker: Callable[[str | None], Asker]):
    shared.forget()
    make_waiting(make_queue("gpu"), 3, seconds=120)

    found = of_part("queues", asker("monitor"))

    assert "3 due runs wait in default-agent-pool/gpu, the first for" in found["evidence"]
    assert "orion agent start -q gpu" in found["fix"]


@pytest.mark.django_db
def test_agents_at_their_limit_are_found(asker: Callable[[str | None], Asker]):
    shared.forget()
    now = timezone.now()
    waiting = make_queue("gpu")
    agent = make_agent(queues=("gpu",), now=now, concurrency=1)
    make_waiting(waiting, 3, seconds=120)
    assert len(agent.claim(now=now)) == 1

    found = of_part("agents", asker("viewer"))

    assert "execute 1 of 1 runs" in found["evidence"]


@pytest.mark.django_db
def test_an_agents_key_may_not_ask(asker: Callable[[str | None], Asker]):
    assert asker("agent").get("/api/admin/bottlenecks").status_code == 403


@pytest.mark.django_db
def test_looking_at_the_installation_costs_no_more_than_a_scrape(django_assert_max_num_queries):
    shared.forget()
    figures = shared.figures()

    # On SQLite two for each of the large tables, and nothing for their rows.
    with django_assert_max_num_queries(10 if connection.vendor == "sqlite" else 5):
        found = observed(figures)

    assert found.vendor == connection.vendor
    assert 0 < sync_seconds() < 10
