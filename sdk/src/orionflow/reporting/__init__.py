"""Pipelined reporting: what runs do is queued, sent in batches and acknowledged, without making them wait.

Order is kept, ids are made here so that a repeated batch changes nothing, memory is bounded, and what cannot be
delivered is kept in a spool file and sent when the API is back.
"""

from __future__ import annotations

from orionflow.reporting.current import close_reporters, get_reporter, replay_leftovers
from orionflow.reporting.items import Answer, LogLine, Transition
from orionflow.reporting.reporter import Reporter

__all__ = [
    "Answer",
    "LogLine",
    "Reporter",
    "Transition",
    "close_reporters",
    "get_reporter",
    "replay_leftovers",
]
