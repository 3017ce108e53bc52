"""Travels in time: the process's clock and the database's stand still together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
import time_machine
from django.utils import timezone

from orchestration import database_clock


@contextmanager
def travelled(to: datetime) -> Iterator[time_machine.Traveller]:
    """Stop the clocks of this process and of the database at a time, until the end of the block."""
    with pytest.MonkeyPatch.context() as patch, time_machine.travel(to, tick=False) as traveller:
        patch.setattr(database_clock, "_readings", {})
        # Never old enough to be kept.
        patch.setattr(database_clock, "ASK_EVERY_SECONDS", -1.0)
        patch.setattr(database_clock, "_read", lambda: database_clock._Reading(timezone.now(), time.monotonic()))
        yield traveller
