"""The status page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments.upkeep.services.service_records import Ticks, note_ticks


def test_the_page_shows_the_version_of_the_server_and_where_its_data_is(browser: Client):
    page = browser.get("/status").content.decode()

    for text in ("Orion", "Python", "Database", "MB"):
        assert text in page


def test_the_page_without_a_ticker_explains_how_to_start_one(browser: Client):
    page = browser.get("/status").content.decode()

    assert "No services have ticked yet" in page


@pytest.mark.parametrize(
    ("age", "error", "verdict"),
    [
        (timedelta(), "", "well"),
        (timedelta(minutes=5), "", "behind"),
        (timedelta(), "OSError: no", "failing"),
    ],
    ids=["on time", "late", "in error"],
)
def test_a_service_is_well_behind_or_failing(browser: Client, age: timedelta, error: str, verdict: str):
    ticks = Ticks().and_one(at=timezone.now() - age, seconds=0.1, error=error)
    note_ticks({"lateness": (5, ticks)}, ticker="host:1")

    page = browser.get("/status").content.decode()

    assert "Marks runs late" in page
    assert f"verdict-{verdict}" in page
    assert error in page


def test_the_page_costs_three_queries_at_most(browser: Client, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        browser.get("/status")
