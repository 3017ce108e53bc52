"""The server of the protocol, in memory, with switches that plant a fault each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.simulation.calls import (
    GRACE,
    HOLDING,
    LEASE,
    LIMIT,
    LOST_STARTS,
    SILENCE,
    TERMINAL,
    Claim,
    Look,
    Plan,
    Replaced,
)


@dataclass(slots=True)
class Row:
    """One run with its lease."""

    plan: Plan
    due: int
    state: str = "SCHEDULED"
    epoch: int = 0
    agent: str | None = None
    start: int = 0
    expires: int = 0
    slot_expires: int = 0
    crashes: int = 0
    lost_starts: int = 0
    history: list[Look] = field(default_factory=list)


@dataclass(kw_only=True)
class Model:
    """The server with a switch for each part of the protocol; all of them are on by default."""

    fencing: bool = True
    claims: bool = True
    reconciles: bool = True
    amnesty: bool = True
    slots: str = "rows"

    rows: list[Row] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    tokens: dict[int, str] = field(default_factory=dict)
    counter: int = 0
    last_tick: int = 0

    def create(self, plans: list[Plan]) -> None:
        self.rows = [Row(plan, plan.due, history=[Look("SCHEDULED", 0)]) for plan in plans]

    def register(self, agent: str, start: int, now: int) -> None:
        self.starts[agent] = start
        for row in self.rows:
            if row.agent == agent and row.start != start:
                self._revoke(row, now)

    def due(self, now: int) -> list[int]:
        return [number for number, row in enumerate(self.rows) if row.state == "SCHEDULED" and row.due <= now]

    def claim(self, agent: str, start: int, run: int | None, now: int) -> list[Claim]:
        self._let_in(agent, start)
        if not self.claims and run is not None:
            # The message itself is taken for the permission.
            return [Claim(run, self.rows[run].epoch)]
        for number in self.due(now) if run is None else [run]:
            row = self.rows[number]
            if row.state != "SCHEDULED" or row.due > now or self._taken(now) >= LIMIT:
                continue
            row.agent, row.start, row.expires, row.slot_expires = agent, start, now + LEASE, now + LEASE
            row.epoch += 1
            self.counter += 1
            self._write(row, "PENDING")
            return [Claim(number, row.epoch)]
        return []

    def claim_together(self, asking: list[tuple[str, int]], now: int) -> list[list[Claim] | Replaced]:
        answers: list[list[Claim] | Replaced] = []
        for agent, start in asking:
            try:
                answers.append(self.claim(agent, start, None, now))
            except Replaced as replaced:
                answers.append(replaced)
        return answers

    def _taken(self, now: int) -> int:
        match self.slots:
            case "counter":
                return self.counter
            case "ttl":
                return sum(row.state in HOLDING and row.slot_expires >= now for row in self.rows)
        return sum(row.state in HOLDING for row in self.rows)

    def heartbeat(self, agent: str, start: int, runs: Mapping[int, int], now: int) -> dict[int, str]:
        self._let_in(agent, start)
        orders = {}
        for number, epoch in runs.items():
            row = self.rows[number]
            if row.epoch != epoch and self.fencing:
                orders[number] = "lost"
                continue
            if row.agent == agent:
                row.expires = row.slot_expires = now + LEASE
            orders[number] = "cancel" if row.state in {"CANCELLING", "CANCELLED"} else "ok"
        return orders

    def report(self, run: int, epoch: int, state: str, token: int, now: int) -> str:
        row = self.rows[run]
        if row.epoch != epoch and self.fencing:
            return "lost"
        if token in self.tokens:
            return self.tokens[token]
        verdict = "refused"
        if state == "RUNNING" and (row.state == "PENDING" or (not self.claims and row.state not in TERMINAL)):
            self._write(row, state)
            verdict = "accepted"
        elif state in TERMINAL and row.state == "RUNNING":
            self._end(row, state)
            verdict = "accepted"
        if verdict == "accepted":
            self.tokens[token] = verdict
        return verdict

    def ended(self, run: int, epoch: int, now: int) -> None:
        row = self.rows[run]
        if row.epoch == epoch or not self.fencing:
            self._settle(row, now)
            self.counter -= row.agent is None

    def cancel(self, run: int, now: int) -> None:
        row = self.rows[run]
        if row.state == "SCHEDULED":
            self._write(row, "CANCELLED")
        elif row.state in HOLDING:
            self._write(row, "CANCELLING")

    def reconcile(self, now: int) -> None:
        if not self.reconciles:
            return
        silent, self.last_tick = now - self.last_tick > SILENCE, now
        if silent and self.amnesty:
            for row in self.rows:
                row.expires = max(row.expires, now + LEASE)
            return
        for row in self.rows:
            if row.agent is not None and row.expires < now - GRACE:
                self._revoke(row, now)

    def _revoke(self, row: Row, now: int) -> None:
        row.epoch += 1
        if row.state == "PENDING" and row.lost_starts < LOST_STARTS:
            row.lost_starts += 1
            row.agent = None
            self._write(row, "SCHEDULED")
        else:
            self._settle(row, now)

    def _settle(self, row: Row, now: int) -> None:
        if row.state == "CANCELLING":
            self._end(row, "CANCELLED")
        elif row.state in {"PENDING", "RUNNING"}:
            retried = row.crashes < row.plan.crash_retries
            row.crashes += retried
            row.due = now
            self._end(row, "SCHEDULED" if retried else "CRASHED")

    def _end(self, row: Row, state: str) -> None:
        if state in {"COMPLETED", "FAILED"}:
            self.counter -= 1
        row.agent = None
        self._write(row, state)

    def _write(self, row: Row, state: str) -> None:
        row.state = state
        row.history.append(Look(state, row.epoch))

    def _let_in(self, agent: str, start: int) -> None:
        if self.starts.get(agent) != start:
            raise Replaced

    def look(self) -> list[Look]:
        return [Look(row.state, row.epoch) for row in self.rows]

    def history(self, run: int) -> list[Look]:
        return self.rows[run].history

    def faults(self, now: int) -> list[str]:
        held = [number for number, row in enumerate(self.rows) if row.agent and row.state not in HOLDING]
        return [f"run {number} is leased and {self.rows[number].state}" for number in held]
