"""The clock by which leases are given and taken back: the database's, as servers disagree by seconds."""

from __future__ import annotations

from orchestration.database_clock import database_now

__all__ = ["database_now"]
