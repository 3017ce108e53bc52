"""The table in docs/explanation/performance.md, generated from the newest results.

python -m benchmarks.report prints it; with --write it is written into the page.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from benchmarks import peers
from benchmarks.measuring import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
DATABASES = ("sqlite", "postgresql")
WHO = ("orion", peers.PREFECT_2, peers.PREFECT, peers.DBOS)

Row = dict[str, Any]
# One line of the table: what is measured, the target, which rows it uses, and how they are shown.
Line = tuple[str, str, Callable[[Row], bool], Callable[[list[Row]], str]]


def newest_results() -> list[Row]:
    """Return, for each benchmark and product, the rows of the newest run that has any."""
    found: dict[tuple[str, str], list[Row]] = {}
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        of_this_run: dict[tuple[str, str], list[Row]] = {}
        for row in json.loads(path.read_text()):
            of_this_run.setdefault((row["bench"], row.get("who", "orion")), []).append(row)
        found.update(of_this_run)
    return [row for rows in found.values() for row in rows]


def is_of(bench: str, **wanted: Any) -> Callable[[Row], bool]:
    return lambda row: row["bench"] == bench and all(row.get(name) == value for name, value in wanted.items())


def median(name: str, unit: str = "") -> Callable[[list[Row]], str]:
    def shown(rows: list[Row]) -> str:
        values = sorted(row[name] for row in rows)
        spread = f" ({values[0]:g}–{values[-1]:g})" if len(values) > 1 else ""
        return f"{statistics.median(values):g}{unit}{spread}"

    return shown


def tasks(rows: list[Row]) -> str:
    shown = median("tasks_per_second", "/s")(rows)
    late = [row for row in rows if row["lag_seconds"] != 0]
    if not late:
        return f"{shown}, all recorded at return"
    recorded = statistics.median(row.get("completed_at_return", 0) for row in late)
    lags = [row["lag_seconds"] for row in late if row["lag_seconds"] is not None]
    lag = f"the last {statistics.median(lags):g} s later" if lags else "not all within 30 s"
    return f"{shown}; {recorded:g} of {late[0]['tasks']} recorded at return, {lag}"


def load(rows: list[Row]) -> str:
    row = rows[-1]
    slow = f"p50 {row['set_state_p50_ms']:g} ms, p95 {row['set_state_p95_ms']:g} ms"
    return f"{row['transitions_per_second']:g}/s, {slow}, {row['errors']} errors"


def latency(rows: list[Row]) -> str:
    return "; ".join(f"{row['way']} {_median_and_tail(row)}" for row in rows)


def _median_and_tail(row: Row) -> str:
    tail = f", p95 {row['p95_s']:g} s" if "p95_s" in row else ""
    return f"{row['created_to_running_median_s']:g} s{tail}"


def bursts(rows: list[Row]) -> str:
    return "; ".join(_burst(row) for row in rows)


def _burst(row: Row) -> str:
    unfinished = f", {row['not_completed']} not completed" if row["not_completed"] else ""
    return f"{row['way']}, {row['burst']} runs: {row['runs_per_second']:g}/s{unfinished}"


def claims(rows: list[Row]) -> str:
    row = rows[-1]
    twice = f", {row['claimed_twice']} claimed twice" if row["claimed_twice"] else ""
    return f"{row['claims_per_second']:g}/s, p95 {row['request_p95_ms']:g} ms{twice}"


def both(first: str, second: str, unit: str) -> Callable[[list[Row]], str]:
    return lambda rows: f"{rows[-1][first]:g} / {rows[-1][second]:g}{unit}"


LOADS = ((1, "≥ 300/s, p50 ≤ 4 ms"), (8, "no error"), (32, "≥ 300/s, p95 ≤ 200 ms, no error"))


def lines_of_tasks() -> Iterator[Line]:
    for number in (200, 2000, 20000):
        for mode in ("seq", "submit", "map"):
            fits = is_of("tasks_in_process", mode=mode, tasks=number)
            yield f"no-op tasks in a flow, in-process: {number:,}, {mode}", "≥ 2,000/s, flat", fits, tasks
    yield "the same beside the peers, interleaved", "≥ 2.5 × DBOS", is_of("tasks_beside_peers"), tasks
    for database in DATABASES:
        for number in (200, 2000):
            for mode in ("seq", "submit"):
                fits = is_of("tasks_against_server", mode=mode, tasks=number, database=database)
                yield f"against a running server, {database}: {number:,}, {mode}", "≥ 1,500/s", fits, tasks


def lines_of_starts() -> Iterator[Line]:
    yield "import of the SDK", "≤ 0.3 s", is_of("import"), median("import_seconds", " s")
    first = both("first_seconds", "warm_seconds", " s")
    yield "hello world, whole process: first run in an empty home / warm", "≤ 4 / 1.0 s", is_of("hello_world"), first
    yield "`orion --help`", "≤ 0.3 s", is_of("orion_help"), median("seconds", " s")
    fresh = both("fresh_seconds", "existing_seconds", " s")
    yield "server: start → healthy, fresh / existing database", "≤ 4 / 1.5 s", is_of("server_start"), fresh


def lines_of_requests() -> Iterator[Line]:
    for database in DATABASES:
        for clients, goal in LOADS:
            fits = is_of("http_transitions", database=database, clients=clients)
            yield f"transitions over HTTP, {database}, clients: {clients}", goal, fits, load
    for number in (3, 501, 999):
        yield f"queries of a batch of {number}", "constant", is_of("batch", transitions=number), median("queries")


def lines_of_dispatch() -> Iterator[Line]:
    yield "deployed run: created → Running, warm agent", "≤ 0.3 s", is_of("dispatch_latency"), latency
    yield "bursts of deployed runs, two slots", "≥ 5/s", is_of("dispatch_burst"), bursts
    for database in DATABASES:
        for agents in (1, 4, 16):
            for at_once in (1, 10):
                fits = is_of("claims", database=database, agents=agents, at_once=at_once)
                yield f"claims over HTTP, {database}, agents: {agents}, {at_once} at a time", "", fits, claims


def lines_of_planning() -> Iterator[Line]:
    for database in DATABASES:
        fits = is_of("planning", database=database)
        planned = both("seconds", "hour_later_seconds", " s")
        yield f"10,000 schedules planned in one tick, {database}: 3 runs each / the next one", "≤ 10 s", fits, planned


def lines_of_retries() -> Iterator[Line]:
    for database in DATABASES:
        for size in (1_000, 10_000):
            fits = is_of("retries", database=database, task_runs=size)
            yield f"preview of a retry from a task, {database}, {size:,} task runs", "", fits, median("seconds", " s")


def lines_of_live() -> Iterator[Line]:
    for to, what in (("socket", "every socket that shows it is told"), ("pixel", "a browser shows it")):
        yield f"a state changes → {what}", "p50 ≤ 150 ms, p95 ≤ 400 ms", is_of("live", to=to), delays


def delays(rows: list[Row]) -> str:
    shown = "{changes_per_second}/s and {sockets} sockets{real}: p50 {p50_ms} ms, p95 {p95_ms} ms"
    return "; ".join(shown.format(**row, real=f" ({row['tabs']} of tabs)" if "tabs" in row else "") for row in rows)


def lines_of_room() -> Iterator[Line]:
    size = median("megabytes", " MB")
    yield "database, 1,000 flow runs with 2,000 task runs", "≤ 3.4 MB", is_of("database_size"), size
    yield "first load of the runs page, compressed", "≤ 35 kB", is_of("first_load"), median("kilobytes_gz", " kB")
    yield (
        "one-command stack, idle, empty",
        "",
        is_of("idle", finished_runs=0),
        median("percent_of_a_core", " % of a core"),
    )
    yield (
        "one-command stack, idle, 20,000 runs",
        "",
        is_of("idle", finished_runs=20_000),
        median("percent_of_a_core", " % of a core"),
    )
    yield "server memory, idle", "", is_of("server_memory"), median("idle_mb", " MB")
    weight = both("packages", "megabytes", " MB")
    yield "packages / size: SDK", "≤ 13 / 20 MB", is_of("installation", what="sdk"), weight
    yield "packages / size: everything", "≤ 76 / 210 MB", is_whole_installation, weight


def is_whole_installation(row: Row) -> bool:
    return bool(row["bench"] == "installation" and row.get("what") != "sdk")


def table(rows: list[Row]) -> str:
    lines = ["| measure | goal | " + " | ".join(map(title, WHO)) + " |", "|---|---|" + "---|" * len(WHO)]
    for what, goal, fits, show in chain(
        lines_of_tasks(),
        lines_of_starts(),
        lines_of_requests(),
        lines_of_dispatch(),
        lines_of_planning(),
        lines_of_retries(),
        lines_of_live(),
        lines_of_room(),
    ):
        cells = [cell(_of(rows, who, fits), show) for who in WHO]
        if any(cells):
            lines.append(f"| {what} | {goal} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def title(who: str) -> str:
    """Return `prefect==3.9.1` as a heading: Prefect 3.9.1."""
    name, _, version = who.partition("==")
    return f"{'DBOS' if name == 'dbos' else name.capitalize()} {version}".strip()


def cell(rows: list[Row], describe: Callable[[list[Row]], str]) -> str:
    measured = [row for row in rows if "failed" not in row]
    if measured:
        return describe(measured)
    return "did not run" if rows else ""


def _of(rows: list[Row], who: str, fits: Callable[[Row], bool]) -> list[Row]:
    return [row for row in rows if row.get("who", "orion") == who and fits(row)]


def main() -> None:
    measured = table(newest_results())
    if "--write" not in sys.argv:
        print(measured, end="")
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + measured + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
