"""The present throughput: runs that ended in the last minutes, runs that execute and wait, and the agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from deployments.models import Worker
from orchestration.core.states import TERMINAL, StateType
from orion_site.home.open_runs import LOOKED_AT, OpenRun
from runs.models import FlowRunState
from runs.pages.selectors.keyset import Count
from runs.why.selectors.waiting import WaitingGroup

MINUTES = 10
# The most states that are read, the newest first; if more were written, they cover less than the ten minutes.
STATES_LOOKED_AT = 3_000
WORDS = {
    "no_agent": "no agent",
    "no_queue": "no queue",
    "queue_paused": "paused",
    "pool_paused": "paused",
    "queue_full": "no slot",
    "pool_full": "no slot",
}
BAR_WIDTH, BAR_GAP, BAR_HEIGHT = 6, 2, 18


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute of the small chart."""

    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Rates:
    per_minute: float
    bars: Sequence[Bar]
    ended: Count
    running: Count
    waiting: Count
    waiting_by_reason: Sequence[tuple[str, Count]]
    oldest_wait: datetime | None
    oldest_waiting: UUID | None
    agents: int
    slots: int
    taken: Count

    @property
    def chart_width(self) -> int:
        return MINUTES * (BAR_WIDTH + BAR_GAP) - BAR_GAP


def rates_of(
    *,
    waiting: Sequence[WaitingGroup],
    open_runs: Sequence[OpenRun],
    every: Sequence[OpenRun],
    workers: Sequence[Worker],
    now: datetime,
) -> Rates:
    """Return the rates; `every` has open runs without the chosen tags, too.

    One query, for the states that were written recently.
    """
    ended, span = _ended(now)
    per_minute = len(ended) / max(span.total_seconds() / 60, 1 / 60)
    by_reason: Counter[str] = Counter()
    for group in waiting:
        by_reason[WORDS.get(group.reason.code, "other") if group.reason else "for an agent"] += len(group.runs)
    oldest = min((group for group in waiting if group.since), key=lambda one: one.since or now, default=None)
    # A run that an agent left behind takes no slot of the others.
    names = {worker.name for worker in workers}
    running = sum(run.state_type == StateType.RUNNING for run in open_runs)
    is_cut, is_waiting_cut = len(open_runs) > LOOKED_AT, any(group.is_cut for group in waiting)
    return Rates(
        per_minute,
        _bars(ended, now),
        Count(len(ended), capped=span < timedelta(minutes=MINUTES)),
        Count(min(running, LOOKED_AT), capped=is_cut),
        Count(by_reason.total(), capped=is_waiting_cut),
        [(words, Count(number, capped=is_waiting_cut)) for words, number in by_reason.most_common()],
        oldest.since if oldest else None,
        oldest.oldest.pk if oldest else None,
        len(workers),
        sum(worker.concurrency or 0 for worker in workers),
        Count(sum(run.agent in names for run in every), capped=len(every) > LOOKED_AT),
    )


def _ended(now: datetime) -> tuple[list[datetime], timedelta]:
    """Return when flow runs ended in the last minutes, and the part of these minutes that was read."""
    begin = now - timedelta(minutes=MINUTES)
    # Ids ascend with time, so the newest states are adjacent. One minute more, because clocks differ.
    written = FlowRunState.objects.filter(pk__gte=_first_id_at(begin - timedelta(minutes=1)))
    rows = list(written.order_by("-pk").values_list("type", "timestamp")[:STATES_LOOKED_AT])
    ended = [moment for kind, moment in rows if kind in TERMINAL and begin < moment <= now]
    if len(rows) < STATES_LOOKED_AT:
        return ended, timedelta(minutes=MINUTES)
    return ended, min(max(now - min(moment for _, moment in rows), timedelta(seconds=1)), timedelta(minutes=MINUTES))


def _first_id_at(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _bars(ended: Sequence[datetime], now: datetime) -> list[Bar]:
    counted = Counter(MINUTES - 1 - min(int((now - moment).total_seconds() // 60), MINUTES - 1) for moment in ended)
    top = max(counted.values(), default=1)
    heights = [round(max(BAR_HEIGHT * counted[minute] / top, 1), 1) for minute in range(MINUTES)]
    step = BAR_WIDTH + BAR_GAP
    return [Bar(minute * step, round(BAR_HEIGHT - height, 1), height) for minute, height in enumerate(heights)]
