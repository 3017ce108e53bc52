"""The meaning of HTTP answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orionflow.client.responses import seconds_to_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0.25", 0.25), ("-1", 0.0), ("3600", 60.0), ("nan", 0.0), ("soon", 0.0), ("", 0.0)],
)
def test_retry_after_in_seconds(header: str, seconds: float):
    assert seconds_to_wait({"retry-after": header}) == seconds


def test_retry_after_as_a_date():
    in_ten = datetime.now(UTC) + timedelta(seconds=10)

    assert 8 < seconds_to_wait({"retry-after": format_datetime(in_ten, usegmt=True)}) <= 10
