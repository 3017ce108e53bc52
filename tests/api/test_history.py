"""Histories, lateness and the dashboard's numbers, against counting by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.ids import uuid7
from runs.models import FlowRun, TaskRun
from tests.factories import NOON, later, make_flow_run, make_state, make_task_run
from tests.rounds import examples
from tests.services.dispatching import make_deployment

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]


def window(start, end, step):
    return {"history_start": start.isoformat(), "history_end": end.isoformat(), "history_interval_seconds": step}


@pytest.fixture
def runs(db):
    """Runs that were expected at odd fractions of seconds around noon."""
    for number, offset in enumerate([-1, 0, 0.000001, 0.999999, 1, 19.9999995, 20, 59.999999, 60, 61.5]):
        make_flow_run(["COMPLETED", "RUNNING", "FAILED"][number % 3], now=later(offset))


@examples(6, 300)
@given(
    start=st.integers(-2_000_000, 3_000_000),
    length=st.integers(-1_000_000, 70_000_000),
    step=st.sampled_from([1, 1.5, 7, 20, 33.333333, 60, 3600]),
)
def test_a_run_is_counted_in_the_bin_that_holds_its_time(api, runs, start, length, step):
    start = NOON + timedelta(microseconds=start)
    end = start + timedelta(microseconds=length)

    bins = api.send("/flow_runs/history", window(start, end, step)).json()

    expected = list(FlowRun.objects.values_list("expected_start_time", "state_type"))
    for each in bins:
        first, last = (datetime.fromisoformat(each[edge]) for edge in ("interval_start", "interval_end"))
        counted = {state["state_type"]: state["count_runs"] for state in each["states"]}
        inside = [state_type for at, state_type in expected if first <= at < last]
        assert counted == {state_type: inside.count(state_type) for state_type in set(inside)}


def test_bins_cover_the_time_and_the_last_may_reach_beyond(api):
    bins = api.send("/flow_runs/history", window(NOON, later(50), 20)).json()

    edges = [(datetime.fromisoformat(each["interval_start"]), each["states"]) for each in bins]
    assert edges == [(NOON, []), (later(20), []), (later(40), [])]
    assert datetime.fromisoformat(bins[-1]["interval_end"]) == later(60)


def test_there_are_at_most_five_hundred_bins(api):
    assert len(api.send("/flow_runs/history", window(NOON, later(10_000), 1)).json()) == 500
    assert api.send("/flow_runs/history", window(NOON, NOON, 1)).json() == []
    assert api.send("/flow_runs/history", window(later(1), NOON, 1)).json() == []


def test_the_ends_of_time_are_times(api):
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert api.send("/flow_runs/history", window(last, last, 1)).json() == []
    assert api.send("/flow_runs/history", window(first, last, 1e9)).status_code == 200
    assert len(api.send("/flow_runs/history", window(last - timedelta(seconds=1), last, 1)).json()) == 1


def test_sums_are_of_run_times_and_lateness(api):
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=NOON), now=NOON)
    start, end = later(3), later(10.5)
    FlowRun.objects.filter(pk=run.pk).update(
        state_type="COMPLETED", state_name="Completed", start_time=start, end_time=end, total_run_time=end - start
    )

    states = api.send("/flow_runs/history", window(NOON, later(1), 60)).json()[0]["states"]

    assert states == [
        {
            "state_type": "COMPLETED",
            "state_name": "Completed",
            "count_runs": 1,
            "sum_estimated_run_time": 7.5,
            "sum_estimated_lateness": 3.0,
        }
    ]


def test_a_history_of_task_runs_is_filtered(api, counted):
    wanted = make_task_run("RUNNING", now=later(1))
    make_task_run("RUNNING", now=later(1))
    body = window(NOON, later(10), 10) | {"task_runs": {"id": {"any_": [str(wanted.id)]}}}

    with counted("task run history"):
        bins = api.send("/task_runs/history", body).json()

    assert [state["count_runs"] for state in bins[0]["states"]] == [1]


@pytest.mark.parametrize("step", [0, 0.5, -7])
def test_an_interval_below_a_second_is_refused(api, step):
    answer = api.send("/flow_runs/history", window(NOON, later(10), step))

    assert answer.status_code == 422
    assert answer.json()["detail"] == "History interval must not be less than 1 second."


def test_a_history_needs_its_window(api):
    answer = api.send("/flow_runs/history", {})

    assert answer.status_code == 422
    assert {complaint["loc"][1] for complaint in answer.json()["exception_detail"]} == {
        "history_start",
        "history_end",
        "history_interval_seconds",
    }


def test_lateness_is_averaged_over_the_runs_that_match(api):
    for late in (0, 4):
        run = make_flow_run(make_state("SCHEDULED", scheduled_time=NOON), tags=["nightly"])
        FlowRun.objects.filter(pk=run.pk).update(start_time=later(late))
    make_flow_run("SCHEDULED")

    assert api.send("/flow_runs/lateness", {"flow_runs": {"tags": {"all_": ["nightly"]}}}).json() == 2.0
    assert api.send("/flow_runs/lateness", {"flow_runs": {"id": {"any_": []}}}).json() is None


def test_runs_are_returned_as_dots(api):
    run = make_flow_run("COMPLETED", now=NOON)

    dots = api.send("/ui/flow_runs/history", {"limit": 1000}).json()

    assert dots == [
        {
            "id": str(run.id),
            "state_type": "COMPLETED",
            "timestamp": "2026-01-05T12:00:00+00:00",
            "duration": 0.0,
            "lateness": 0.0,
        }
    ]
    assert api.send("/ui/flow_runs/history", {"limit": 1001}).status_code == 422


def test_task_runs_are_counted_in_all_nine_states(api):
    make_task_run("RUNNING")
    make_task_run("FAILED")

    counted = api.send("/ui/task_runs/count", {}).json()

    assert len(counted) == 9
    assert (counted["RUNNING"], counted["FAILED"], counted["COMPLETED"]) == (1, 1, 0)


def test_outcomes_are_counted_in_twenty_parts(api):
    for number, state in enumerate(["COMPLETED", "FAILED", "CRASHED", "RUNNING"]):
        run = make_task_run(state)
        TaskRun.objects.filter(pk=run.pk).update(start_time=later(number))
    asked = {"after_": NOON.isoformat(), "before_": later(20).isoformat()}

    parts = api.send("/ui/task_runs/dashboard/counts", {"task_runs": {"start_time": asked}}).json()

    assert len(parts) == 20
    assert parts[:4] == [
        {"completed": 1, "failed": 0},
        {"completed": 0, "failed": 1},
        {"completed": 0, "failed": 1},
        {"completed": 0, "failed": 0},
    ]
    assert api.send("/ui/task_runs/dashboard/counts", {"task_runs": {}}).status_code == 422


seconds = st.integers(-3 * 10**6, 30 * 10**6).map(lambda microseconds: microseconds / 1e6)


@examples(10, 200)
@given(
    began=st.lists(
        st.tuples(st.sampled_from(["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING", "PENDING"]), seconds),
        max_size=6,
    ),
    after=seconds,
    length=seconds,
)
def test_outcomes_are_those_that_counting_gives(api, began, after, length):
    """Also where a part is no whole number of seconds: the last one has what lies beyond twenty whole microseconds."""
    TaskRun.objects.all().delete()
    for state, second in began:
        TaskRun.objects.filter(pk=make_task_run(state).pk).update(start_time=later(second))
    start, end = later(after), later(after) + timedelta(seconds=length)
    part = max((end - start) // 20, timedelta(microseconds=1))

    def number(index: int, *states: str) -> int:
        times = [later(second) for state, second in began if state in states]
        return sum(start <= at < end and min((at - start) // part, 19) == index for at in times)

    asked = {"after_": start.isoformat(), "before_": end.isoformat()}
    parts = api.send("/ui/task_runs/dashboard/counts", {"task_runs": {"start_time": asked}}).json()
    # SQLite counts these one by one.
    but_one = {"start_time": asked, "id": {"not_any_": [str(uuid7())]}}
    one_by_one = api.send("/ui/task_runs/dashboard/counts", {"task_runs": but_one}).json()

    assert one_by_one == parts
    assert parts == [
        {"completed": number(index, "COMPLETED"), "failed": number(index, "FAILED", "CRASHED")} for index in range(20)
    ]


def test_answers_from_roll_ups_equal_answers_from_rows(api, counted):
    """Searches that roll-ups answer, and equal searches that they cannot answer."""
    deployment = make_deployment()
    runs = [
        make_flow_run("RUNNING", flow=deployment.flow, deployment_id=deployment.pk, now=later(n * 9)) for n in range(9)
    ]
    make_flow_run("FAILED", now=later(30))
    make_task_run("RUNNING", flow_run=runs[0])
    every = {"operator": "or_", "start_time": {"is_null_": True}, "id": {"not_any_": [str(deployment.pk)]}}
    flow, deployed = {"id": {"any_": [str(deployment.flow_id)]}}, {"id": {"any_": [str(deployment.pk)]}}
    by_column = {"deployment_id": {"any_": [str(deployment.pk)]}}

    for search, slowly in (
        ({}, {"flow_runs": every}),
        ({"flow_runs": {}}, {"flow_runs": every}),
        ({"flows": flow}, {"flows": flow, "flow_runs": every}),
        ({"deployments": deployed}, {"deployments": deployed, "flow_runs": every}),
        ({"flow_runs": by_column}, {"flow_runs": by_column, "deployments": deployed}),
    ):
        asked = window(later(-36_000), later(36_000), 18_000)
        rolled = api.send("/flow_runs/history", asked | search).json()
        by_rows = api.send("/flow_runs/history", asked | slowly).json()
        numbers = [[(s["state_name"], s["count_runs"]) for s in each["states"]] for each in rolled]
        assert numbers == [[(s["state_name"], s["count_runs"]) for s in each["states"]] for each in by_rows]
        assert api.send("/flow_runs/count", search).json() == api.send("/flow_runs/count", slowly).json()
    assert api.send("/task_runs/count", {}).json() == 1
    with counted("flow run history, rolled up"):
        api.send("/flow_runs/history", asked)


def test_runs_of_a_deployment_that_no_longer_exists_are_not_found_by_it(api):
    run = make_flow_run("RUNNING", deployment_id=uuid7())

    search = {"deployments": {"id": {"any_": [str(run.deployment_id)]}}}

    assert api.send("/flow_runs/count", search).json() == 0
    assert api.send("/flow_runs/history", window(NOON, later(3600), 3600) | search).json()[0]["states"] == []
