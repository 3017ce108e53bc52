"""The figures in the formats of Prometheus: those of the database are equal in all processes, others name theirs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import connection
from prometheus_client.core import InfoMetricFamily, Metric

import orion_site
from orion_site.database.file import sqlite_file
from orion_site.env import orion_home
from orion_site.metrics.database import DatabaseFigures
from orion_site.metrics.process import counter, gauge

DAY_SECONDS = 24 * 3600


class Collected:
    """Collected metric families, with the interface of a registry of prometheus_client."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def families_of_database(found: DatabaseFigures) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "orion_build", "The version of Orion.", {"version": orion_site.__version__, "database": connection.vendor}
    )
    yield from _queues(found)
    yield from _agents(found)
    yield from _services(found)
    yield from _records(found)
    yield from _storage(found)


def _queues(found: DatabaseFigures) -> Iterator[Metric]:
    of = ("pool", "queue")

    def each(read: Callable[..., float | None]) -> Iterator[tuple[tuple[str, ...], float]]:
        return (((one.pool, one.name), value) for one in found.queues if (value := read(one)) is not None)

    yield gauge("orion_queue_depth", "Due runs that wait in a queue, at most 10000.", of, each(lambda one: one.depth))
    yield gauge(
        "orion_queue_oldest_wait_seconds",
        "How long the longest of them has been due.",
        of,
        each(lambda one: one.oldest_wait),
    )
    yield gauge("orion_queue_slots_taken", "Runs of a queue that are on their way.", of, each(lambda one: one.holding))
    yield gauge("orion_queue_slots_limit", "So many may be, where there is a limit.", of, each(lambda one: one.limit))
    waiting = found.waiting_by_reason.items()
    yield gauge(
        "orion_waiting_runs", "Due runs by what keeps them.", ("reason",), (((one,), number) for one, number in waiting)
    )
    yield gauge("orion_late_flow_runs", "Runs that are marked Late, at most 10000.", (), [((), found.late)])


def _agents(found: DatabaseFigures) -> Iterator[Metric]:
    of = ("pool",)
    own = found.pools
    yield gauge("orion_agents", "Live agents and workers of a pool.", of, (((one.name,), one.agents) for one in own))
    yield gauge(
        "orion_agent_slots",
        "How many runs these may execute at once.",
        of,
        (((one.name,), one.places) for one in own),
    )
    yield gauge(
        "orion_agent_slots_taken",
        "How many runs of the pool's queues are on their way.",
        of,
        (((one.name,), one.used) for one in own),
    )


def _services(found: DatabaseFigures) -> Iterator[Metric]:
    of = ("service",)
    own = found.services
    name = [(one.record.name,) for one in own]

    def each(values: Iterable[float]) -> Iterator[tuple[tuple[str, ...], float]]:
        return zip(name, values, strict=True)

    yield gauge("orion_service_lag_seconds", "By how much the next tick is overdue.", of, each(one.lag for one in own))
    yield gauge(
        "orion_service_interval_seconds",
        "How often the service is ticked.",
        of,
        each(one.record.every_seconds for one in own),
    )
    yield gauge(
        "orion_service_tick_seconds", "How long its last tick took.", of, each(one.record.last_seconds for one in own)
    )
    yield gauge(
        "orion_service_failing", "1 if its last tick went wrong.", of, each(float(one.is_failing) for one in own)
    )
    yield counter("orion_service_ticks", "Its ticks.", of, each(one.record.ticks for one in own))
    yield counter("orion_service_errors", "Ticks that went wrong.", of, each(one.record.errors for one in own))


def _records(found: DatabaseFigures) -> Iterator[Metric]:
    yield gauge("orion_runs", "Runs that are kept, by kind and type of state.", ("kind", "state"), found.runs.items())
    yield gauge(
        "orion_problems",
        "Open problems, at most 10000 of each status.",
        ("status",),
        (((one,), number) for one, number in found.problems.items()),
    )
    yield gauge("orion_tag_limits", "Limits on tags.", (), [((), found.limits)])
    yield gauge("orion_tag_limits_full", "Those of them that are full.", (), [((), found.full_limits)])
    yield gauge(
        "orion_messages_waiting", "Messages of notifications that wait to be sent.", (), [((), found.messages_waiting)]
    )
    yield gauge("orion_events_waiting", "Events that triggers have not seen yet.", (), [((), found.events_waiting)])
    of = ("kind",)
    yield gauge(
        "orion_oldest_record_age_seconds",
        "How old the oldest run, log line and event is.",
        of,
        (((kind,), age) for kind, age in found.oldest.items()),
    )
    yield gauge(
        "orion_retention_seconds",
        "How long they are kept after their end; 0: forever.",
        of,
        (((kind,), days * DAY_SECONDS) for kind, days in found.kept.items()),
    )


def _storage(found: DatabaseFigures) -> Iterator[Metric]:
    yield gauge(
        "orion_database_answer_seconds",
        "How long the database took for a question about a dozen rows.",
        (),
        [((), found.quickest_seconds)],
    )
    yield gauge("orion_scrape_seconds", "How long it took for all of these figures.", (), [((), found.seconds)])
    yield gauge("orion_database_size_bytes", "The size of the database.", (), [((), database_bytes(found))])
    if found.connections is not None and found.connections_limit is not None:
        yield gauge("orion_database_connections", "Connections to the server.", (), [((), found.connections)])
        yield gauge("orion_database_connections_limit", "So many it takes.", (), [((), found.connections_limit)])
    yield gauge("orion_disk_free_bytes", "What is free on the disks of files of this server.", ("disk",), _free())


def database_bytes(found: DatabaseFigures) -> float:
    file = sqlite_file()
    if file is None:
        return (found.megabytes or 0.0) * 1e6
    files = (file, file.with_name(f"{file.name}-wal"))
    return sum(one.stat().st_size for one in files if one.exists())


def _free() -> Iterator[tuple[tuple[str, ...], float]]:
    for number, folder in enumerate((orion_home(), *settings.ORION_RESULTS_FOLDERS[1:])):
        if folder.exists():
            yield (f"results-{number}" if number else "home",), shutil.disk_usage(folder).free
