"""Runs planned by schedules: each moment once, however many planners there are and whatever happens between them."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from deployments.definitions.services.deployments import create_deployment, update_deployment
from deployments.definitions.services.only_schedule import set_paused
from deployments.models import Calendar, Schedule
from deployments.schedules.core import read_definition
from deployments.schedules.services import planning
from deployments.schedules.services.calendars import create_calendar, update_calendar
from deployments.schedules.services.planning import CALENDAR_MOVED, plan_due_schedules
from deployments.schedules.services.schedules import NewSchedule, add_schedules, delete_schedule, update_schedule
from orchestration.core.states import late, running
from orchestration.errors import FlowRunNotFound
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState
from tests.factories import NOON, history_of, make_flow, make_state
from tests.services.threads import race

pytestmark = pytest.mark.django_db


def hourly(**more):
    definition = {"interval": 3600, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}
    return NewSchedule(definition=definition, **more)


def make_deployment(*schedules, name="nightly", now=NOON, **columns):
    deployment, _ = create_deployment(flow_id=make_flow().pk, name=name, columns=columns, schedules=schedules, now=now)
    return deployment


def hours_of(which=None):
    """The hours of the planned runs, from noon on."""
    runs = FlowRun.objects.filter(which or Q(), auto_scheduled=True).order_by("expected_start_time")
    return [(run.expected_start_time - NOON).total_seconds() / 3600 for run in runs]


def at_hour(number):
    return NOON + timedelta(hours=number)


def test_time_continues_and_each_moment_gets_one_run():
    make_deployment(hourly())

    planned = [plan_due_schedules(at_hour(quarter / 4)) for quarter in range(20)]

    assert hours_of() == [1, 2, 3, 4, 5, 6, 7]
    assert sum(planned) == 4


def test_a_planned_run_begins_with_its_state_in_its_history():
    make_deployment(hourly())

    run = FlowRun.objects.earliest("expected_start_time")
    (state,) = FlowRunState.objects.filter(flow_run=run)
    assert history_of(run) == ["Scheduled"]
    assert (run.seq, run.state_id, run.state_type, run.state_timestamp) == (1, state.pk, "SCHEDULED", NOON)
    assert (state.message, state.seq, state.trail) == ("Flow run scheduled", 1, state.trail)
    assert run.total_run_time == timedelta()
    assert run.refusal is None
    propose_flow_run_state(run_id=run.pk, proposed=running(), now=at_hour(1))
    assert history_of(run) == ["Scheduled", "Running"]


def test_a_deleted_run_is_not_planned_again():
    make_deployment(hourly())
    FlowRunState.objects.all().delete()
    FlowRun.objects.all().delete()

    plan_due_schedules(at_hour(1))

    assert hours_of() == [4]


def test_schedules_of_one_deployment_share_a_moment_unless_their_runs_differ():
    deployment = make_deployment(hourly(), hourly(), hourly(parameters={"deep": True}), parameters={"n": 1})

    assert hours_of() == [1, 1, 2, 2, 3, 3]
    parameters = list(FlowRun.objects.filter(expected_start_time=at_hour(1)).values_list("parameters", flat=True))
    assert sorted(map(len, parameters)) == [1, 2]
    assert sorted(Schedule.objects.values_list("runs_planned", flat=True)) == [0, 3, 3]
    keys = FlowRun.objects.filter(expected_start_time=at_hour(1)).values_list("idempotency_key", flat=True)
    assert f"scheduled {deployment.pk} 2026-01-05T13:00:00+00:00" in keys


@pytest.mark.parametrize(
    ("misfire", "window", "missed"),
    [
        ("none", None, []),
        ("latest", None, [10]),
        ("all", None, [4, 5, 6, 7, 8, 9, 10]),
        ("all", timedelta(hours=2), [9, 10]),
        ("latest", timedelta(minutes=10), []),
    ],
)
def test_missed_runs_are_planned_by_the_policy_of_the_schedule(misfire, window, missed):
    make_deployment(hourly(misfire=misfire, misfire_window=window))

    plan_due_schedules(at_hour(10.5))

    assert hours_of() == [1, 2, 3, *missed, 11, 12, 13]


def test_a_planner_that_is_a_little_behind_misses_nothing():
    make_deployment(hourly(max_scheduled_runs=1))

    for hour in (1, 2):
        plan_due_schedules(at_hour(hour) + timedelta(seconds=20))

    assert hours_of() == [1, 2, 3]


@pytest.mark.parametrize(("misfire", "made_up"), [("none", 0), ("latest", 1), ("all", 29)])
def test_a_planner_that_was_away_makes_up_for_no_more_of_the_last_minute_than_the_schedule_wants(misfire, made_up):
    every_ten_seconds = {"interval": 10, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}
    make_deployment(NewSchedule(definition=every_ten_seconds, misfire=misfire, max_scheduled_runs=1))

    plan_due_schedules(NOON + timedelta(seconds=305))

    passed = FlowRun.objects.filter(expected_start_time__lt=NOON + timedelta(seconds=305)).count()
    assert passed == 1 + made_up


def test_a_clock_that_goes_back_plans_nothing_twice_and_loses_nothing():
    make_deployment(hourly(misfire="all"))

    for hour in (1.5, 6.5, 2, 3, 6, 7):
        plan_due_schedules(at_hour(hour))

    assert hours_of() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_schedule_ends_after_its_last_run_or_at_its_end():
    make_deployment(hourly(max_runs=2))
    make_deployment(hourly(ends_at=at_hour(4)), name="other")

    for hour in range(10):
        plan_due_schedules(at_hour(hour))

    assert hours_of() == [1, 1, 2, 2, 3, 4]
    assert not Schedule.objects.filter(plan_at__isnull=False).exists()


def test_a_schedule_with_places_waits_until_its_run_is_over():
    make_deployment(hourly(max_active_runs=1))
    run = FlowRun.objects.get()

    plan_due_schedules(at_hour(1))
    plan_due_schedules(at_hour(2.5))
    while_running = hours_of()
    propose_flow_run_state(run_id=run.pk, proposed=late(at_hour(2)), now=at_hour(2))
    FlowRun.objects.filter(pk=run.pk).update(state_type="COMPLETED")
    plan_due_schedules(at_hour(2.6))

    assert while_running == [1]
    assert hours_of() == [1, 3]


def test_calendars_leave_times_out_and_move_what_is_planned():
    create_calendar(name="lunch", ics=_calendar(13, 14), now=NOON)
    calendar = create_calendar(name="tea", ics=_calendar(16, 17), now=NOON)
    make_deployment(hourly(calendars=["lunch", "tea"]))
    before = hours_of()

    update_calendar(calendar_id=calendar.pk, changes={"ics": _calendar(15, 16)}, now=NOON)

    assert before == [2, 3, 5]
    assert hours_of() == [2, 4, 5]


def test_calendar_of_many_schedules_is_changed_in_steps_that_any_planner_continues():
    calendar = create_calendar(name="tea", ics=_calendar(16, 17), now=NOON)
    deployments = [make_deployment(hourly(calendars=["tea"], max_runs=3), name=f"d-{number}") for number in range(50)]
    outdated = Q(expected_start_time=at_hour(3))

    update_calendar(calendar_id=calendar.pk, changes={"ics": _calendar(15, 16)}, now=NOON)
    at_first = len(hours_of(outdated))
    plan_due_schedules(at_hour(0.01), most=1)
    then = len(hours_of(outdated))
    plan_due_schedules(at_hour(0.02))

    assert 0 < at_first < 50
    assert 0 < then < at_first
    for deployment in deployments:
        assert hours_of(Q(deployment_id=deployment.pk)) == [1, 2, 4]
    assert set(Schedule.objects.values_list("runs_planned", flat=True)) == {3}


def test_change_in_between_finds_nothing_that_is_left_of_the_calendar_of_before():
    calendar = create_calendar(name="tea", ics=_calendar(16, 17), now=NOON)
    deployments = [make_deployment(hourly(calendars=["tea"]), name=f"d-{number}") for number in range(50)]

    update_calendar(calendar_id=calendar.pk, changes={"ics": _calendar(15, 16)}, now=NOON)
    for deployment in deployments[25:]:
        set_paused(deployment_id=deployment.pk, paused=True, now=NOON)
    plan_due_schedules(NOON)

    for deployment in deployments[25:]:
        assert hours_of(Q(deployment_id=deployment.pk)) == []
    assert hours_of(Q(deployment_id=deployments[24].pk)) == [1, 2, 4]


@pytest.mark.parametrize("plan_at", [NOON, CALENDAR_MOVED], ids=["due", "with a changed calendar"])
def test_a_calendar_that_can_no_longer_be_read_stops_only_its_own_schedules(plan_at, caplog):
    create_calendar(name="tea", ics=_calendar(16, 17), now=NOON)
    broken = make_deployment(hourly(calendars=["tea"], max_runs=3), name="broken")
    good = make_deployment(hourly(), name="good")
    Calendar.objects.update(ics="no calendar")
    Schedule.objects.filter(deployment=broken).update(plan_at=plan_at)

    plan_due_schedules(at_hour(4))

    assert hours_of(Q(deployment_id=good.pk))[-1] == 7
    assert "cannot be planned" in caplog.text


def test_an_error_with_the_changed_calendars_of_a_deployment_stops_no_other_planning(monkeypatch):
    bad, good = (make_deployment(hourly(), name=name) for name in ("bad", "good"))
    Schedule.objects.filter(deployment=bad).update(plan_at=CALENDAR_MOVED)
    monkeypatch.setattr(planning, "reconcile", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        plan_due_schedules(at_hour(4))

    assert hours_of(Q(deployment_id=good.pk))[-1] == 7


def _calendar(begin, end):
    return "\r\n".join(
        [
            *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"),
            *(f"DTSTART:20260105T{begin}0000Z", f"DTEND:20260105T{end}0000Z", "SUMMARY:Away"),
            *("END:VEVENT", "END:VCALENDAR", ""),
        ]
    )


def test_a_change_deletes_the_future_and_leaves_what_is_due():
    deployment = make_deployment(hourly(), parameters={"n": 1})

    update_deployment(deployment_id=deployment.pk, changes={"parameters": {"n": 2}}, now=at_hour(1.5))

    runs = FlowRun.objects.order_by("expected_start_time")
    assert hours_of() == [1, 2, 3, 4]
    assert [run.parameters["n"] for run in runs] == [1, 2, 2, 2]
    assert Schedule.objects.get().runs_planned == 4


def test_a_pause_deletes_due_runs_but_no_started_ones():
    deployment = make_deployment(hourly())
    begun, due = FlowRun.objects.order_by("expected_start_time")[:2]
    propose_flow_run_state(run_id=begun.pk, proposed=running(), now=at_hour(2.1))
    propose_flow_run_state(run_id=due.pk, proposed=late(at_hour(2)), now=at_hour(2.1))

    set_paused(deployment_id=deployment.pk, paused=True, now=at_hour(2.2))
    plan_due_schedules(at_hour(5))
    set_paused(deployment_id=deployment.pk, paused=False, now=at_hour(8.5))

    assert hours_of() == [1, 9, 10, 11]


def test_one_schedule_of_several_is_changed_and_deleted():
    deployment = make_deployment(hourly(), hourly(parameters={"b": 1}))
    first, second = Schedule.objects.order_by("pk")

    update_schedule(deployment_id=deployment.pk, schedule_id=first.pk, changes={"active": False}, now=NOON)
    inactive = hours_of(Q(schedule_id=first.pk))
    delete_schedule(deployment_id=deployment.pk, schedule_id=second.pk, now=NOON)

    assert inactive == []
    assert hours_of() == []
    add_schedules(deployment_id=deployment.pk, new=[hourly()], now=NOON)
    assert hours_of() == [1, 2, 3]


def test_the_number_of_statements_does_not_grow_with_the_schedules():
    create_calendar(name="lunch", ics=_calendar(13, 14), now=NOON)
    counts = []
    for number in (1, 40):
        for _ in range(number):
            make_deployment(hourly(calendars=["lunch"]), must_start_within=timedelta(minutes=1))
        Schedule.objects.update(plan_at=at_hour(50))
        with CaptureQueriesContext(connection) as queries:
            plan_due_schedules(at_hour(50 + number))
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_schedule_that_cannot_be_read_keeps_no_other_from_being_planned(caplog):
    make_deployment(hourly())
    Schedule.objects.update(definition={"cron": "nonsense"})
    make_deployment(hourly(), name="other")

    planned = plan_due_schedules(at_hour(2))

    assert planned == 2
    assert "cannot be planned" in caplog.text


def test_a_schedule_that_breaks_the_planner_keeps_no_other_from_being_planned(caplog, monkeypatch):
    def breaking(definition):
        if "cron" in definition:
            raise RecursionError("too deep")
        return read_definition(definition)

    monkeypatch.setattr("deployments.schedules.services.planning.read_definition", breaking)
    make_deployment(hourly())
    Schedule.objects.update(definition={"cron": "0 * * * *"})
    make_deployment(hourly(), name="other")

    planned = plan_due_schedules(at_hour(2))

    assert planned == 2
    assert "cannot be planned" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_many_planners_plan_each_moment_once():
    for number in range(30):
        make_deployment(hourly(), name=f"d{number}")
    FlowRunState.objects.all().delete()
    FlowRun.objects.all().delete()
    Schedule.objects.update(planned_until=NOON, plan_at=NOON, runs_planned=0)

    planned = race(plan_due_schedules, [NOON] * 5)

    assert sum(planned) == 90
    assert FlowRun.objects.count() == FlowRunState.objects.count() == 90
    assert set(Schedule.objects.values_list("runs_planned", flat=True)) == {3}


@pytest.mark.django_db(transaction=True)
def test_planners_and_changes_at_once_leave_one_generation_of_runs():
    deployment = make_deployment(hourly(), parameters={"n": 0})

    def work(number):
        if number % 2:
            return plan_due_schedules(NOON)
        return update_deployment(deployment_id=deployment.pk, changes={"parameters": {"n": number}}, now=NOON)

    race(work, range(8))

    deployment.refresh_from_db()
    runs = FlowRun.objects.order_by("expected_start_time")
    assert hours_of() == [1, 2, 3]
    assert [run.parameters for run in runs] == [deployment.parameters] * 3
    assert Schedule.objects.get().runs_planned == 3


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_claimed_while_its_deployment_changes_is_whole_or_gone():
    for number in range(5):
        deployment = make_deployment(hourly(), name=f"d{number}")
        run_ids = list(FlowRun.objects.filter(deployment_id=deployment.pk).values_list("pk", flat=True))

        def claim(run_id):
            with suppress(FlowRunNotFound):
                propose_flow_run_state(run_id=run_id, proposed=make_state("PENDING"), now=at_hour(1))

        def change(_, pk=deployment.pk):
            update_deployment(deployment_id=pk, changes={"description": "x"}, now=NOON)

        works = [lambda pk=run_id: claim(pk) for run_id in run_ids] + [lambda: change(None)]
        race(lambda work: work(), works)

    for run in FlowRun.objects.all():
        expected = ["Scheduled"] if run.state_type == "SCHEDULED" else ["Scheduled", "Pending"]
        assert history_of(run) == expected
    assert FlowRunState.objects.count() == sum(FlowRun.objects.values_list("seq", flat=True))
