"""The clockwork: it ticks, it survives, it can be read."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from orion_site.ticker import Service, Ticker, call, services_of_this_server

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_service_that_fails_is_kept_and_tried_again(caplog: pytest.LogCaptureFixture):
    again = threading.Event()

    def tick(now: datetime) -> None:
        if service.ticks >= 2:
            again.set()
        raise ValueError("disk full")

    service = Service("broken", 0.01, tick)
    ticker = Ticker([service])

    ticker.start()
    ticked_again = again.wait(5)
    ticker.stop()

    assert ticked_again
    assert service.errors >= 2
    assert service.last_error == "ValueError: disk full"
    assert "Service broken failed" in caplog.text


def test_a_success_clears_the_error():
    service = Service("mended", 5, lambda now: None, last_error="ValueError: disk full", errors=1)

    call(service)

    assert (service.last_error, service.errors, service.ticks) == ("", 1, 1)


def test_lag_is_what_a_tick_is_overdue():
    service = Service("slow", 5, lambda now: None, last_tick=NOON)

    lags = [service.lag(NOON + timedelta(seconds=seconds)) for seconds in (3, 5, 12)]

    assert lags == [0, 0, 7]


def test_services_take_turns_by_when_they_are_due():
    order: list[str] = []
    enough = threading.Event()

    def noting(name: str):
        def tick(now: datetime) -> None:
            order.append(name)
            if len(order) >= 8:
                enough.set()

        return tick

    ticker = Ticker([Service("often", 0.05, noting("often")), Service("rarely", 30, noting("rarely"))])

    ticker.start()
    enough.wait(5)
    ticker.stop()

    assert order.count("rarely") == 1
    assert order.count("often") >= 7


@pytest.mark.django_db(transaction=True)
def test_the_services_of_the_server_can_be_called_on_an_empty_database():
    services = services_of_this_server()

    for service in services:
        call(service)

    assert [service.last_error for service in services] == ["", ""]
