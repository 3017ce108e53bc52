"""Attempts that did not end by themselves."""

from __future__ import annotations

import pytest

from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.dispatch.services.agents import leave
from deployments.dispatch.services.attempt_exit import Cause, ProcessExit, describe_exit, release_by_force, revoke
from deployments.errors import AgentNameTaken
from deployments.models import Lease, Slot, Worker
from orchestration.core.states import scheduled
from orchestration.errors import RunLost
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState, TaskRun
from tests.factories import (
    NOON,
    history_of,
    later,
    make_flow,
    make_flow_run,
    make_limit,
    make_state,
    make_task_run,
    state_of,
)
from tests.services.dispatching import (
    epoch_of,
    is_leased,
    make_agent,
    make_deployment,
    make_queue,
    report,
    start,
    waiting,
)

pytestmark = pytest.mark.django_db


def begun(agent, **fields):
    run = waiting(make_queue(), **fields)
    (claim,) = agent.claim(run=run)
    start(claim, later(1))
    return run, claim


def last_message(run):
    return FlowRunState.objects.filter(flow_run=run).order_by("seq").last().message


def test_a_process_that_died_crashes_its_run_with_the_cause():
    agent = make_agent()
    run, claim = begun(agent)

    state = agent.ended(claim, later(2), signal=11)

    assert (state.type, state_of(run), is_leased(run)) == ("CRASHED", "CRASHED", False)
    assert last_message(run) == "The process of the run was ended by SIGSEGV."
    assert FlowRunState.objects.get(flow_run=run, type="CRASHED").author == "agent smith"


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (ProcessExit(signal=9), "SIGKILL; running out of memory is the usual reason"),
        (ProcessExit(signal=9, reason="too long", message="Killed, too long."), "Killed, too long."),
        (ProcessExit(signal=64, reason="lost"), "signal 64 (lost)|SIGRTMAX (lost)"),
        (ProcessExit(exit_code=3), "exited with code 3"),
        (ProcessExit(exit_code=1, message="It said: no."), "It said: no."),
        (ProcessExit(), "is gone"),
    ],
)
def test_the_exit_of_a_process_is_described(death, words):
    assert any(word in describe_exit(death) for word in words.split("|"))


def test_a_crash_is_retried_by_an_agent_within_its_budget():
    agent = make_agent()
    run, claim = begun(agent, crash_retries=1)

    first = agent.ended(claim, later(2), exit_code=1)
    (again,) = agent.claim(later(3))
    start(again, later(4))
    second = agent.ended(again, later(5), exit_code=1)

    assert (first.name, second.name) == ("AwaitingRetry", "Crashed")
    assert history_of(run) == ["Scheduled", "Pending", "Running", "AwaitingRetry", "Pending", "Running", "Crashed"]
    assert epoch_of(run) == 2


def test_a_process_that_died_before_it_reported_crashes_its_run_too():
    agent = make_agent()
    run = waiting(make_queue())
    (claim,) = agent.claim()

    agent.ended(claim, later(1), signal=11)

    assert history_of(run) == ["Scheduled", "Pending", "Crashed"]


def test_a_run_that_a_draining_agent_did_not_begin_waits_again():
    agent = make_agent()
    run = waiting(make_queue())
    (claim,) = agent.claim()

    agent.ended(claim, later(1), signal=15, reason="drained")

    assert history_of(run) == ["Scheduled", "Pending", "Scheduled"]
    assert not is_leased(run)


@pytest.mark.parametrize("crash_retries", [0, 3])
@pytest.mark.parametrize("reason", ["drained", "out of touch"])
def test_a_run_that_its_agent_ended_before_it_began_is_never_lost(crash_retries, reason, settings):
    settings.ORION_LOST_STARTS = 1
    agent = make_agent()
    run = waiting(make_queue(), crash_retries=crash_retries)

    for second in range(5):
        (claim,) = agent.claim(later(second))
        agent.ended(claim, later(second), signal=9, reason=reason)

    run.refresh_from_db()
    assert history_of(run) == ["Scheduled", *["Pending", "Scheduled"] * 5]
    assert (run.empirical_policy.get("crash_count"), run.lost_starts, is_leased(run)) == (None, 0, False)


def test_a_process_that_was_killed_before_it_began_is_a_crash_within_the_budget_of_its_deployment():
    agent, queue = make_agent(), make_queue()
    deployment = make_deployment(queue, crash_retries=1)
    options = RunOptions()
    run = create_run_of_deployment(deployment_id=deployment.pk, options=options, state=scheduled(NOON), now=NOON)[0]

    for second in range(2):
        (claim,) = agent.claim(later(second))
        agent.ended(claim, later(second), signal=9)

    assert history_of(run) == ["Scheduled", "Pending", "AwaitingRetry", "Pending", "Crashed"]


def test_without_crash_retries_a_process_that_was_killed_before_it_began_is_crashed():
    agent, queue = make_agent(), make_queue()
    run = waiting(queue, deployment=make_deployment(queue, crash_retries=0))
    (claim,) = agent.claim()

    agent.ended(claim, later(1), signal=9)

    assert history_of(run) == ["Scheduled", "Pending", "Crashed"]


@pytest.mark.parametrize("death", [{"signal": 9}, {"reason": "launcher died"}, {"reason": "agent failed"}])
def test_a_run_killed_before_its_code_set_crash_retries_is_queued_again_a_few_times(death, settings):
    settings.ORION_LOST_STARTS = 2
    agent = make_agent()
    run = waiting(make_queue())

    for second in range(3):
        (claim,) = agent.claim(later(second))
        agent.ended(claim, later(second), **death)

    assert history_of(run) == ["Scheduled", *["Pending", "Scheduled"] * 2, "Pending", "Crashed"]
    assert "lost before it began 3 times" in last_message(run)


def test_an_attempt_that_its_agent_ended_for_want_of_an_answer_uses_up_no_crash_retry():
    agent = make_agent()
    run, claim = begun(agent, crash_retries=1, retries=1)

    agent.ended(claim, later(2), signal=9, reason="out of touch")
    (again,) = agent.claim(later(2))
    start(again, later(3))
    failed = report(again, "FAILED", later(4))

    run.refresh_from_db()
    assert history_of(run)[-4:] == ["AwaitingRetry", "Pending", "Running", "AwaitingRetry"]
    assert failed.state.name == "AwaitingRetry"
    assert (run.empirical_policy["handovers"], run.empirical_policy.get("crash_count")) == (1, None)


def test_a_run_that_was_being_cancelled_is_cancelled():
    agent = make_agent()
    run, claim = begun(agent, crash_retries=5)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("CANCELLING"), now=later(2))

    agent.ended(claim, later(3), signal=15, reason="cancelled")

    assert history_of(run)[-2:] == ["Cancelling", "Cancelled"]
    assert not is_leased(run)


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED"])
def test_a_run_that_reported_its_end_stays_as_it_is(end):
    agent = make_agent()
    run, claim = begun(agent)
    report(claim, end, later(2))

    state = agent.ended(claim, later(3), exit_code=1)

    assert state.type == state_of(run) == end


def test_a_suspended_run_stays_as_it_is():
    agent = make_agent()
    run, claim = begun(agent)
    report(claim, make_state("PAUSED", "Suspended", pause_reschedule=True), later(2))

    agent.ended(claim, later(3), exit_code=0)

    assert state_of(run) == "PAUSED"


def test_a_run_that_was_paused_in_its_process_crashes_with_it():
    agent = make_agent()
    run, claim = begun(agent)
    report(claim, make_state("PAUSED"), later(2))

    agent.ended(claim, later(3), signal=9)

    assert state_of(run) == "CRASHED"


def test_a_retry_that_waited_in_a_process_that_died_is_started_by_an_agent():
    agent = make_agent()
    run, claim = begun(agent, retries=1, retry_delay=30)
    report(claim, "FAILED", later(2))

    agent.ended(claim, later(3), signal=9)

    run.refresh_from_db()
    assert history_of(run)[-2:] == ["AwaitingRetry", "AwaitingRetry"]
    assert run.next_scheduled_start_time == later(32)
    assert run.empirical_policy["retry_type"] == "reschedule"
    assert not is_leased(run)
    assert [one.flow_run_id for one in agent.claim(later(32))] == [run.pk]


def test_an_end_that_comes_too_late_is_refused():
    agent = make_agent()
    run, claim = begun(agent)
    revoke(run_id=run.pk, cause=Cause("Revoked.", "crash detection"), now=later(2))

    with pytest.raises(RunLost):
        agent.ended(claim, later(3), signal=9)


def test_task_runs_of_a_dead_process_crash_with_it():
    agent = make_agent()
    run, claim = begun(agent)
    limit = make_limit("gpu", 1)
    done = make_task_run("COMPLETED", flow_run=run)
    busy = make_task_run("RUNNING", flow_run=run, tags=["gpu"])
    Slot.objects.create(limit=limit, task_run=busy, taken_at=later(1))
    call = make_task_run("RUNNING", flow_run=run)
    nested = make_flow_run("RUNNING", parent_task_run_id=call.pk)
    deep = make_task_run("PENDING", flow_run=nested)
    elsewhere_call = make_task_run("RUNNING", flow_run=run)
    elsewhere = make_flow_run("RUNNING", parent_task_run_id=elsewhere_call.pk, deployment_id=run.deployment_id)

    agent.ended(claim, later(2), signal=9)

    assert [state_of(one) for one in (done, busy, call, nested, deep)] == ["COMPLETED", *["CRASHED"] * 4]
    assert [state_of(one) for one in (elsewhere, elsewhere_call)] == ["RUNNING", "RUNNING"]
    assert Slot.objects.count() == 0
    assert TaskRun.objects.get(pk=busy.pk).states.last().author == "agent smith"


def test_open_task_runs_crash_also_when_the_run_is_tried_again():
    agent = make_agent()
    run, claim = begun(agent, crash_retries=1)
    task = make_task_run("RUNNING", flow_run=run, retries=3)

    agent.ended(claim, later(2), signal=9)

    assert (state_of(run), state_of(task)) == ("SCHEDULED", "CRASHED")


def test_revoking_takes_the_run_away_from_its_attempt():
    agent = make_agent()
    run, claim = begun(agent)

    state = revoke(run_id=run.pk, cause=Cause("Revoked.", "crash detection"), now=later(2))

    assert (state.type, epoch_of(run), is_leased(run)) == ("CRASHED", 2, False)
    with pytest.raises(RunLost):
        report(claim, "COMPLETED", later(3))
    assert agent.beat([claim], later(4)) == ["lost"]


def test_revoking_a_run_without_a_lease_changes_nothing():
    run = waiting(make_queue())

    revoke(run_id=run.pk, cause=Cause("x", "y"), now=later(1))

    assert history_of(run) == ["Scheduled"]


def test_places_of_runs_without_a_lease_are_released_by_force():
    run = make_flow_run("RUNNING", flow=make_flow())

    release_by_force(run_id=run.pk, cause=Cause("Released by hand.", "operator"), now=later(1))

    assert (state_of(run), epoch_of(run)) == ("CRASHED", 1)


def test_a_new_start_of_an_agent_revokes_the_runs_of_the_old_one():
    old = make_agent()
    run, claim = begun(old)
    pending = waiting(make_queue())
    old.claim()

    make_agent(now=later(5))

    assert (state_of(run), state_of(pending)) == ("CRASHED", "SCHEDULED")
    assert "was restarted" in last_message(run)
    assert Lease.objects.count() == 0
    with pytest.raises(RunLost):
        report(claim, "COMPLETED", later(6))


def test_registering_again_with_the_same_incarnation_changes_nothing():
    agent = make_agent()
    run, claim = begun(agent)

    same = make_agent(incarnation=agent.incarnation, now=later(5))

    assert same.id == agent.id
    assert is_leased(run)
    assert report(claim, "COMPLETED", later(6)).written


def test_a_name_that_is_alive_on_another_machine_is_taken():
    make_agent(host="a")

    with pytest.raises(AgentNameTaken):
        make_agent(host="b", now=later(44))

    assert make_agent(host="b", now=later(46)).id == Worker.objects.get().pk


def test_leaving_returns_what_is_held():
    agent = make_agent()
    run, _ = begun(agent)

    leave(agent_id=agent.id, incarnation=agent.incarnation, now=later(2))
    leave(agent_id=agent.id, incarnation=agent.incarnation, now=later(3))

    assert state_of(run) == "CRASHED"
    assert Worker.objects.get().offline_at == later(2)
    assert FlowRun.objects.get(pk=run.pk).epoch == 2
