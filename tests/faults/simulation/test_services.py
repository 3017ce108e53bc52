"""Simulated misfortune with the real services on a real database."""

from __future__ import annotations

import pytest
from django.db import transaction

from tests.faults.simulation.calls import GRACE, HEARTBEAT, LEASE, LOST_STARTS, RECONCILE
from tests.faults.simulation.cast import Scenario
from tests.faults.simulation.services import Services
from tests.faults.simulation.world import Broken, World
from tests.rounds import rounds

pytestmark = pytest.mark.django_db
ROUNDS = rounds(1)
CHUNKS = 8
SHORT = Scenario(runs=8, trouble=36)
ONLY_OUTAGES = Scenario(runs=5, trouble=30, faults=("outage",), crash_retries=(0,), lost_answers=0)


@pytest.fixture(autouse=True)
def _short_periods(settings):
    settings.ORION_LEASE_SECONDS, settings.ORION_LEASE_GRACE_SECONDS = LEASE, GRACE
    settings.ORION_HEARTBEAT_SECONDS, settings.ORION_RECONCILE_SECONDS = HEARTBEAT, RECONCILE
    settings.ORION_LOST_STARTS = LOST_STARTS


@pytest.mark.turns
@pytest.mark.parametrize("seed", range(ROUNDS * CHUNKS))
def test_the_services_keep_the_protocol(seed):
    lived(Services(), seed, SHORT)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_outages_alone_crash_nothing(seed):
    world = lived(Services(), seed, ONLY_OUTAGES)

    assert world.crashed_alive == []


@pytest.mark.parametrize(
    ("fault", "law"), [({"fencing": False}, "I4"), pytest.param({"reconciles": False}, "I5", marks=pytest.mark.long)]
)
def test_a_planted_fault_is_found(fault, law):
    scenario = Scenario(runs=8, trouble=36, patience=60)

    def live():
        # With the services as they are, the ninth life shows the first of these faults.
        for seed in (8, *range(20)):
            lived(Services(**fault), seed, scenario)

    with pytest.raises(Broken, match=f" {law}:"):
        live()


def test_without_amnesty_an_outage_crashes_runs_that_live():
    assert any(lived(Services(amnesty=False), seed, ONLY_OUTAGES).crashed_alive for seed in range(6))


def lived(server, seed, scenario):
    """A world that lived in an empty database, and left it empty."""
    with transaction.atomic():
        world = World(server, seed, scenario)
        try:
            world.run()
        finally:
            transaction.set_rollback(True)
    return world
