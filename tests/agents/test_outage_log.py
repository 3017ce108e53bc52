"""The log of an agent while requests fail again and again."""

from __future__ import annotations

import logging

import pytest

from orionflow.agent.outage_log import OutageLog

HOUR = 3600


def test_an_outage_is_logged_again_at_growing_intervals_and_when_it_is_over(caplog: pytest.LogCaptureFixture):
    moments: list[float] = []
    log = OutageLog("It works again.", monotonic=lambda: moments[-1])

    with caplog.at_level(logging.INFO):
        for moment in range(0, 4 * HOUR, 5):
            moments.append(moment)
            log.failed("Nothing works: %s", "500")
        log.succeeded()
        log.succeeded()
        log.failed("Nothing works: %s", "500")

    lines = [record.getMessage() for record in caplog.records]
    lasted = ["1 min", "3 min", "7 min", "15 min", "31 min", "1 h 03 min", "2 h 03 min", "3 h 03 min"]
    during = ["Nothing works: 500", *(f"Nothing works: 500 (for {time})" for time in lasted)]
    assert lines == [*during, "It works again. (after 4 h 00 min)", "Nothing works: 500"]
