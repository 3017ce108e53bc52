"""Backfills: each time once, a few at a time, never before what waits already, and ended as a whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from deployments.backfills.selectors import progress_of
from deployments.backfills.services.backfills import (
    cancel_backfill,
    create_backfill,
    pause_backfill,
    resume_backfill,
)
from deployments.backfills.services.making import make_runs_of_backfills
from deployments.backfills.services.planning import NewBackfill, planned_backfill
from deployments.errors import BackfillEnded, BackfillExists, BadBackfill, ParametersMisfit
from deployments.models import Backfill, BackfillTime, Deployment
from deployments.schedules.services.calendars import create_calendar
from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from orchestration.services import propose_flow_run_state
from runs.flow_runs.commands import cancel_flow_run
from runs.flow_runs.services import delete_flow_run
from runs.models import FlowRun
from tests.factories import NOON, later, make_flow_run, make_state, state_of
from tests.services.dispatching import make_agent, make_deployment, make_queue, waiting
from tests.services.threads import race

pytestmark = pytest.mark.django_db

DAILY = {"cron": "30 1 * * *", "timezone": "Europe/Berlin", "day_or": True}
SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string", "format": "date"}, "region": {"type": "string"}},
}
HOLIDAY = "\r\n".join(
    [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//x//EN", "BEGIN:VEVENT", "UID:1"),
        *("DTSTAMP:20250101T000000Z", "DTSTART;VALUE=DATE:20260102", "DTEND;VALUE=DATE:20260103"),
        *("SUMMARY:Inventory", "END:VEVENT", "END:VCALENDAR", ""),
    ]
)


def wall(text: str) -> datetime:
    """A time on the clocks of the schedule's zone."""
    return datetime.fromisoformat(text)


def asked(**more) -> NewBackfill:
    """The first four days of the year, at half past one."""
    fields = {"start": wall("2026-01-01"), "end": wall("2026-01-05"), "definition": DAILY, **more}
    return NewBackfill(**fields)


def test_a_backfill_that_ended_long_ago_is_forgotten_with_its_times():
    deployment = make_deployment(make_queue())
    old, recent, active = (backfill(deployment, name=name) for name in ("old", "recent", "active"))
    for one, days in ((old, 100), (recent, 10)):
        Backfill.objects.filter(pk=one.pk).update(status="done", ended_at=NOON - timedelta(days=days))

    gone = purge(ages=Ages(runs=timedelta(days=90)), now=NOON, pause_seconds=0)

    assert dict(+gone) == {"backfill times": 4, "backfills": 1}
    assert set(Backfill.objects.values_list("pk", flat=True)) == {recent.pk, active.pk}
    assert BackfillTime.objects.count() == 8


def backfill(deployment: Deployment | None = None, **more) -> Backfill:
    return create_backfill(deployment_id=(deployment or make_deployment(make_queue())).pk, new=asked(**more), now=NOON)


def runs_of(one: Backfill) -> list[FlowRun]:
    times = BackfillTime.objects.filter(backfill=one, run_id__isnull=False).order_by("number")
    return [FlowRun.objects.get(pk=time.run_id) for time in times]


def end(run: FlowRun, state: str = "COMPLETED") -> None:
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=NOON, force=True)


def test_each_time_gets_one_run_and_the_next_comes_when_it_has_ended():
    one = backfill()

    for _ in range(10):
        make_runs_of_backfills(NOON)
        make_runs_of_backfills(NOON)
        open_runs = [run for run in runs_of(one) if state_of(run) == "SCHEDULED"]
        assert len(open_runs) <= 1
        for run in open_runs:
            end(run)

    one.refresh_from_db()
    assert (one.status, one.ended_at, one.total) == ("done", NOON, 4)
    assert [run.context["scheduled_start_time"] for run in runs_of(one)] == [
        f"2026-01-0{day}T01:30:00+01:00" for day in (1, 2, 3, 4)
    ]
    assert progress_of([one])[one.pk].states == {"COMPLETED": 4}


def test_its_runs_are_due_now_tagged_and_given_their_time():
    deployment = make_deployment(make_queue(), parameter_openapi_schema=SCHEMA, tags=["etl"])

    one = backfill(deployment, time_parameter="day", parameters={"region": "eu"}, at_once=2, newest_first=True)
    make_runs_of_backfills(NOON)

    first, second = runs_of(one)
    assert [run.parameters for run in (first, second)] == [
        {"region": "eu", "day": "2026-01-04"},
        {"region": "eu", "day": "2026-01-03"},
    ]
    assert first.tags == ["etl", f"backfill:{one.name}"]
    assert (first.expected_start_time, first.auto_scheduled) == (NOON, False)
    assert one.name == "nightly-2025-12-31-2026-01-04"


def test_a_moment_has_its_offset_where_the_schema_asks_for_no_date():
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}
    deployment = make_deployment(make_queue(), parameter_openapi_schema=schema)

    plan = planned_backfill(deployment, asked(time_parameter="at"), NOON)

    assert plan.first_parameters == {"at": "2026-01-01T01:30:00+01:00"}


def test_times_of_calendars_and_times_that_are_done_get_no_run():
    deployment = make_deployment(make_queue())
    create_calendar(name="days-off", ics=HOLIDAY, now=NOON)
    done = datetime(2026, 1, 3, 0, 30, tzinfo=UTC)
    run = make_flow_run(
        make_state("COMPLETED"), flow=deployment.flow, deployment_id=deployment.pk, auto_scheduled=True, now=done
    )
    FlowRun.objects.filter(pk=run.pk).update(expected_start_time=done)

    plan = planned_backfill(deployment, asked(calendars=["days-off"]), NOON)
    again = planned_backfill(deployment, asked(calendars=["days-off"], again=True), NOON)

    assert [one.local.day for one in plan.times] == [1, 4]
    assert [one.left_out_by for one in plan.left_out] == ["Inventory"]
    assert [one.local.date() for one in plan.completed] == [date(2026, 1, 3)]
    assert [one.local.day for one in again.times] == [1, 3, 4]


def test_a_second_backfill_leaves_out_what_the_first_completed():
    deployment = make_deployment(make_queue())
    first = backfill(deployment, at_once=4)
    make_runs_of_backfills(NOON)
    for number, run in enumerate(runs_of(first)):
        end(run, "FAILED" if number == 2 else "COMPLETED")

    second = backfill(deployment)

    assert [one.at.day for one in second.times.all()] == [3]
    assert second.name == f"{first.name}-2"


def test_nothing_is_created_while_another_run_waits_for_an_agent_of_the_queue():
    queue = make_queue()
    one = backfill(make_deployment(queue))
    scheduled = waiting(queue, NOON, make_deployment(queue, name="hourly"))

    assert make_runs_of_backfills(later(60)) == 0
    make_agent(now=later(60)).claim(later(60))
    assert state_of(scheduled) == "PENDING"
    assert make_runs_of_backfills(later(61)) == 1
    assert len(runs_of(one)) == 1


def test_a_run_that_cannot_start_anyway_holds_nothing_up():
    queue = make_queue()
    backfill(make_deployment(queue))
    waiting(queue, NOON, make_deployment(queue, name="closed", concurrency_limit=0))

    assert make_runs_of_backfills(later(60)) == 1


def test_runs_that_may_not_overlap_come_one_by_one_and_wait_for_each_other():
    one = backfill(make_deployment(make_queue(), overlap="skip"), at_once=4)

    make_runs_of_backfills(NOON)

    (run,) = runs_of(one)
    assert run.empirical_policy["overlap"] == "queue"


def test_paused_it_makes_nothing_and_resumed_it_continues():
    one = backfill()

    pause_backfill(backfill_id=one.pk, now=NOON)
    assert make_runs_of_backfills(NOON) == 0
    resume_backfill(backfill_id=one.pk, now=NOON)
    assert make_runs_of_backfills(NOON) == 1


def test_cancelled_it_takes_its_open_runs_with_it_and_stays_so():
    one = backfill(at_once=2)
    make_runs_of_backfills(NOON)
    first, second = runs_of(one)
    end(first)

    cancel_backfill(backfill_id=one.pk, now=NOON)

    assert (state_of(first), state_of(second)) == ("COMPLETED", "CANCELLED")
    assert make_runs_of_backfills(NOON) == 0
    with pytest.raises(BackfillEnded):
        resume_backfill(backfill_id=one.pk, now=NOON)


def test_a_repeated_cancellation_cancels_what_is_still_open():
    one = backfill(at_once=2)
    make_runs_of_backfills(NOON)
    Backfill.objects.filter(pk=one.pk).update(status="cancelled", ended_at=NOON)

    cancel_backfill(backfill_id=one.pk, now=later(60))

    one.refresh_from_db()
    assert [state_of(run) for run in runs_of(one)] == ["CANCELLED"] * 2
    assert (one.status, one.ended_at) == ("cancelled", NOON)


def test_a_run_that_is_deleted_meanwhile_does_not_stop_the_cancellation(monkeypatch):
    one = backfill(at_once=2)
    make_runs_of_backfills(NOON)

    def deleted_before(**asked):
        if FlowRun.objects.count() == 2:
            delete_flow_run(run_id=asked["run_id"], now=NOON)
        return cancel_flow_run(**asked)

    monkeypatch.setattr("deployments.backfills.services.backfills.cancel_flow_run", deleted_before)
    cancel_backfill(backfill_id=one.pk, now=NOON)

    assert state_of(FlowRun.objects.get()) == "CANCELLED"


def test_a_deleted_run_does_not_hold_the_next_one_up():
    one = backfill()
    make_runs_of_backfills(NOON)

    delete_flow_run(run_id=runs_of(one)[0].pk, now=NOON)

    assert make_runs_of_backfills(NOON) == 1
    assert progress_of([one])[one.pk].gone == 1


def test_a_run_that_cannot_be_created_pauses_it_with_the_reason():
    deployment = make_deployment(make_queue(), parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True)
    one = backfill(deployment, time_parameter="day")
    schema = {"type": "object", "properties": {"day": {"type": "integer"}}}
    Deployment.objects.filter(pk=deployment.pk).update(parameter_openapi_schema=schema)

    assert make_runs_of_backfills(NOON) == 0

    one.refresh_from_db()
    assert one.status == "paused"
    assert "day" in one.problem


def test_one_whose_time_zone_is_gone_pauses_with_the_reason_and_stops_no_other():
    broken = backfill()
    Backfill.objects.filter(pk=broken.pk).update(definition={**DAILY, "timezone": "Mars/Olympus"})
    good = backfill(make_deployment(make_queue("other"), name="other"))

    assert make_runs_of_backfills(NOON) == 1

    broken.refresh_from_db()
    assert len(runs_of(good)) == 1
    assert (broken.status, "no time zone 'Mars/Olympus'" in broken.problem) == ("paused", True)


def test_an_error_with_one_is_raised_after_the_others_had_their_turn():
    broken = backfill()
    Backfill.objects.filter(pk=broken.pk).update(parameters=["no", "object"])
    good = backfill(make_deployment(make_queue("other"), name="other"))

    with pytest.raises((TypeError, ValueError)):
        make_runs_of_backfills(NOON)

    assert len(runs_of(good)) == 1


def test_those_that_wait_do_not_keep_later_ones_from_their_turn(monkeypatch):
    monkeypatch.setattr("deployments.backfills.services.making.BACKFILLS_AT_A_TICK", 2)
    waiting_ones = [backfill(make_deployment(make_queue(f"q{n}"), name=f"d{n}")) for n in range(3)]
    for _ in range(3):
        make_runs_of_backfills(NOON)
    last = backfill(make_deployment(make_queue("last"), name="last"))

    made = [make_runs_of_backfills(NOON) for _ in range(3)]

    assert sum(made) == 1
    assert [len(runs_of(one)) for one in (*waiting_ones, last)] == [1, 1, 1, 1]


def test_as_many_runs_are_open_as_were_asked_for_though_a_tick_makes_fewer():
    one = backfill(at_once=30, definition={"interval": 3600, "timezone": "UTC"})

    made = [make_runs_of_backfills(NOON) for _ in range(3)]

    assert made == [20, 10, 0]
    assert len(runs_of(one)) == 30


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"end": wall("2025-12-01")}, "after the end"),
        ({"start": wall("2027-01-01"), "end": wall("2027-02-01")}, "in the future"),
        ({"definition": {"interval": 1, "timezone": "UTC"}}, "more than 10,000 times"),
        ({"definition": {"cron": "0 0 30 2 *", "timezone": "UTC"}}, "names no time"),
        ({"start": wall("2026-01-01T02:00"), "end": wall("2026-01-01T03:00")}, "names no time"),
        ({"time_parameter": "dya"}, "no parameter 'dya'"),
    ],
)
def test_invalid_backfills_are_refused_with_the_reason(more, words):
    deployment = make_deployment(make_queue(), parameter_openapi_schema=SCHEMA)

    with pytest.raises(BadBackfill, match=words):
        backfill(deployment, **more)


def test_parameters_are_checked_before_anything_is_created():
    deployment = make_deployment(make_queue(), parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True)

    with pytest.raises(ParametersMisfit):
        backfill(deployment, parameters={"region": 7})


def test_a_name_is_taken_once():
    deployment = make_deployment(make_queue())
    backfill(deployment, name="january")

    with pytest.raises(BackfillExists):
        backfill(deployment, name="january")


def test_times_to_come_belong_to_schedules():
    deployment = make_deployment(make_queue())

    plan = planned_backfill(deployment, asked(end=wall("2027-01-01")), NOON)

    assert max(one.at for one in plan.times) <= NOON
    assert len(plan.times) == 5


def test_a_backfill_is_deleted_with_its_deployment_and_its_runs_stay():
    one = backfill()
    make_runs_of_backfills(NOON)
    run = runs_of(one)[0]

    Deployment.objects.get(pk=one.deployment_id).delete()

    assert not BackfillTime.objects.exists()
    assert FlowRun.objects.filter(pk=run.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_any_number_of_servers_make_each_run_once():
    one = backfill(at_once=3)

    race(make_runs_of_backfills, [NOON] * 4)

    assert len(runs_of(one)) == 3
    assert FlowRun.objects.count() == 3


def test_a_run_that_an_agent_is_about_to_take_holds_nothing_up():
    queue = make_queue()
    backfill(make_deployment(queue))
    waiting(queue, NOON, make_deployment(queue, name="hourly"))

    assert make_runs_of_backfills(NOON + timedelta(seconds=1)) == 1
