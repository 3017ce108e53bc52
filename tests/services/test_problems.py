"""Problems as the service makes them: nothing is lost or counted twice, and each change is an event once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from deployments.upkeep.selectors.invariants import violations
from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from events.models import Event
from orchestration.services import propose_flow_run_state
from orionflow.contract.fingerprints import cause_of
from orionflow.contract.ids import uuid7
from runs.errors import ProblemNotFound
from runs.flow_runs.commands import retry_flow_run
from runs.flow_runs.services import delete_flow_run
from runs.models import Flow, FlowRun, Occurrence, Problem
from runs.problems.services.counting import work_on_problems
from runs.problems.services.decisions import assign_problem, mute_problem, resolve_problem, unmute_problem
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run
from tests.services.threads import race

pytestmark = pytest.mark.django_db

KEY_ERROR = cause_of("KeyError", "'price'", [("load.py", "load_rows")]).as_dict()
OTHER = cause_of("ValueError", "boom", [("load.py", "parse")]).as_dict()
HOUR = timedelta(hours=1)


def failed(
    at=NOON, *, flow: Flow | None = None, cause=KEY_ERROR, message="The flow raised KeyError: 'price'", **fields
):
    """A run that began a second before it failed."""
    run = make_flow_run("RUNNING", flow=flow or make_flow(), now=at - timedelta(seconds=1), **fields)
    state = make_state("FAILED", message=message, cause=cause)
    propose_flow_run_state(run_id=run.pk, proposed=state, now=at)
    return run


def passed(at, flow: Flow) -> FlowRun:
    return make_flow_run(make_state("COMPLETED"), flow=flow, now=at)


def the_problem(cause=KEY_ERROR) -> Problem:
    return Problem.objects.get(pk=UUID(cause["fingerprint"]))


def event_names() -> list[str]:
    return list(Event.objects.filter(event__startswith="orion.problem").order_by("pk").values_list("event", flat=True))


def test_a_failure_becomes_an_occurrence_with_its_state_and_the_service_makes_the_problem():
    run = failed(flow_version="1.8")

    assert Occurrence.objects.get().run_id == run.pk
    assert not Problem.objects.exists()
    assert work_on_problems(later()) == 1

    problem = the_problem()
    assert (problem.status, problem.failures, problem.version) == ("new", 1, "1.8")
    assert (problem.title, problem.place) == ("KeyError: 'price'", "load.py:load_rows")
    assert event_names() == ["orion.problem.new"]
    assert work_on_problems(later(2)) == 0


def test_an_occurrence_without_its_state_breaks_a_law():
    run = failed()
    assert [one for one in violations(later()) if one.invariant == "I14"] == []

    Occurrence.objects.create(id=uuid7(), problem_id=UUID(int=1), run=run, seen_at=NOON)

    assert [one.invariant for one in violations(later()) if one.invariant == "I14"] == ["I14"]


def test_runs_that_end_well_have_no_occurrence():
    for state in ("COMPLETED", "CANCELLED", "RUNNING"):
        make_flow_run(state)

    assert not Occurrence.objects.exists()


def test_a_state_without_a_cause_is_placed_by_its_words():
    flow = make_flow()
    for number in (1, 2):
        failed(flow=flow, cause=None, message=f"The flow raised ValueError: row {number} is bad")
    make_flow_run(make_state("CRASHED", message="Agent 'one' on host-7 is gone."))
    make_flow_run(make_state("CRASHED", message="Agent 'two' on host-8 is gone."))

    work_on_problems(later())

    assert {(one.type, one.failures) for one in Problem.objects.all()} == {("ValueError", 2), ("Crashed", 2)}
    assert Problem.objects.get(type="ValueError").example == "row 2 is bad"


def test_a_sum_without_a_failed_task_run_has_the_type_of_its_cause():
    failed(cause=OTHER, message="2/40 runs failed.")

    work_on_problems(later())

    assert (the_problem(OTHER).title, the_problem(OTHER).place) == ("ValueError", "load.py:parse")


def test_a_sum_shows_the_words_of_the_task_run_that_failed_first():
    run = make_flow_run("RUNNING")
    cause = cause_of("KeyError", "'price'", [("load.py", "load_rows")]).as_dict()
    make_task_run(make_state("FAILED", message="The task raised KeyError: 'price'", cause=cause), flow_run=run)
    state = make_state("FAILED", message="1/2 runs failed.", cause=cause)
    propose_flow_run_state(run_id=run.pk, proposed=state, now=later())

    work_on_problems(later(2))

    assert the_problem().title == "KeyError: 'price'"


def nested_in(parent: FlowRun, at=NOON, cause=KEY_ERROR) -> FlowRun:
    task_run = make_task_run("RUNNING", flow_run=parent, now=at)
    return failed(at, cause=cause, parent_task_run_id=task_run.pk)


@pytest.mark.parametrize("counted_between", [True, False])
def test_a_run_that_failed_with_its_subflow_is_one_failure(counted_between: bool):
    parent = make_flow_run("RUNNING")
    child = nested_in(parent)
    if counted_between:
        work_on_problems(later())
    state = make_state("FAILED", message="The flow raised KeyError: 'price'", cause=KEY_ERROR)
    propose_flow_run_state(run_id=parent.pk, proposed=state, now=later())

    work_on_problems(later(2))

    assert the_problem().failures == 1
    assert Occurrence.objects.get(run=child).is_consequence
    assert not Occurrence.objects.get(run=parent).is_consequence


def test_a_subflow_failure_that_its_parent_handled_counts():
    parent = make_flow_run("RUNNING")
    nested_in(parent)
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("COMPLETED"), now=later())

    work_on_problems(later(2))

    assert the_problem().failures == 1
    assert not Occurrence.objects.get().is_consequence


def test_a_storm_is_noticed_once_and_nothing_of_it_is_lost():
    flow = make_flow()
    runs = [make_flow_run("RUNNING", flow=flow) for _ in range(24)]
    state = {"message": "The flow raised KeyError: 'price'", "cause": KEY_ERROR}

    for part in (runs[:5], runs[5:]):
        for run in part:
            propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED", **state), now=later())
        work_on_problems(later(2))

    assert the_problem().failures == 24
    assert event_names() == ["orion.problem.new", "orion.problem.growing"]


@pytest.mark.django_db(transaction=True)
def test_failures_and_services_at_the_same_time_lose_no_occurrence():
    flow = make_flow()
    runs = [make_flow_run("RUNNING", flow=flow) for _ in range(12)]

    def fail(run: FlowRun) -> None:
        state = make_state("FAILED", message="The flow raised KeyError: 'price'", cause=KEY_ERROR)
        propose_flow_run_state(run_id=run.pk, proposed=state, now=later())
        work_on_problems(later(2))

    race(fail, runs)
    work_on_problems(later(3))

    assert Occurrence.objects.filter(is_pending=False).count() == 12
    assert the_problem().failures == 12
    assert event_names().count("orion.problem.new") == 1


def test_a_problem_is_new_for_a_day():
    failed()
    work_on_problems(later())

    work_on_problems(NOON + timedelta(days=1, minutes=1))

    assert the_problem().status == "ongoing"


# --- closing -------------------------------------------------------------------------------------------------------


def checked(at=NOON + HOUR) -> Problem:
    work_on_problems(at)
    return the_problem()


def test_it_closes_by_itself_when_its_runs_completed_after_all():
    run = failed(deployment_id=str(UUID(int=5)))
    work_on_problems(later())
    retry_flow_run(run_id=run.pk, now=later(60))
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=later(61))

    assert checked().status == "new"

    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=later(70))
    problem = checked(NOON + 2 * HOUR)

    assert (problem.status, problem.resolved_by) == ("resolved", "")
    assert problem.resolution == "All of its runs completed when they were run again."
    assert event_names() == ["orion.problem.new", "orion.problem.resolved"]


def test_it_closes_by_itself_when_enough_later_runs_completed():
    flow = make_flow("etl")
    failed(flow=flow)
    work_on_problems(later())
    for number in (1, 2):
        passed(later(number * 60), flow)

    assert checked().status == "new"

    passed(later(180), flow)
    problem = checked(NOON + 2 * HOUR)

    assert problem.status == "resolved"
    assert problem.resolution.startswith("3 later runs of etl completed, such as ")


def test_names_may_be_as_long_as_they_like():
    flow = make_flow("f" * 255)
    failed(flow=flow, flow_version="v" * 255)
    work_on_problems(later())
    for number in range(3):
        make_flow_run("COMPLETED", flow=flow, now=later(60 + number), name="n" * 1024)

    assert checked().status == "resolved"


def test_every_flow_that_failed_must_have_passed():
    one, other = make_flow("one"), make_flow("other")
    failed(flow=other)
    failed(later(), flow=one)
    work_on_problems(later(2))
    for number in range(3):
        passed(later(60 + number), one)

    assert checked().status == "new"

    for number in range(3):
        passed(later(60 + number), other)

    assert checked(NOON + 2 * HOUR).status == "resolved"


def test_runs_before_the_failure_and_other_flows_show_nothing():
    flow = make_flow()
    for number in range(5):
        passed(later(-60 + number), flow)
        passed(later(60 + number), make_flow())
    failed(flow=flow)
    work_on_problems(later())

    assert checked().status == "new"


@pytest.mark.parametrize(("version", "status"), [("2", "regressed"), ("1", "ongoing"), (None, "regressed")])
def test_a_closed_problem_that_fails_again_is_reopened(version: str | None, status: str):
    flow = make_flow()
    failed(flow=flow, flow_version="1")
    work_on_problems(later())
    for number in range(3):
        passed(later(60 + number), flow)
    assert checked().status == "resolved"

    failed(NOON + 2 * HOUR, flow=flow, flow_version=version)
    problem = checked(NOON + 2 * HOUR + timedelta(seconds=1))

    assert (problem.status, problem.resolution) == (status, "")
    assert ("orion.problem.regressed" in event_names()) == (status == "regressed")


def test_a_rerun_that_fails_reopens_a_resolved_problem():
    run = failed(deployment_id=str(UUID(int=5)), flow_version="1")
    work_on_problems(later())
    resolve_problem(problem_id=the_problem().pk, by="ada", now=later(60))
    retry_flow_run(run_id=run.pk, now=later(70))
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=later(71))
    state = make_state("FAILED", message="The flow raised KeyError: 'price'", cause=KEY_ERROR)
    propose_flow_run_state(run_id=run.pk, proposed=state, now=later(72))

    assert checked(later(73)).status == "regressed"


def test_a_run_that_began_before_it_was_resolved_opens_nothing():
    running = make_flow_run("RUNNING", now=NOON)
    failed()
    work_on_problems(later())
    resolve_problem(problem_id=the_problem().pk, by="ada", now=later(60))
    state = make_state("FAILED", message="The flow raised KeyError: 'price'", cause=KEY_ERROR)
    propose_flow_run_state(run_id=running.pk, proposed=state, now=later(70))

    problem = checked(later(73))

    assert (problem.status, problem.failures) == ("resolved", 2)


# --- what people decide --------------------------------------------------------------------------------------------


def test_resolving_muting_and_assigning():
    failed(flow_version="1")
    work_on_problems(later())
    problem_id = the_problem().pk

    resolve_problem(problem_id=problem_id, by="ada", now=later(60))
    assert (the_problem().status, the_problem().resolution) == ("resolved", "Resolved by ada.")

    unmute_problem(problem_id=problem_id, now=later(61))
    assert (the_problem().status, the_problem().resolution) == ("ongoing", "")

    mute_problem(problem_id=problem_id, grows_by=1, other_version=True, now=later(62))
    muted = the_problem()
    assert (muted.status, muted.muted_until_failures, muted.muted_in_version) == ("muted", 2, "1")

    failed(later(63), flow_version="1")
    work_on_problems(later(64))
    assert (the_problem().status, the_problem().muted_until_failures) == ("ongoing", None)

    assign_problem(problem_id=problem_id, assignee="ada", now=later(65))
    assert the_problem().assignee == "ada"
    assert event_names() == ["orion.problem.new", "orion.problem.resolved", "orion.problem.growing"]


@pytest.mark.parametrize(
    "command",
    [
        lambda one: resolve_problem(problem_id=one, by="ada", now=NOON),
        lambda one: mute_problem(problem_id=one, now=NOON),
        lambda one: unmute_problem(problem_id=one, now=NOON),
        lambda one: assign_problem(problem_id=one, assignee="ada", now=NOON),
    ],
)
def test_missing_objects_are_reported(command):
    with pytest.raises(ProblemNotFound):
        command(UUID(int=3))


# --- what goes -----------------------------------------------------------------------------------------------------


def test_occurrences_go_with_their_runs_and_problems_with_the_last_of_them():
    run, _ = failed(), failed(later(), cause=OTHER)
    work_on_problems(later(2))

    delete_flow_run(run_id=run.pk)
    purge(ages=Ages(runs=timedelta(days=9)), now=NOON + timedelta(days=5), pause_seconds=0)
    assert Problem.objects.count() == 2
    assert Occurrence.objects.count() == 1

    purge(ages=Ages(runs=timedelta(days=9)), now=NOON + timedelta(days=30), pause_seconds=0)
    assert not Occurrence.objects.exists()
    assert not Problem.objects.exists()
