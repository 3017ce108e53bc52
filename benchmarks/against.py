"""Compare this tree with another revision, interleaved, so that other load on the machine affects both.

python -m benchmarks --against REV          five short rounds, about five minutes
python -m benchmarks --against REV --long   fifteen rounds of larger sizes

Ratios compare the medians of rounds. For every figure, a ratio above 1 means that this tree is better;
0.9 is the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import dispatch, footprint, http_load, tasks
from benchmarks.measuring import HERE, ROOT, Installation, empty_home, environment, report, running_server, timed
from benchmarks.revisions import installed_revision

FLOOR = 0.9
SECONDS_PER_TURN = 0.5
MODES = ("seq", "submit", "map")
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    rounds: int = 5
    tasks: int = 2000
    starts: int = 8
    turns: int = 4
    singles: int = 8
    burst: int = 20


SHORT, LONG = Sizes(), Sizes(rounds=15, tasks=5000, starts=16, turns=10, singles=20, burst=50)


def tasks_in_process(of: Installation, sizes: Sizes) -> Figures:
    figures: Figures = {}
    for mode in MODES:
        with empty_home() as home:
            done = _tasks(of, home, mode, sizes.tasks)
        figures[f"tasks in process, {mode} (/s)"] = done["tasks_per_second"]
        # Steadier than the rate if other programs use the machine.
        figures[f"processor time of a task in process, {mode} (ms)"] = 1000 * done["cpu_seconds"] / sizes.tasks
    return figures | {"memory of the process of a flow (MB)": done["rss_mb"]}


def tasks_against_server(of: Installation, sizes: Sizes) -> Figures:
    figures: Figures = {}
    with empty_home() as home, running_server(home, of) as (url, healthy_after):
        figures["memory of the server, idle (MB)"] = footprint.memory_of_children()
        for mode in MODES:
            with empty_home() as client_home:
                done = _tasks(of, client_home, mode, sizes.tasks, ORION_API_URL=url)
            figures[f"tasks against a server, {mode} (/s)"] = done["tasks_per_second"]
    return figures | {"server start in an empty home (s)": healthy_after}


def _tasks(of: Installation, home: Path, mode: str, number: int, **more: str) -> Figures:
    done = tasks.ours(home, mode, number, of, **more)
    if done["lag_seconds"] != 0:
        raise RuntimeError(f"{of.name}: {done['completed_at_return']} of {number} tasks were recorded at return")
    return {name: value for name, value in done.items() if isinstance(value, int | float)}


def starts(of: Installation, sizes: Sizes) -> Figures:
    # -P: import the installed package, not one in the current folder.
    python = [str(of.python), "-P"]
    with empty_home() as home:
        env = environment(home)
        hello = [str(of.python), str(ROOT / "benchmarks" / "hello.py")]
        timed(hello, env, cwd=home)
        took: dict[str, list[float]] = {"bare": [], "import": [], "hello": []}
        for _ in range(sizes.starts):
            took["bare"].append(timed([*python, "-c", "pass"], env, cwd=home))
            took["import"].append(timed([*python, "-c", "from orionflow import flow, task"], env, cwd=home))
            took["hello"].append(timed(hello, env, cwd=home))
    middle = {name: statistics.median(values) for name, values in took.items()}
    # The whole process: without Python's own start, the difference of two small numbers would be mostly noise.
    return {"import of flow and task, whole process (s)": middle["import"], "hello, warm (s)": middle["hello"]}


def dispatched(of: Installation, sizes: Sizes) -> Figures:
    with dispatch.warm_agent(of) as (api, deployment, _):
        latency = statistics.median(dispatch.latencies_of(api, deployment, sizes.singles))
        began = time.perf_counter()
        runs = dispatch.finished(api, [api.run(deployment) for _ in range(sizes.burst)])
        seconds = time.perf_counter() - began
        if any(api.state_of(run) != "COMPLETED" for run in runs):
            raise RuntimeError(f"{of.name}: a run of the burst did not complete")
    return {"dispatch: created to Running (s)": latency, "dispatch: burst (runs/s)": len(runs) / seconds}


MEASURES: tuple[Callable[[Installation, Sizes], Figures], ...] = (
    starts,
    tasks_in_process,
    tasks_against_server,
    dispatched,
)


def requests_in_turns(installations: Sequence[Installation], sizes: Sizes) -> Iterator[tuple[str, Figures]]:
    """Send load to the servers of all installations, in turns of half a second.

    Other users of a shared machine take up to a third of it for seconds at a time, which longer turns would measure.
    """
    with contextlib.ExitStack() as running:
        urls = {}
        for each in installations:
            home = running.enter_context(empty_home())
            urls[each.name], _ = running.enter_context(running_server(home, each))
        for clients in (1, 8):
            for turn in range(sizes.turns):
                for name, url in reversed(urls.items()) if turn % 2 else urls.items():
                    done, seconds = asyncio.run(http_load.load(url, clients, SECONDS_PER_TURN))
                    if done.errors:
                        raise RuntimeError(f"{name}: {dict(done.errors)} with {clients} clients")
                    yield name, {f"HTTP transitions, clients: {clients} (/s)": done.made / seconds}


def rounds(one: Installation, other: Installation, sizes: Sizes) -> Iterator[tuple[str, Figures]]:
    """Run each measure for each installation, round by round, in alternating order: the first one finds cold caches."""
    for number in range(sizes.rounds):
        order = (one, other) if number % 2 else (other, one)
        for measure in MEASURES:
            for installation in order:
                figures = measure(installation, sizes)
                report(measure.__name__, who=installation.name, round=number + 1, figures=figures)
                yield installation.name, figures
        for name, figures in requests_in_turns(order, sizes):
            report(requests_in_turns.__name__, who=name, round=number + 1, figures=figures)
            yield name, figures


@dataclass(frozen=True, slots=True)
class Comparison:
    figure: str
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """How much better this tree is; for rates a higher value is better, for seconds and megabytes a lower one."""
        return self.now / self.before if "/s)" in self.figure else self.before / self.now


def compare(measured: list[tuple[str, Figures]], before: str, now: str) -> list[Comparison]:
    values: dict[tuple[str, str], list[float]] = {}
    for who, figures in measured:
        for figure, value in figures.items():
            values.setdefault((figure, who), []).append(value)
    figures_in_order = dict.fromkeys(figure for figure, _ in values)
    return [
        Comparison(figure, statistics.median(values[figure, before]), statistics.median(values[figure, now]))
        for figure in figures_in_order
    ]


def table(comparisons: list[Comparison], before: str, now: str) -> str:
    lines = [f"| figure | {before} | {now} | ratio |", "|---|---|---|---|"]
    for each in comparisons:
        below = "" if each.ratio >= FLOOR else f" **below {FLOOR}**"
        lines.append(f"| {each.figure} | {_short(each.before)} | {_short(each.now)} | {each.ratio:.2f}{below} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(revision: str, *, long: bool = False) -> int:
    sizes = LONG if long else SHORT
    before = installed_revision(revision)
    measured = list(rounds(HERE, before, sizes))
    comparisons = compare(measured, before.name, HERE.name)
    print(f"\n{table(comparisons, before.name, HERE.name)}")
    return int(any(each.ratio < FLOOR for each in comparisons))
