"""A cluster under load, to whose parts something bad happens all the time: afterwards everything has ended lawfully.

`ORION_CHAOS_ROUNDS` says how much happens, and `ORION_CHAOS_SEED` repeats what happened: not the moments, but what and
to whom.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.agents.running import eventually
from tests.faults.cluster import Cluster, Part, database_away, running_cluster
from tests.faults.load import CRASH_RETRIES, Load

ROUNDS = int(os.environ.get("ORION_CHAOS_ROUNDS", "3"))
SEED = int(os.environ.get("ORION_CHAOS_SEED") or random.randrange(10**6))
QUEUE, PLACES = "chaos", 3
# A database is asked for its laws now and then, too: they hold at every moment, not only in the end.
ROUNDS_BETWEEN_LOOKS = 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180 + 20 * ROUNDS)]


class Nemesis:
    """Does one thing at random in each round, and undoes what does not undo itself."""

    def __init__(self, cluster: Cluster, load: Load, rng: random.Random) -> None:
        self._cluster, self._load, self._rng = cluster, load, rng
        self.done: list[str] = []
        everywhere = [
            self.kill_an_agent,
            self.kill_a_run,
            self.freeze_an_agent,
            self.freeze_a_machine,
            self.kill_the_server,
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
        self._kill(self._rng.choice(self._cluster.agents))

    def kill_the_server(self) -> None:
        self._kill(self._cluster.server)

    def kill_the_services(self) -> None:
        self._kill(self._cluster.services)

    def kill_a_run(self) -> None:
        if executing := self._cluster.run_processes():
            with suppress(ProcessLookupError):
                os.kill(self._rng.choice(executing), signal.SIGKILL)

    def freeze_an_agent(self) -> None:
        """Its runs go on, and nobody hears of them."""
        agent = self._rng.choice(self._cluster.agents)
        agent.freeze()
        self._wait()
        agent.thaw()

    def freeze_a_machine(self) -> None:
        agent = self._rng.choice(self._cluster.agents)
        frozen = agent.with_all_below()
        _signal(frozen, signal.SIGSTOP)
        self._wait()
        _signal(frozen, signal.SIGCONT)

    def cancel_a_run(self) -> None:
        run = self._rng.choice([*self._load.runs])
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
        time.sleep(self._rng.uniform(0.5, 4))


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_whatever_dies_every_run_ends_lawfully_and_nothing_is_left(tmp_path: Path):
    print(f"ORION_CHAOS_SEED={SEED} ORION_CHAOS_ROUNDS={ROUNDS}")
    with running_cluster(tmp_path / "home", QUEUE) as cluster:
        cluster.limit_queue(QUEUE, PLACES)
        load = Load(cluster.api, QUEUE, tmp_path / "witness", random.Random(SEED))
        nemesis = Nemesis(cluster, load, random.Random(SEED))
        with load:
            eventually(load.starts, cluster.told)
            for number in range(1, ROUNDS + 1):
                nemesis.round()
                if number % ROUNDS_BETWEEN_LOOKS == 0:
                    assert cluster.verified() == "", nemesis.done

        eventually(lambda: load.unfinished() == 0, lambda: told(cluster, nemesis))
        eventually(lambda: not cluster.run_processes(), lambda: told(cluster, nemesis))

        assert cluster.verified() == "", told(cluster, nemesis)
        assert load.surprises == [], told(cluster, nemesis)
        assert_started_as_often_as_allowed(load)
        assert_none_is_lost_and_none_made_twice(cluster, load)
        print("ended as", load.ends())
        assert_all_places_are_free(load, lambda: told(cluster, nemesis))


def told(cluster: Cluster, nemesis: Nemesis) -> str:
    return f"seed {SEED}: {nemesis.done}\n{cluster.told()}"


def assert_started_as_often_as_allowed(load: Load) -> None:
    starts = load.starts()
    too_often = {run: n for run, n in starts.items() if n > 1 + CRASH_RETRIES.get(load.runs[run], 0)}
    assert too_often == {}


def assert_none_is_lost_and_none_made_twice(cluster: Cluster, load: Load) -> None:
    deployed = {"flow_runs": {"deployment_id": {"is_null_": False}}, "limit": 200}
    found: list[str] = []
    while page := cluster.api.post("/flow_runs/filter", {**deployed, "offset": len(found)}):
        found += [run["id"] for run in page]
    assert sorted(found) == sorted(load.runs)


def assert_all_places_are_free(load: Load, told: Callable[[], object]) -> None:
    more = [load.add("brief") for _ in range(PLACES + 1)]
    eventually(lambda: load.unfinished() == 0, told)
    assert {load.state_of(run) for run in more} == {"COMPLETED"}
