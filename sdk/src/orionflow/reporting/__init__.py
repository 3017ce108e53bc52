"""Pipelined reporting: reports of runs are queued, sent in batches and acknowledged, without making the runs wait.

The order is kept. The SDK creates the ids, so that a repeated batch changes nothing. Memory is bounded, and reports
that cannot be delivered are kept in a spool file and sent when the API is back.
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
