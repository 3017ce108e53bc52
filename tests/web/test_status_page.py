"""The status page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from orion_site import status
from orion_site.ticker import Service


def test_it_says_what_this_server_is_and_where_its_data_is(browser: Client):
    page = browser.get("/status").content.decode()

    for text in ("Orion", "Python", "Database", "MB"):
        assert text in page


def test_without_a_ticker_it_says_how_to_get_one(browser: Client):
    page = browser.get("/status").content.decode()

    assert "No services tick in this process" in page


@pytest.mark.parametrize(
    ("age", "error", "verdict"),
    [
        (timedelta(), "", "well"),
        (timedelta(minutes=5), "", "behind"),
        (timedelta(), "OSError: no", "failing"),
        (None, "", "well"),
    ],
    ids=["on time", "late", "in error", "not yet"],
)
def test_a_service_is_well_behind_or_failing(age: timedelta | None, error: str, verdict: str):
    now = timezone.now()
    service = Service("cleaning", 5, print, last_tick=now - age if age is not None else None, last_error=error)

    line = status.ServiceLine(service, service.lag(now))

    assert line.verdict == verdict


def test_the_page_costs_one_query_at_most(browser: Client, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        browser.get("/status")
