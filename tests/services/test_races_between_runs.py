"""Effects that reach other runs, under contention: mirrored parents, cancelled neighbours, expired results."""

from __future__ import annotations

import pytest

from orchestration.core.states import running
from orchestration.core.verdicts import Accept
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs.models import CacheEntry
from tests.factories import (
    history_of,
    later,
    make_flow,
    make_flow_run,
    make_state,
    make_task_run,
    state_of,
)
from tests.services.threads import race

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_parent_task_follows_its_child_despite_concurrent_writes():
    parent = make_task_run("PENDING")
    child = make_flow_run("PENDING", parent_task_run_id=parent.pk)

    def move(who):
        for number in range(5):
            if who == "child":
                state = make_state("RUNNING", f"child-{number}")
                propose_flow_run_state(run_id=child.pk, proposed=state, now=later(1), force=True)
            else:
                state = make_state("RUNNING", f"{who}-{number}")
                propose_task_run_state(run_id=parent.pk, proposed=state, now=later(1), force=True)

    race(move, ["child", "a", "b"])

    seqs = list(parent.states.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert sum(name.startswith("child-") for name in history_of(parent)) == 5


def test_only_one_of_the_runs_that_cancel_each_other_is_left_running():
    flow = make_flow()
    runs = [make_flow_run("PENDING", flow=flow, overlap="cancel_old") for _ in range(4)]

    outcomes = race(lambda run: propose_flow_run_state(run_id=run.pk, proposed=running(), now=later(1)), runs)

    assert all(isinstance(outcome.verdict, Accept) for outcome in outcomes)
    assert sorted(state_of(run) for run in runs) == ["CANCELLING"] * 3 + ["RUNNING"]


@pytest.mark.parametrize("attempt", range(3))
def test_a_result_is_either_reused_or_expired_but_never_half(attempt):
    flow_run = make_flow_run("RUNNING")
    source = make_task_run("RUNNING", flow_run=flow_run)
    propose_task_run_state(run_id=source.pk, proposed=make_state("COMPLETED", cache_key="k"), now=later(1))
    reader = make_task_run("PENDING", flow_run=flow_run)

    def act(what):
        if what == "reopen":
            return propose_task_run_state(run_id=source.pk, proposed=make_state("RUNNING"), now=later(2), force=True)
        return propose_task_run_state(run_id=reader.pk, proposed=make_state("RUNNING", cache_key="k"), now=later(2))

    race(act, ["reopen", "reuse"])

    assert history_of(reader)[-1] in ("Cached", "Running")
    left = CacheEntry.objects.filter(task_run_state__task_run=source)
    assert not left.exists()
    assert state_of(source) == "RUNNING"
