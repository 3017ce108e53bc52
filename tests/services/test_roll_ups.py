"""Roll-ups agree with counts of the runs, whatever was changed, and however much of it has been summed up."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from deployments.upkeep.selectors.invariants.roll_ups import wrong_roll_ups
from orchestration.core.states import StateType
from orchestration.services import propose_flow_run_state
from orchestration.tables import dialect, update_rows
from runs.flow_runs.services import delete_flow_run
from runs.flows.services import delete_flow
from runs.history.selectors.history import average_lateness, history
from runs.history.selectors.pieces import Place, divided
from runs.models import FlowRun, FlowRunState, RollUp, RollUpChange, TaskRun
from runs.roll_ups import services
from runs.roll_ups.install import install, replace_triggers
from runs.roll_ups.selectors import ALL_FLOW_RUNS, ALL_TASK_RUNS, Subject, runs_by_state
from runs.roll_ups.services import add_up
from runs.roll_ups.sql import BOUND, ONE_OF_EACH_KEY, SUMS, trigger_names
from runs.triggers import drop_triggers
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run
from tests.rounds import examples
from tests.services.dispatching import make_deployment

pytestmark = pytest.mark.django_db

TYPES = sorted(StateType)
MICROSECOND = timedelta(microseconds=1)
# Moments at the edges of minutes, hours and days, and others.
offsets = st.one_of(
    st.sampled_from([0, 60, 3600, 12 * 3600, 86_400]), st.floats(-3 * 86_400, 3 * 86_400, allow_nan=False)
).map(lambda seconds: timedelta(seconds=round(seconds, 6)))
states = st.sampled_from(TYPES)
runs_of_flows = st.lists(
    st.tuples(st.integers(0, 1), st.booleans(), offsets, states, st.none() | st.floats(-5, 500), st.floats(0, 90)),
    max_size=8,
)


def test_a_run_without_the_moments_of_its_state_is_written_and_counted():
    run = make_flow_run("RUNNING")

    FlowRun.objects.filter(pk=run.pk).update(state_timestamp=None, expected_start_time=None, start_time=None)

    assert runs_by_state(ALL_FLOW_RUNS) == {"RUNNING": 1}
    assert is_right()


def is_right() -> bool:
    return list(wrong_roll_ups()) == []


def make_population(runs, deployment, flows):
    """Rows that are written as they stand: also what the rules would not let happen."""
    for flow, deployed, offset, state_type, waited, ran in runs:
        at = NOON + offset
        run = make_flow_run("COMPLETED", flow=flows[flow], deployment_id=deployment.pk if deployed else None)
        for rows in (FlowRun.objects.filter(pk=run.pk), TaskRun.objects.filter(pk=make_task_run(flow_run=run).pk)):
            rows.update(
                state_type=state_type,
                state_name=state_type.title(),
                state_timestamp=at + timedelta(seconds=ran),
                expected_start_time=at,
                start_time=None if waited is None else at + timedelta(seconds=waited),
                total_run_time=timedelta(seconds=ran),
            )


@examples(6, 300)
@given(
    runs=runs_of_flows,
    added_after=st.integers(0, 8),
    begin=offsets,
    now=offsets,
    step=st.sampled_from([7.3, 60, 120, 179.5, 1000, 3600, 5400, 6 * 3600, 86_400, 100_000.25]),
    bins=st.integers(1, 40),
)
def test_histories_are_those_that_counting_gives(runs, added_after, begin, now, step, bins):
    flows, deployment = [make_flow(), make_flow()], make_deployment()
    make_population(runs[:added_after], deployment, flows)
    add_up(NOON)
    make_population(runs[added_after:], deployment, flows)
    # No run has entered its state later than now, as far as one clock goes.
    now = max(
        [NOON + now, *FlowRun.objects.filter(state_timestamp__isnull=False).values_list("state_timestamp", flat=True)]
    )
    start, step = NOON + begin, timedelta(seconds=step)
    window = {"start": start, "end": start + step * bins, "step": step, "now": now}

    for subject, rows in (
        (ALL_FLOW_RUNS, FlowRun.objects.all()),
        (ALL_TASK_RUNS, TaskRun.objects.all()),
        (Subject("flow", flows[0].pk), FlowRun.objects.filter(flow=flows[0])),
        (Subject("deployment", deployment.pk), FlowRun.objects.filter(deployment_id=deployment.pk)),
    ):
        counted, rolled = history(rows, **window), history(rows, **window, subject=subject)

        assert [(one.interval_start, one.interval_end) for one in rolled] == [
            (one.interval_start, one.interval_end) for one in counted
        ]
        for expected, found in zip(counted, rolled, strict=True):
            assert [(s.state_type, s.state_name, s.count_runs) for s in found.states] == [
                (s.state_type, s.state_name, s.count_runs) for s in expected.states
            ]
            for one, other in zip(expected.states, found.states, strict=True):
                # Moments are kept to the millisecond.
                assert other.sum_estimated_run_time == pytest.approx(
                    one.sum_estimated_run_time, abs=0.002 * one.count_runs
                )
                assert other.sum_estimated_lateness == pytest.approx(
                    one.sum_estimated_lateness, abs=0.002 * one.count_runs
                )
        late = average_lateness(rows, now)
        assert average_lateness(rows, now, subject) == (late if late is None else pytest.approx(late, abs=0.002))
        by_state = {type_: rows.filter(state_type=type_).count() for type_ in TYPES}
        assert runs_by_state(subject) == {type_: number for type_, number in by_state.items() if number}
    assert is_right()


HOUR = 3_600_000_000


@examples(50, 1000)
@given(begin=offsets, now=offsets, step=st.floats(1, 100_000), bins=st.integers(1, 60))
def test_each_edge_costs_the_runs_of_half_an_hour_at_most(begin, now, step, bins):
    edges = [NOON + begin + number * timedelta(seconds=round(step, 6)) for number in range(bins + 1)]

    read, parts = divided(edges, NOON + now, HOUR)

    lengths = Counter({place: 0 for index in range(bins) for place in (Place(index, True), Place(index, False))})
    for piece in (*read, *(part.piece for part in parts)):
        lengths[piece.place] += piece.until - piece.since
    for part in parts:
        lengths[part.rest] -= part.piece.until - part.piece.since
    del lengths[None]
    for index, (since, until) in enumerate(pairwise(edges)):
        turn = min(max(since, NOON + now), until)
        assert lengths.pop(Place(index, True)) == (turn - since) // MICROSECOND
        assert lengths.pop(Place(index, False)) == (until - turn) // MICROSECOND
    assert not lengths
    assert all(piece.since % HOUR == piece.until % HOUR == 0 for piece in read)
    assert sum(part.piece.until - part.piece.since for part in parts) <= HOUR / 2 * (len(edges) + 1)


@pytest.mark.parametrize("step", [1, 60, 86_400])
def test_histories_reach_to_the_ends_of_the_calendar(step):
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    run, flow = make_flow_run("SCHEDULED"), make_flow()
    FlowRun.objects.filter(pk=run.pk).update(expected_start_time=last - timedelta(seconds=90), flow=flow)
    add_up(NOON)

    for subject in (ALL_FLOW_RUNS, Subject("flow", flow.pk)):
        for start, end, found in ((first, first + timedelta(days=2), 0), (last - timedelta(seconds=120), last, 1)):
            bins = history(
                FlowRun.objects.all(),
                **{"start": start, "end": end, "step": timedelta(seconds=step), "now": NOON, "subject": subject},
            )

            assert sum(state.count_runs for each in bins for state in each.states) == found


steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), states | st.none()),
        st.tuples(st.just("task"), states),
        st.tuples(st.just("move"), states),
        st.sampled_from([("delete", None), ("later", None), ("add", None), ("flow", None)]),
    ),
    max_size=25,
)


@examples(6, 300)
@given(steps=steps)
def test_roll_ups_always_agree_with_counts(steps):
    made, flow = [], make_flow()
    for number, (what, state) in enumerate(steps):
        now = later(number * 40)
        if what == "make":
            made.append(make_flow_run(state and make_state(state), flow=flow, now=now))
        elif what == "add":
            add_up(now)
        elif what == "flow":
            delete_flow(flow_id=flow.pk)
            made, flow = [], make_flow()
        elif made and what == "task":
            make_task_run(state, flow_run=made[-1], now=now)
        elif made and what == "move":
            propose_flow_run_state(run_id=made[-1].pk, proposed=make_state(state), now=now, force=True)
        elif made and what == "later":
            FlowRun.objects.filter(pk=made[-1].pk).update(expected_start_time=now + timedelta(hours=5))
        elif made and what == "delete":
            delete_flow_run(run_id=made.pop().pk)
    assert is_right()
    add_up(NOON)
    assert is_right()
    assert not RollUpChange.objects.exists()
    assert not RollUp.objects.filter(runs=0).exists()


def test_a_transition_that_is_rolled_back_is_not_counted():
    with transaction.atomic():
        make_flow_run()
        transaction.set_rollback(True)

    assert runs_by_state(ALL_FLOW_RUNS) == {}


def test_uncounted_runs_are_found():
    make_flow_run("RUNNING")
    add_up(NOON)
    RollUp.objects.filter(subject="flow-run", level=1440).update(runs=5)

    (found,) = wrong_roll_ups()

    assert str(found) == (
        "I13  roll-up flow-run  differs from the runs themselves for Running in 2026-01-05: "
        "by +4 runs, +0 µs of run time and +0 µs of lateness"
    )


def test_after_triggers_were_lost_everything_is_counted_again():
    make_flow_run("RUNNING")
    add_up(NOON)
    with connection.cursor() as cursor:
        drop_triggers(cursor, trigger_names())
    make_flow_run(None)
    make_task_run("RUNNING", now=timezone.now())
    assert not is_right()

    install()

    assert is_right()
    assert runs_by_state(ALL_FLOW_RUNS) == {"RUNNING": 2, "": 1}


def test_a_program_without_a_server_leaves_few_changes_behind(monkeypatch):
    monkeypatch.setattr(services, "MANY", 3)
    make_flow_run("RUNNING")
    assert services.add_up_if_many() == 0
    assert RollUpChange.objects.exists()

    for _ in range(4):
        make_flow_run("RUNNING")
    assert services.add_up_if_many() > 0

    assert not RollUpChange.objects.exists()
    assert is_right()


def test_changes_do_not_grow_with_the_runs_that_move_alike():
    flow_run = make_flow_run("RUNNING")
    runs = [make_task_run("PENDING", flow_run=flow_run) for _ in range(30)]
    add_up(NOON)
    completed = [(*MOVED.values(), dialect().uuid(run.pk)) for run in runs]

    assert update_rows("runs_taskrun", tuple(MOVED), completed, ("id",)) == len(runs)

    assert RollUpChange.objects.count() == 2
    assert runs_by_state(ALL_TASK_RUNS) == {"COMPLETED": len(runs)}
    assert is_right()


def test_an_update_that_counts_nothing_leaves_no_change():
    run = make_flow_run("RUNNING")
    add_up(NOON)

    FlowRun.objects.filter(pk=run.pk).update(name="renamed", hinted_at=NOON)

    assert not RollUpChange.objects.exists()


def test_changes_of_an_earlier_versions_triggers_are_counted_once():
    runs = [make_task_run("PENDING") for _ in range(3)]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"DROP INDEX {ONE_OF_EACH_KEY}")
    # There and back: as a state that a run only passed through.
    for change in RollUpChange.objects.order_by("pk"):
        for sign in (1, -1):
            RollUpChange.objects.create(**{name: getattr(change, name) for name in KEY}, **sums_of(change, sign))

    replace_triggers()

    TaskRun.objects.filter(pk=runs[0].pk).update(**MOVED)
    assert runs_by_state(ALL_TASK_RUNS) == {"PENDING": 2, "COMPLETED": 1}
    assert is_right()


MOVED = {"state_type": "COMPLETED", "state_name": "Completed"}
KEY = ("kind", "minute", "flow", "deployment", "state_type", "state_name")


def sums_of(change: RollUpChange, sign: int) -> dict[str, int]:
    return {name: sign * getattr(change, name) for name in SUMS}


def test_sums_end_at_a_bound_and_begin_again_when_their_last_run_has_gone():
    flow = make_flow()
    runs = [make_flow_run("COMPLETED", flow=flow, now=NOON) for _ in range(3)]
    for run in runs:
        # Three times this is more than a bigint holds, as is the lateness of 5,100 runs that were scheduled for 1970.
        FlowRun.objects.filter(pk=run.pk).update(total_run_time=timedelta(microseconds=5 * 10**18))
    assert sum_of_run_times() > 0
    assert is_right()

    add_up(NOON)

    assert not RollUpChange.objects.exists()
    assert set(RollUp.objects.values_list("runs", "run_time")) == {(3, BOUND)}
    assert sum_of_run_times() > 0
    assert is_right()
    count_again()
    assert set(RollUp.objects.values_list("runs", "run_time")) == {(3, BOUND)}

    for run in runs:
        delete_flow_run(run_id=run.pk)
        assert sum_of_run_times() >= 0
        assert average_lateness(FlowRun.objects.all(), NOON, ALL_FLOW_RUNS) in (0, None)
        add_up(NOON)
        assert sum_of_run_times() >= 0
        assert is_right()
    assert not RollUpChange.objects.exists()
    assert not RollUp.objects.exists()


def sum_of_run_times() -> float:
    """Return what a history gives that reads totals, after a look at the one that counts."""
    window = {"start": NOON, "end": later(3600), "step": timedelta(hours=1), "now": later(60)}
    history(FlowRun.objects.all(), **window)
    (hour,) = history(FlowRun.objects.all(), **window, subject=ALL_FLOW_RUNS)
    return sum(state.sum_estimated_run_time for state in hour.states)


def count_again() -> None:
    with connection.cursor() as cursor:
        drop_triggers(cursor, trigger_names())
    install()


@pytest.mark.parametrize("bound", [BOUND, -BOUND])
def test_lateness_is_possible_where_the_times_of_waiting_runs_reached_their_bound(bound):
    make_flow_run("SCHEDULED", now=NOON)
    add_up(NOON)
    RollUp.objects.update(waiting_since=bound)

    late = average_lateness(FlowRun.objects.all(), later(60), ALL_FLOW_RUNS)

    assert timedelta() <= timedelta(seconds=late) < timedelta(days=366) * 10_000


def test_tables_that_are_emptied_leave_no_changes():
    """`manage.py flush` empties tables, and so does Django after tests with transactions of their own."""
    make_flow_run("RUNNING")
    add_up(NOON)
    tables = [model._meta.db_table for model in (RollUpChange, RollUp, FlowRunState, FlowRun)]
    # PostgreSQL empties no table that rows are still to be checked of.
    connection.check_constraints()
    with connection.cursor() as cursor:
        for statement in connection.ops.sql_flush(no_style(), tables, allow_cascade=True):
            cursor.execute(statement)

    assert not RollUpChange.objects.exists()
    assert not RollUp.objects.exists()
