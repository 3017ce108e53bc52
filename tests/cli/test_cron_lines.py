"""Cron lines of Prefect servers in the form in which they mean the same here.

Their meaning there was asked of croniter 5.0.1, which Prefect 2.20.25 installs; here the server itself reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from deployments.schedules.core import read_definition
from orionflow.cli.importing.cron_lines import turned_round

BEGIN = datetime(2026, 3, 3, 3, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "day_or", "times"),
    [
        # In lines of six fields, the seconds come last.
        ("0 9 * * 1-5 0", True, ["03-03 09:00:00", "03-04 09:00:00", "03-05 09:00:00"]),
        ("0 9 * * 1-5 */20", True, ["03-03 09:00:00", "03-03 09:00:20", "03-03 09:00:40"]),
        # A step is a day that was named.
        ("0 3 */2 * MON", True, ["03-05 03:00:00", "03-07 03:00:00", "03-09 03:00:00"]),
        ("0 3 */2 * MON", False, ["03-09 03:00:00", "03-23 03:00:00", "04-13 03:00:00"]),
        ("0 3 1 * */2", True, ["03-05 03:00:00", "03-07 03:00:00", "03-08 03:00:00"]),
        # Ranges go round, and a range to itself is once round.
        ("0 3 * * FRI-MON", True, ["03-06 03:00:00", "03-07 03:00:00", "03-08 03:00:00"]),
        ("0 22-1 * * *", True, ["03-03 22:00:00", "03-03 23:00:00", "03-04 00:00:00"]),
        ("0 0 1 NOV-FEB *", True, ["11-01 00:00:00", "12-01 00:00:00", "01-01 00:00:00"]),
        ("0 0 * * 3-3", True, ["03-04 00:00:00", "03-05 00:00:00", "03-06 00:00:00"]),
        # Question marks, and from a number on.
        ("0 3 ? * 2", True, ["03-10 03:00:00", "03-17 03:00:00", "03-24 03:00:00"]),
        ("0 3 * * L5", True, ["03-27 03:00:00", "04-24 03:00:00", "05-29 03:00:00"]),
        ("0 4/9 * * *", True, ["03-03 04:00:00", "03-03 13:00:00", "03-03 22:00:00"]),
        # What means the same stays.
        ("*/15 9-17 1,15 * *", True, ["03-15 09:00:00", "03-15 09:15:00", "03-15 09:30:00"]),
    ],
)
def test_line_means_here_what_it_means_there(line, day_or, times):
    turned = turned_round(line, day_or=day_or)

    found = read_definition({"cron": turned, "timezone": "UTC", "day_or": day_or}).after(BEGIN)
    assert [f"{at:%m-%d %H:%M:%S}" for at in islice(found, 3)] == times


@pytest.mark.parametrize(
    "line", ["0 9 * * 1-5", "@daily", "*/15 9-17 1,15 * *", "0 0 13 * FRI", "nonsense", "0 0 L * *"]
)
def test_line_that_means_the_same_is_left_alone(line):
    assert turned_round(line, day_or=True) == line
