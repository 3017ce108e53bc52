"""The states that the page of a run reads while the run changes."""

from __future__ import annotations

import pytest

from orchestration.services import propose_flow_run_state
from runs.models import FlowRun
from runs.pages.selectors.run import read_states
from tests.factories import later, make_flow_run, make_state

pytestmark = pytest.mark.django_db


def test_the_state_of_a_run_is_the_one_it_had_when_it_was_read():
    run = make_flow_run("RUNNING", retries=3)
    for number in (1, 2):
        propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later(3 * number))
        propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=later(3 * number + 1))
    seen = FlowRun.objects.get(pk=run.pk)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED"), now=later(10))
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=later(11))

    state, attempts = read_states(seen)

    assert state is not None
    assert (state.seq, state.type) == (seen.seq, "RUNNING")
    assert len(attempts) == seen.run_count == 3
