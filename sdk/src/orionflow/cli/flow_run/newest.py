"""The order of lists of runs: those whose time has come, newest first, and behind them the planned ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from orionflow.cli.addressing import NEWEST, find_flow_run
from orionflow.cli.backend import Backend, Json
from orionflow.cli.times import Clock, read_moment

Position = tuple[int, float, int]
# The server's clock may be a little ahead of ours.
AHEAD = timedelta(seconds=30)
# A time that was a float on its way asks for a little more, which is left out again.
ROUNDING = timedelta(milliseconds=1)


def newest_runs(api: Backend, filters: Json, clock: Clock, limit: int, after: str | None = None) -> list[Json]:
    """Runs whose time has come, newest first; behind them the planned ones, the next one first.

    With `after` those behind one run in this order, whatever was added at its front since then.
    """
    now = clock.now + AHEAD
    last = _position(find_flow_run(api, after), now) if after else None
    # Behind another run it is not known beforehand how many have to be read.
    most = limit if last is None else None
    lines = (_begun(api, filters, now, last, most), _planned(api, filters, now, last, most))
    rows = (run for line in lines for run in line if last is None or _position(run, now) > last)
    return list(islice(rows, limit))


def _position(run: Json, now: datetime) -> Position:
    """The place of a run in the list: it grows from the first line to the last."""
    expected, number = _expected(run), UUID(run["id"]).int
    return (1, expected.timestamp(), number) if expected > now else (0, -expected.timestamp(), -number)


def _begun(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    if last is not None and last[0]:
        return iter(())
    until = now if last is None else datetime.fromtimestamp(-last[1], UTC) + ROUNDING
    narrowed = _between(filters, None, min(until, now))
    return (run for run in pages(api, narrowed, NEWEST, most) if _expected(run) <= now)


def _planned(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    since = datetime.fromtimestamp(last[1], UTC) - ROUNDING if last is not None and last[0] else now
    narrowed = _between(filters, max(since, now), None)
    return (run for run in pages(api, narrowed, "EXPECTED_START_TIME_ASC", most) if _expected(run) > now)


def pages(api: Backend, filters: Json, sort: str, most: int | None) -> Iterator[Json]:
    return api.pages("/flow_runs/filter", {**filters, "sort": sort}, most)


def _expected(run: Json) -> datetime:
    moment = read_moment(run["expected_start_time"])
    assert moment is not None
    return moment


def _between(filters: Json, after: datetime | None, before: datetime | None) -> Json:
    """The filters, and these bounds where theirs are wider."""
    runs = filters.get("flow_runs", {})
    times = dict(runs.get("expected_start_time", {}))
    if before is not None:
        times["before_"] = min(before, read_moment(times.get("before_")) or before).isoformat()
    if after is not None:
        times["after_"] = max(after, read_moment(times.get("after_")) or after).isoformat()
    return {**filters, "flow_runs": {**runs, "expected_start_time": times}}
