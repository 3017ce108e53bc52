"""The clockwork: it ticks, it survives, it can be read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError

from deployments.models import ServiceRecord
from deployments.upkeep.selectors.service_health import lag, services_and_health
from deployments.upkeep.services.service_records import Ticks, note_ticks
from orion_site.services import ticker as ticking
from orion_site.services.registry import service_named, services_of_this_server
from orion_site.services.ticker import Service, ServiceThread, Ticker, call, note, worth_noting

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def counting(times: int) -> tuple[Callable[[datetime], None], threading.Event]:
    """Return a tick, and an event that is set when it was called a number of times."""
    enough, calls = threading.Event(), []

    def tick(now: datetime) -> None:
        calls.append(now)
        if len(calls) >= times:
            enough.set()

    return tick, enough


def broken(now: datetime) -> None:
    raise ValueError("disk full")


@pytest.mark.django_db(transaction=True)
def test_a_service_that_fails_is_tried_again_and_its_error_can_be_read(caplog: pytest.LogCaptureFixture):
    tick, ticked_again = counting(3)

    def failing(now: datetime) -> None:
        tick(now)
        broken(now)

    ticker = Ticker([Service("broken", 0.01, failing)])

    ticker.start()
    again = ticked_again.wait(20)
    ticker.stop()

    record = ServiceRecord.objects.get(pk="broken")
    assert again
    assert record.errors == record.ticks >= 3
    assert record.last_error == "ValueError: disk full"
    assert record.last_success is None
    assert "Service broken failed" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_long_service_does_not_hold_up_a_quick_one():
    tick, enough = counting(5)
    waited: list[bool] = []
    slow = Service("slow", 30, lambda now: waited.append(enough.wait(20)), thread=ServiceThread.SLOW)
    ticker = Ticker([slow, Service("quick", 0.01, tick)])

    ticker.start()
    enough.wait(20)
    ticker.stop()

    assert waited == [True]


@pytest.mark.django_db(transaction=True)
def test_services_of_one_thread_take_turns_by_when_they_are_due():
    order: list[str] = []
    tick, enough = counting(7)

    def often(now: datetime) -> None:
        order.append("often")
        tick(now)

    ticker = Ticker([Service("often", 0.02, often), Service("rarely", 30, lambda now: order.append("rarely"))])

    ticker.start()
    enough.wait(20)
    ticker.stop()

    assert order.count("rarely") == 1
    assert order.count("often") >= 7


@pytest.mark.django_db(transaction=True)
def test_a_service_may_begin_later_than_its_ticker():
    tick, enough = counting(3)
    ticker = Ticker([Service("early", 0.01, tick), Service("later", 5, broken, first_after=600)])

    ticker.start()
    enough.wait(20)
    ticker.stop()

    assert list(ServiceRecord.objects.values_list("name", flat=True)) == ["early"]


@pytest.mark.django_db
def test_ticks_of_several_tickers_are_added_up():
    for second in range(3):
        ticks = Ticks().and_one(at=NOON + second * SECOND, seconds=0.5)
        note_ticks({"planning": (5, ticks.and_one(at=NOON + second * SECOND, seconds=0.25))}, ticker=f"host:{second}")

    record = ServiceRecord.objects.get()
    assert (record.ticks, record.errors, record.last_seconds) == (6, 0, 0.25)
    assert (record.last_tick, record.ticker) == (NOON + 2 * SECOND, "host:2")


@pytest.mark.django_db
def test_the_last_error_is_kept_after_a_success():
    note_ticks({"planning": (5, Ticks().and_one(at=NOON, seconds=1, error="OSError: full"))}, ticker="host:1")
    note_ticks({"planning": (5, Ticks().and_one(at=NOON + SECOND, seconds=1))}, ticker="host:1")

    [health] = services_and_health(now=NOON + 2 * SECOND)
    assert (health.record.last_error, health.record.last_error_at, health.record.errors) == ("OSError: full", NOON, 1)
    assert health.verdict == "well"


@pytest.mark.django_db
def test_quick_services_are_not_written_down_at_each_tick(django_assert_num_queries):
    service = Service("hints", 1, lambda now: None)
    call(service)
    note([service])
    call(service)

    with django_assert_num_queries(0):
        found = worth_noting(service)

    assert not found
    assert service.noted.count == 1


@pytest.mark.django_db
def test_a_database_that_is_away_stops_no_ticker(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def away(*args: object, **named: object) -> None:
        raise DatabaseError("connection refused")

    monkeypatch.setattr(ticking, "note_ticks", away)
    service = Service("planning", 1, lambda now: None)
    call(service)

    note([service])

    assert service.noted.count == 1
    assert "connection refused" in caplog.text


def test_lag_is_what_a_tick_is_overdue_beyond_what_is_not_written_down():
    record = ServiceRecord(name="planning", every_seconds=5, last_tick=NOON)

    lags = [lag(record, NOON + seconds * SECOND) for seconds in (3, 10, 17)]

    assert lags == [0, 0, 7]


@pytest.mark.django_db(transaction=True)
def test_the_services_of_the_server_can_be_called_on_an_empty_database():
    services = services_of_this_server()

    for service in services:
        call(service)

    assert [service.noted.last_error for service in services] == [""] * len(services)
    assert len({service.name for service in services}) == len(services)


def test_a_service_is_found_by_its_name():
    assert service_named("planning").name == "planning"
