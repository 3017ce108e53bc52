"""The figures of this process: its threads, connections, websockets and event loop, and what it recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connections
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from deployments.dispatch.waiting_agents import waiting_agents
from orchestration.measured import Distribution, claim_attempts, claim_delay, report_delay
from orion_site.database.sqlite.gate import gates
from orion_site.http.thread_pools import pools
from orion_site.metrics import event_loop
from orion_site.metrics.transitions import transitions

# In no registry: its samples get the name of the process like all others, for the sum of all processes.
_own = ProcessCollector(registry=None)


def families(process: str) -> Iterator[Metric]:
    """Yield all metric families, each sample with the name of the process."""
    for family in _families():
        family.samples = [one._replace(labels={**one.labels, "process": process}) for one in family.samples]
        yield family


def _families() -> Iterator[Metric]:
    yield from _requests()
    yield from _sockets()
    yield from _connections()
    yield from _gate()
    yield _histogram(
        "orion_event_loop_lateness_seconds", "How late the event loop called a timer.", event_loop.lateness
    )
    yield counter(
        "orion_transitions",
        "Runs that a transaction left in another state, by kind of run and type of that state.",
        ("kind", "state"),
        ((key, number) for key, number in transitions().items()),
    )
    yield _histogram(
        "orion_claim_delay_seconds", "From the moment a run was due to its claim by an agent.", claim_delay
    )
    yield counter(
        "orion_claim_attempts",
        "Runs that were tried for agents: claimed, taken by another server meanwhile, or refused by a rule.",
        ("status",),
        (((status,), number) for status, number in claim_attempts.seen().items()),
    )
    yield _histogram(
        "orion_report_delay_seconds", "The age of the oldest report of task runs in a batch when it came.", report_delay
    )
    yield from _own.collect()


def _requests() -> Iterator[Metric]:
    own = list(pools)
    of = ("pool",)
    yield gauge(
        "orion_http_threads", "Threads that answer requests, by pool.", of, (((one.name,), one.threads) for one in own)
    )
    yield gauge(
        "orion_http_in_flight",
        "Requests that run or wait for a thread.",
        of,
        (((one.name,), one.admitted) for one in own),
    )
    yield gauge(
        "orion_http_in_flight_limit",
        "So many requests a pool holds; beyond that the answer is 503.",
        of,
        (((one.name,), one.limit) for one in own),
    )
    yield counter(
        "orion_http_refused",
        "Requests that were answered with 503 because the pool was full.",
        of,
        (((one.name,), one.refused) for one in own),
    )
    waited = HistogramMetricFamily("orion_http_wait_seconds", "How long requests waited for a thread.", labels=of)
    worked = HistogramMetricFamily("orion_http_work_seconds", "How long a thread worked on a request.", labels=of)
    for one in own:
        _add(waited, (one.name,), one.waited)
        _add(worked, (one.name,), one.worked)
    yield waited
    yield worked


def _sockets() -> Iterator[Metric]:
    # A program with an embedded API has no websockets, and does not install the models of accounts.
    from orion_site.http.sockets import counted

    own = list(counted)
    yield gauge(
        "orion_sockets",
        "Open websockets: pages that follow changes, and programs.",
        ("of",),
        (((one.of,), one.open) for one in own),
    )
    yield gauge(
        "orion_sockets_limit", "So many websockets may be open.", ("of",), (((one.of,), one.most) for one in own)
    )
    yield gauge(
        "orion_agents_following", "Agents whose requests wait here for orders.", (), [((), len(waiting_agents.ids()))]
    )


def _connections() -> Iterator[Metric]:
    """Yield the connection pools to PostgreSQL, by the alias of the database in Django's settings."""
    stats = pool_stats()
    if not stats:
        return
    of = ("database",)

    def each(key: str) -> Iterator[tuple[tuple[str, ...], float]]:
        return (((alias,), found.get(key, 0)) for alias, found in stats.items())

    yield gauge("orion_database_pool_connections", "Connections that the pool holds.", of, each("pool_size"))
    yield gauge("orion_database_pool_idle", "Connections of the pool that are not in use.", of, each("pool_available"))
    yield gauge("orion_database_pool_limit", "So many connections the pool may hold.", of, each("pool_max"))
    yield gauge("orion_database_pool_waiting", "Threads that wait for a connection.", of, each("requests_waiting"))
    waited = (((alias,), found.get("requests_wait_ms", 0) / 1000) for alias, found in stats.items())
    yield counter("orion_database_pool_wait_seconds", "Time spent waiting for connections.", of, waited)
    yield counter("orion_database_pool_errors", "Requests that got no connection.", of, each("requests_errors"))


def pool_stats() -> dict[str, dict[str, int]]:
    return {alias: pool.get_stats() for alias in connections if (pool := _pool_of(alias)) is not None}


def _pool_of(alias: str) -> Any:
    # Only the PostgreSQL backend has pools, and its `pool` would create one.
    held = getattr(connections[alias], "_connection_pools", None)
    return held.get(alias) if held else None


def _gate() -> Iterator[Metric]:
    own = gates()
    if not own:
        return
    yield gauge(
        "orion_sqlite_gate_waiting", "Writers that wait for their turn.", (), [((), sum(one.waiting for one in own))]
    )
    waited = HistogramMetricFamily("orion_sqlite_gate_wait_seconds", "How long writers waited that had to.", labels=())
    _add(waited, (), own[0].waited)
    yield waited


# --- helpers for samples ---

Values = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, meaning: str, labels: tuple[str, ...], values: Values) -> Metric:
    return _filled(GaugeMetricFamily(name, meaning, labels=labels), values)


def counter(name: str, meaning: str, labels: tuple[str, ...], values: Values) -> Metric:
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, meaning: str, values: Distribution) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=())
    _add(family, (), values)
    return family


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], values: Distribution) -> None:
    seen = values.seen()
    buckets = [(str(bound), float(number)) for bound, number in zip(seen.bounds, seen.up_to, strict=True)]
    family.add_metric(labels, [*buckets, ("+Inf", float(seen.number))], seen.total)
