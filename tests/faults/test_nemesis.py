"""A cluster under load, to whose parts something bad happens all the time: afterwards everything has ended lawfully.

`ORION_CHAOS_ROUNDS` says how much happens, and `ORION_CHAOS_SEED` repeats a round: not the moments, but what and
to whom.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from tests.agents.running import eventually
from tests.faults.cluster import Cluster, Part, database_away, running_cluster
from tests.faults.harm import Chronicle, StallWatch
from tests.faults.load import CRASH_RETRIES, TASK_RUNS, Load
from tests.rounds import rounds

ROUNDS = rounds(2)
SEED = int(os.environ.get("ORION_CHAOS_SEED") or random.randrange(10**6))
QUEUE, PLACES = "chaos", 3
# Long enough that a busy machine costs none, and short enough that the waits below are longer now and then.
LEASES = {"ORION_LEASE_SECONDS": "4", "ORION_LEASE_GRACE_SECONDS": "1"}
# A database is asked for its laws now and then, too: they hold at every moment, not only in the end.
ROUNDS_BETWEEN_LOOKS = 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180 + 20 * ROUNDS)]


class Nemesis:
    """Does one thing at random in each round, and undoes what does not undo itself."""

    def __init__(self, cluster: Cluster, load: Load, rng: random.Random) -> None:
        self._cluster, self._load, self._rng = cluster, load, rng
        self.done: list[str] = []
        self.chronicle = Chronicle()
        everywhere = [
            self.kill_an_agent,
            self.kill_a_launcher,
            self.kill_a_run,
            self.freeze_an_agent,
            self.freeze_a_machine,
            self.kill_a_server,
            self.take_all_servers_away,
            self.kill_the_services,
            self.cancel_a_run,
            self.take_the_database_away,
        ]
        with_a_broker = [self.flush_the_broker, self.kill_the_broker]
        self._deeds: list[Callable[[], object]] = everywhere + (with_a_broker if cluster.broker else [])

    def round(self) -> None:
        deed = self._rng.choice(self._deeds)
        self.done.append(deed.__name__)
        time.sleep(self._rng.uniform(0, 1))
        deed()

    def kill_an_agent(self) -> None:
        agent = self._rng.choice(self._cluster.agents)
        with self.chronicle.noted(agent=agent.name):
            self._kill(agent)

    def kill_a_launcher(self) -> None:
        """It takes the runs of its agent along, and the agent has another one."""
        agent = self._rng.choice(self._cluster.agents)
        with self.chronicle.noted(agent=agent.name):
            _signal([pid for pid in agent.with_all_below() if _is_launcher(pid)], signal.SIGKILL)

    def kill_a_server(self) -> None:
        self._kill(self._rng.choice(self._cluster.servers))

    def take_all_servers_away(self) -> None:
        """The services go on, and hear no agent. No run may suffer from it."""
        for server in self._cluster.servers:
            server.kill()
        self._wait()
        for server in self._cluster.servers:
            server.start()

    def kill_the_services(self) -> None:
        self._kill(self._cluster.services)

    def kill_a_run(self) -> None:
        if executing := self._cluster.run_processes():
            victim = self._rng.choice(executing)
            # A forked process does not show which run it executes, so the other one of its agent is excused as well.
            agents = [agent for agent in self._cluster.agents if victim in agent.with_all_below()]
            # What an ended run left behind belongs to none.
            with self.chronicle.noted(agent=agents[0].name) if agents else nullcontext():
                _signal([victim], signal.SIGKILL)

    def freeze_an_agent(self) -> None:
        """Its runs go on, and nobody hears of them."""
        agent = self._rng.choice(self._cluster.agents)
        with self.chronicle.noted(agent=agent.name):
            agent.freeze()
            self._wait()
            agent.thaw()

    def freeze_a_machine(self) -> None:
        agent = self._rng.choice(self._cluster.agents)
        with self.chronicle.noted(agent=agent.name):
            frozen = agent.with_all_below()
            _signal(frozen, signal.SIGSTOP)
            self._wait()
            _signal(frozen, signal.SIGCONT)

    def cancel_a_run(self) -> None:
        run = self._rng.choice([*self._load.runs])
        self.chronicle.cancelled.add(run)
        self._load.insist(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    def flush_the_broker(self) -> None:
        assert self._cluster.broker is not None
        self._cluster.broker.flush()

    def kill_the_broker(self) -> None:
        assert self._cluster.broker is not None
        self._cluster.broker.kill()
        self._wait()
        self._cluster.broker.start()

    def take_the_database_away(self) -> None:
        with database_away(self._cluster.home, self._cluster.database):
            self._wait()

    def _kill(self, part: Part) -> None:
        part.kill()
        time.sleep(self._rng.uniform(0, 0.5))
        part.start()

    def _wait(self) -> None:
        """Sometimes shorter than a lease, sometimes longer."""
        time.sleep(self._rng.uniform(0.5, 8))


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_launcher(pid: int) -> bool:
    with suppress(OSError):
        is_forked = Path(f"/proc/{pid}/comm").read_text().strip() in ("orion-run", "orion-spare", "orion-guard")
        return not is_forked and b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def test_every_run_ends_lawfully_whichever_process_dies(tmp_path: Path):
    print(f"ORION_CHAOS_SEED={SEED} ORION_CHAOS_ROUNDS={ROUNDS}")
    with running_cluster(tmp_path / "home", QUEUE, **LEASES) as cluster:
        cluster.limit_queue(QUEUE, PLACES)
        cluster.share_fairly("deployment")
        load = Load(cluster.api, QUEUE, tmp_path / "witness", random.Random(SEED))
        nemesis = Nemesis(cluster, load, random.Random(SEED))
        with load, StallWatch(nemesis.chronicle):
            eventually(load.starts, cluster.description)
            for number in range(1, ROUNDS + 1):
                nemesis.round()
                if number % ROUNDS_BETWEEN_LOOKS == 0:
                    assert cluster.verified() == "", nemesis.done

        eventually(lambda: load.unfinished() == 0, lambda: description(cluster, nemesis))
        eventually(lambda: not cluster.run_processes(), lambda: description(cluster, nemesis))

        assert cluster.verified() == "", description(cluster, nemesis)
        assert load.surprises == [], description(cluster, nemesis)
        assert_started_as_often_as_allowed(load, nemesis.chronicle)
        assert_what_nobody_harmed_completed(load, nemesis)
        assert_completed_runs_are_whole(load)
        assert_none_is_lost_and_none_made_twice(cluster, load)
        print("ended as", load.ends())
        assert_all_places_are_free(load, lambda: description(cluster, nemesis))


def description(cluster: Cluster, nemesis: Nemesis) -> str:
    return f"seed {SEED}: {nemesis.done}\n{cluster.description()}"


def assert_started_as_often_as_allowed(load: Load, chronicle: Chronicle) -> None:
    """Never more often than the budget allows, and not twice where nothing had to be done again."""
    too_often = {}
    for run, number in load.starts().items():
        budget = CRASH_RETRIES.get(load.runs[run], 0)
        if number > 1 + min(budget, chronicle.harms_of(load.history_of(run))):
            too_often[run] = number
    assert too_often == {}


def assert_what_nobody_harmed_completed(load: Load, nemesis: Nemesis) -> None:
    """A run that was not cancelled completes, unless it was harmed more often than it may crash."""
    chronicle, odd = nemesis.chronicle, []
    for run, flow in load.runs.items():
        history = load.history_of(run)
        harms = chronicle.harms_of(history)
        if run not in chronicle.cancelled and harms <= CRASH_RETRIES.get(flow, 0) and load.state_of(run) != "COMPLETED":
            states = [f"{state['timestamp']} {state['name']}: {state['message']}" for state in history]
            odd.append("\n  ".join([f"{run} of {flow}, harmed {harms} times", *states]))
    assert odd == [], f"seed {SEED}: {nemesis.done}\n" + "\n".join([*odd, *map(str, chronicle.harms)])


def assert_completed_runs_are_whole(load: Load) -> None:
    """With all that they reported, and nothing twice."""
    for run, flow in load.runs.items():
        if load.state_of(run) == "COMPLETED":
            assert load.task_runs_of(run) == ["COMPLETED"] * TASK_RUNS[flow], run


def assert_none_is_lost_and_none_made_twice(cluster: Cluster, load: Load) -> None:
    deployed = {"flow_runs": {"deployment_id": {"is_null_": False}}, "limit": 200}
    found: list[str] = []
    while page := cluster.api.post("/flow_runs/filter", {**deployed, "offset": len(found)}):
        found += [run["id"] for run in page]
    assert sorted(found) == sorted(load.runs)


def assert_all_places_are_free(load: Load, describe: Callable[[], object]) -> None:
    more = [load.add("brief") for _ in range(PLACES + 1)]
    eventually(lambda: load.unfinished() == 0, describe)
    assert {load.state_of(run) for run in more} == {"COMPLETED"}
