"""GET /api/admin/services."""

from __future__ import annotations

from django.utils import timezone

from deployments.upkeep.services.service_records import Ticks, note_ticks


def test_services_show_their_last_tick_and_their_error(api, counted):
    now = timezone.now()
    note_ticks({"planning": (5, Ticks().and_one(at=now, seconds=0.5, error="OSError: full"))}, ticker="host:1")

    with counted("read services"):
        [answer] = api.read("/admin/services").json()

    assert (answer["name"], answer["verdict"], answer["lag_seconds"]) == ("planning", "failing", 0)
    assert (answer["last_error"], answer["errors"], answer["ticks"]) == ("OSError: full", 1, 1)
    assert (answer["last_success"], answer["ticker"]) == (None, "host:1")
    assert answer["description"].startswith("Plans the runs")


def test_before_the_first_tick_there_are_no_records(api):
    assert api.read("/admin/services").json() == []
