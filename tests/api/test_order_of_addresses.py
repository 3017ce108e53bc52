"""Django tries one address after the other, so those to which every run reports come first."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import resolve

# More would take as long as the rules that judge a state.
MOST_TRIED = 12
REPORTS = (
    "flow_runs/",
    "flow_runs/{id}/set_state",
    "task_runs/",
    "task_runs/{id}/set_state",
    "task_runs/transitions",
    "logs/",
    "agents/{id}/claim",
    "agents/{id}/heartbeat",
    "agents/{id}/ended",
)


@pytest.mark.parametrize("address", REPORTS)
def test_an_address_of_reports_is_found_soon(address: str):
    found = resolve("/api/" + address.format(id=uuid4()))

    assert found.func.operations
    assert len(found.tried) <= MOST_TRIED
