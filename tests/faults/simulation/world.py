"""Agents, processes, a broker and faults, all drawn from one seed, and the checks of what must never happen."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TypeVar

from tests.faults.simulation.calls import HOLDING as HOLDS
from tests.faults.simulation.calls import LEASE, LIMIT, STEP, TERMINAL, Claim, Look, Plan, Replaced, Server
from tests.faults.simulation.cast import Agent, Process, Scenario

T = TypeVar("T")


class Broken(AssertionError):
    """A law of the protocol does not hold."""


class Unreachable(Exception):
    """The call or its answer got lost."""


def _opened(answer: list[Claim] | Replaced) -> list[Claim]:
    if isinstance(answer, Replaced):
        raise answer
    return answer


class World:
    def __init__(self, server: Server, seed: int, scenario: Scenario) -> None:
        self.server, self.seed, self.scenario = server, seed, scenario
        self.chance = random.Random(seed)
        self.now, self.steps = 0, 0
        self.outage_until = -1
        self.messages: deque[int] = deque()
        self.hinted: dict[int, int] = {}
        self.asking: list[Agent] = []
        self.tokens = 0
        self.starts: Counter[int] = Counter()
        self.accepted: Counter[Claim] = Counter()
        self.overlaps = 0
        self.answered: set[int] = set()
        self.crashed_alive: list[int] = []
        self.agents = [Agent(f"agent-{number}") for number in range(scenario.agents)]
        self.plans = [self._plan() for _ in range(scenario.runs)]
        server.create(self.plans)

    def _plan(self) -> Plan:
        due, work = self.chance.randrange(20) * STEP, self.chance.randint(1, 8)
        return Plan(due, work, self.chance.choice(self.scenario.crash_retries))

    def run(self) -> None:
        """Live until every run has ended. Raises Broken."""
        while self.steps < self.scenario.trouble or not self._is_over():
            if self.steps > self.scenario.trouble + self.scenario.patience:
                waiting = [n for n, look in enumerate(self.server.look()) if look.state not in TERMINAL]
                self._fail("I5", f"runs {waiting} never end: {[self.server.history(n) for n in waiting[:2]]}")
            self.step()
        if faults := self.server.faults(self.now):
            self._fail("verify", str(faults))

    def step(self) -> None:
        self.now += STEP
        self.steps += 1
        if self.steps < self.scenario.trouble and self.chance.random() < self.scenario.chance:
            getattr(self, f"_{self.chance.choice(self.scenario.faults)}")()
        acts: list[Callable[[], None]] = [self._reconcile, self._reconcile, self._notify, self._deliver]
        acts += [lambda agent=agent: self._live(agent) for agent in self.agents]
        self.chance.shuffle(acts)
        for act in acts:
            act()
        self._claim_together()
        self._check()

    # --- misfortune --------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        """The agent dies, and by the pipe to it all its processes."""
        agent = self.chance.choice(self.agents)
        agent.dead_until = self._for(1, 16)
        agent.processes, agent.deaths, agent.is_registered = [], [], False
        agent.start += 1

    def _freeze(self) -> None:
        self.chance.choice(self.agents).frozen_until = self._for(1, 16)

    def _partition(self) -> None:
        self.chance.choice(self.agents).cut_off_until = self._for(1, 16)

    def _flush(self) -> None:
        self.messages.clear()

    def _outage(self) -> None:
        self.outage_until = self._for(1, 12)

    def _die(self) -> None:
        agent = self.chance.choice(self.agents)
        if agent.processes:
            self._end(agent, self.chance.choice(agent.processes))

    def _cancel(self) -> None:
        if self.now > self.outage_until:
            self.server.cancel(self.chance.randrange(self.scenario.runs), self.now)

    def _for(self, least: int, most: int) -> int:
        return self.now + STEP * self.chance.randint(least, most)

    # --- servers and broker -------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        if self.now <= self.outage_until or self.chance.random() < 0.1:
            return
        before = self.server.look()
        self.server.reconcile(self.now)
        self._note_crashes(before)

    def _note_crashes(self, before: list[Look]) -> None:
        """Note the runs that were taken from a live process whose agent could be reached."""
        responsive = [agent for agent in self.agents if max(agent.frozen_until, agent.cut_off_until) < self.now]
        alive = {process.claim for agent in responsive for process in agent.processes}
        for number, (was, look) in enumerate(zip(before, self.server.look(), strict=True)):
            if look.epoch != was.epoch and Claim(number, was.epoch) in alive:
                self.crashed_alive.append(number)

    def _notify(self) -> None:
        """Hints: at once and again after a while; some get lost, some come twice."""
        if self.now <= self.outage_until:
            return
        for run in self.server.due(self.now):
            if self.now - self.hinted.get(run, -100) >= 3 * STEP:
                self.hinted[run] = self.now
                copies = (
                    0 if self.chance.random() < self.scenario.lost_messages else self.chance.choice((1, 1, 1, 2, 3))
                )
                self.messages.extend([run] * copies)

    def _deliver(self) -> None:
        for _ in range(min(len(self.messages), 4)):
            agent, run = self.chance.choice(self.agents), self.messages.popleft()
            if self._is_awake(agent) and agent.is_registered and len(agent.processes) < self.scenario.places:
                self._claim(agent, run)

    # --- agents -------------------------------------------------------------------------------------------------------

    def _live(self, agent: Agent) -> None:
        if not self._is_awake(agent):
            return
        self._distrust(agent)
        for process in list(agent.processes):
            self._proceed(agent, process)
        self._heartbeat(agent)
        for claim in list(agent.deaths):
            if self._ask(agent, lambda claim=claim: self.server.ended(*claim, self.now), None) is not None:
                agent.deaths.remove(claim)
        if len(agent.processes) < self.scenario.places and self.chance.random() < 0.2:
            if self.chance.random() < 0.5:
                self._claim(agent, None)
            else:
                self.asking.append(agent)

    def _is_awake(self, agent: Agent) -> bool:
        return max(agent.dead_until, agent.frozen_until) < self.now

    def _ask(self, agent: Agent, call: Callable[[], T], otherwise: T) -> T:
        """The server's answer, or `otherwise` when the call or the answer to it was lost."""
        if max(self.outage_until, agent.cut_off_until) >= self.now:
            return otherwise
        try:
            answer = call()
        except Replaced:
            agent.is_registered = False
            return otherwise
        is_lost = self.steps < self.scenario.trouble and self.chance.random() < self.scenario.lost_answers
        return otherwise if is_lost else answer if answer is not None else True  # type: ignore[return-value]

    def _heartbeat(self, agent: Agent) -> None:
        if not agent.is_registered:
            self._register(agent)
            return
        runs = {process.claim.run: process.claim.epoch for process in agent.processes}
        orders = self._ask(agent, lambda: self.server.heartbeat(agent.name, agent.start, runs, self.now), None)
        for process in list(agent.processes) if isinstance(orders, dict) else ():
            match orders.get(process.claim.run):
                case "lost":
                    agent.processes.remove(process)
                case "cancel":
                    self._end(agent, process)
                case "ok":
                    process.trusted_until = self.now + LEASE - STEP

    def _register(self, agent: Agent) -> None:
        """Register a new start of the agent, which ends the processes that it still has from the last one."""
        agent.processes.clear()
        agent.deaths.clear()
        agent.start += 1
        answer = self._ask(agent, lambda: self.server.register(agent.name, agent.start, self.now), None)
        agent.is_registered = answer is not None

    def _claim_together(self) -> None:
        """Answer together all agents whose requests of this step were not answered at once, if they get through."""
        asking, self.asking = self.asking, []
        asking = [one for one in asking if max(self.outage_until, one.cut_off_until) < self.now]
        if not asking:
            return
        answers = self.server.claim_together([(one.name, one.start) for one in asking], self.now)
        given = [claim.run for answer in answers if isinstance(answer, list) for claim in answer]
        if len(given) > len(set(given)):
            self._fail("I6", f"one of the runs {given} was given twice at once")
        for agent, answer in zip(asking, answers, strict=True):
            self._begin(agent, self._ask(agent, lambda answer=answer: _opened(answer), None))

    def _claim(self, agent: Agent, run: int | None) -> None:
        self._begin(agent, self._ask(agent, lambda: self.server.claim(agent.name, agent.start, run, self.now), None))

    def _begin(self, agent: Agent, claims: list[Claim] | None) -> None:
        for claim in claims if isinstance(claims, list) else ():
            plan = self.plans[claim.run]
            agent.processes.append(
                Process(claim, plan.work, plan.crash_retries > 0, self.now + LEASE - STEP, token=self._token())
            )

    def _distrust(self, agent: Agent) -> None:
        """End processes whose lease may have run out meanwhile, and whose run another agent may therefore be given."""
        for process in list(agent.processes):
            if process.retried and process.trusted_until < self.now:
                self._end(agent, process)

    def _end(self, agent: Agent, process: Process) -> None:
        agent.processes.remove(process)
        agent.deaths.append(process.claim)

    def _proceed(self, agent: Agent, process: Process) -> None:
        if process.is_working and process.reported_state is None:
            process.work -= 1
            if process.work <= 0:
                process.reported_state, process.token = (
                    self.chance.choice(("COMPLETED", "COMPLETED", "FAILED")),
                    self._token(),
                )
        if process.reported_state is not None:
            self._report_state(agent, process, process.reported_state)

    def _report_state(self, agent: Agent, process: Process, state: str) -> None:
        def report() -> str:
            answer = self.server.report(*process.claim, state, process.token, self.now)
            self._note_report(process, state, answer)
            return answer

        answer = self._ask(agent, report, "")
        if answer == "accepted" and state == "RUNNING":
            process.reported_state, process.is_working = None, True
            self._note_overlap(process.claim)
        elif answer == "accepted" or answer == "lost":
            agent.processes.remove(process)
        elif answer == "refused":
            self._end(agent, process)

    def _token(self) -> int:
        self.tokens += 1
        return self.tokens

    # --- what must never be ------------------------------------------------------------------------------------------

    def _note_report(self, process: Process, state: str, answer: str) -> None:
        run, epoch = process.claim
        if answer != "accepted" or process.token in self.answered:
            return
        self.answered.add(process.token)
        if self.server.look()[run].epoch != epoch:
            self._fail("I4", f"attempt {epoch} of run {run} was let in: {self.server.history(run)}")
        if state == "RUNNING":
            self.accepted[process.claim] += 1
            self.starts[run] += 1
            if self.accepted[process.claim] > 1:
                self._fail("I6", f"attempt {epoch} of run {run} was started twice")
            if self.starts[run] > 1 + self.plans[run].crash_retries:
                self._fail("I6", f"run {run} was started {self.starts[run]} times: {self.server.history(run)}")

    def _note_overlap(self, claim: Claim) -> None:
        working = [
            p.claim for agent in self.agents for p in agent.processes if p.is_working and p.claim.run == claim.run
        ]
        self.overlaps += len(working) > 1

    def _check(self) -> None:
        looks = self.server.look()
        holding = sum(look.state in HOLDS for look in looks)
        if holding > LIMIT:
            self._fail("I7", f"{holding} runs hold the {LIMIT} places")
        if self.steps % self.scenario.check_every:
            return
        for number in range(self.scenario.runs):
            self._check_history(number)
        if faults := self.server.faults(self.now):
            self._fail("verify", str(faults))

    def _check_history(self, number: int) -> None:
        history = self.server.history(number)
        for before, after in zip(history, history[1:], strict=False):
            if before.state in TERMINAL:
                self._fail("I2", f"run {number} left its end: {history}")
            if after.epoch < before.epoch:
                self._fail("I4", f"run {number} went back to attempt {after.epoch}: {history}")

    def _is_over(self) -> bool:
        return all(look.state in TERMINAL for look in self.server.look())

    def _fail(self, law: str, what: str) -> None:
        raise Broken(f"seed {self.seed}, step {self.steps}: {law}: {what}")
