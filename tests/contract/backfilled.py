"""The part of the conversation that is about backfills."""

from __future__ import annotations

from typing import Any

DAILY = {"cron": "0 6 * * *", "timezone": "UTC", "day_or": True}


def times_are_made_up_for(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "ledger"}).json()["id"]
    deployment = calls.api.send("/deployments/", {"flow_id": flow, "name": "daily"}).json()["id"]
    asked = {
        "deployment_id": deployment,
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-03T00:00:00Z",
        "schedule": DAILY,
        "at_once": 2,
    }
    calls.ask("preview_backfill", "POST", "/backfills/preview", asked)
    made = calls.ask("create_backfill", "POST", "/backfills/", {**asked, "name": "new-year"})["id"]
    calls.ask("pause_backfill", "POST", f"/backfills/{made}/pause")
    calls.ask("resume_backfill", "POST", f"/backfills/{made}/resume")
    calls.ask("read_backfill", "GET", f"/backfills/{made}")
    calls.ask("filter_backfills", "POST", "/backfills/filter", {"backfills": {"status": {"any_": ["active"]}}})
    calls.ask("cancel_backfill", "POST", f"/backfills/{made}/cancel")
