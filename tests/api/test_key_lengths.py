"""Keys that identify runs: as long as an index can hold, in any script, and no longer."""

from __future__ import annotations

import random

import pytest

from tests.factories import make_flow, make_flow_run

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]


def text_of(characters: int) -> str:
    """Text that does not compress, of three bytes a character."""
    chance = random.Random(1)
    return "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(characters))


@pytest.mark.parametrize(("characters", "status"), [(433, 201), (434, 422)])
def test_idempotency_keys_fit_the_index_or_are_refused(api, characters, status):
    body = {"flow_id": str(make_flow().pk), "idempotency_key": text_of(characters)}

    assert api.send("/flow_runs/", body).status_code == status


@pytest.mark.parametrize(("characters", "status"), [(433, 201), (434, 422)])
def test_the_keys_of_a_call_fit_the_index_or_are_refused(api, characters, status):
    key = text_of(characters)
    body = {"flow_run_id": str(make_flow_run().pk), "task_key": key, "dynamic_key": key}

    assert api.send("/task_runs/", body).status_code == status
