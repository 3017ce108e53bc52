"""Travels in time: the process's clock and the database's stand still together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace

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
        patch.setattr(database_clock, "_read", lambda: database_clock._Reading(timezone.now(), 0.0))
        # No microsecond passes between a reading and its use.
        patch.setattr(database_clock, "time", SimpleNamespace(monotonic=lambda: 0.0))
        yield traveller
