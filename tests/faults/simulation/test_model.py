"""The protocol holds under thousands of seeds, and the simulation finds what is planted into it."""

from __future__ import annotations

import pytest

from tests.faults.simulation.cast import Scenario
from tests.faults.simulation.model import Model
from tests.faults.simulation.world import Broken, World
from tests.rounds import THOROUGH

SEEDS = 2000 if THOROUGH else 1000
CHUNKS = 8
ONLY_OUTAGES = Scenario(faults=("outage",), crash_retries=(0,), lost_answers=0)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_protocol_holds(chunk):
    for seed in range(chunk, SEEDS, CHUNKS):
        World(Model(), seed, Scenario()).run()


def test_without_frozen_processes_no_run_is_executed_twice_at_once():
    scenario = Scenario(faults=("kill", "partition", "flush", "outage", "die", "cancel"))

    for seed in range(200):
        world = World(Model(), seed, scenario)
        world.run()

        assert world.overlaps == 0, f"seed {seed}"


def test_frozen_processes_do_overlap_so_the_simulation_is_realistic():
    worlds = [World(Model(), seed, Scenario()) for seed in range(100)]

    for world in worlds:
        world.run()

    assert sum(world.overlaps for world in worlds) > 0
    assert sum(bool(world.crashed_alive) for world in worlds) > 0


def test_outages_alone_crash_nothing():
    for seed in range(100):
        world = World(Model(), seed, ONLY_OUTAGES)
        world.run()

        assert world.crashed_alive == [], f"seed {seed}"


@pytest.mark.turns
@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ({"fencing": False}, "I4"),
        ({"claims": False}, "I6"),
        ({"slots": "counter"}, "I5"),
        ({"slots": "ttl"}, "I7"),
        ({"reconciles": False}, "I5"),
    ],
    ids=lambda one: "-".join(map(str, one)) if isinstance(one, dict) else one,
)
def test_a_planted_fault_is_found(fault, law):
    found = [broken for seed in range(120) if (broken := first_broken(Model(**fault), seed))]

    assert any(f" {law}:" in str(broken) for broken in found), found[:3]


def test_without_amnesty_an_outage_crashes_runs_that_live():
    worlds = [World(Model(amnesty=False), seed, ONLY_OUTAGES) for seed in range(60)]

    for world in worlds:
        world.run()

    assert any(world.crashed_alive for world in worlds)


def first_broken(server, seed):
    try:
        World(server, seed, Scenario()).run()
    except Broken as broken:
        return broken
    return None
