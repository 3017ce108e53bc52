"""The part of the conversation that is about deployments, their schedules and calendars."""

from __future__ import annotations

from typing import Any

HOLIDAYS = "\r\n".join(
    [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Orion//test//EN", "BEGIN:VEVENT", "UID:1"),
        *("DTSTAMP:20260101T000000Z", "DTSTART;VALUE=DATE:20990102", "DTEND;VALUE=DATE:20990103"),
        *("SUMMARY:Holiday", "END:VEVENT", "END:VCALENDAR", ""),
    ]
)
DAILY = {"cron": "0 6 * * *", "timezone": "UTC", "day_or": True}


def deployments_are_made(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "payroll"}).json()["id"]
    holidays = {"name": "holidays", "ics": HOLIDAYS, "description": "Days off"}
    calendar = calls.ask("create_calendar", "POST", "/calendars/", holidays)["id"]
    asked = {
        "flow_id": flow,
        "name": "monthly",
        "version": "1",
        "tags": ["money"],
        "parameters": {"n": 1},
        "parameter_openapi_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "enforce_parameter_schema": True,
        "entrypoint": "payroll.py:payroll",
        "overlap": "skip",
        "must_start_within": 60,
        "schedules": [{"schedule": DAILY, "active": False, "calendars": ["holidays"], "misfire": "latest"}],
    }
    made = calls.ask("create_deployment", "POST", "/deployments/", asked)
    path = f"/deployments/{made['id']}"
    thought_of = {"flow_name": "payroll", **{name: value for name, value in asked.items() if name != "flow_id"}}
    calls.ask("check_deployment", "POST", "/deployments/check", thought_of)
    calls.ask(
        "check_deployment_unknown_pool", "POST", "/deployments/check", {**thought_of, "work_pool_name": "nowhere"}
    )
    calls.ask("create_deployment_unknown_pool", "POST", "/deployments/", {**asked, "work_pool_name": "nowhere"})
    calls.ask("read_deployment", "GET", path)
    calls.ask("read_deployment_by_name", "GET", "/deployments/name/payroll/monthly")
    calls.ask("update_deployment", "PATCH", path, {"description": "Pays everybody"})
    listed = {"deployments": {"tags": {"all_": ["money"]}}, "sort": "NAME_ASC", "limit": 5}
    calls.ask("filter_deployments", "POST", "/deployments/filter", listed)
    calls.ask("count_deployments", "POST", "/deployments/count", {})
    _schedules(calls, path, made["schedules"][0]["id"])
    _runs(calls, path)
    calls.ask("read_calendar", "GET", f"/calendars/{calendar}")
    calls.ask("update_calendar", "PATCH", f"/calendars/{calendar}", {"description": "Everybody's days off"})
    calls.ask("filter_calendars", "POST", "/calendars/filter", {"calendars": {"name": {"like_": "holi"}}})
    calls.ask("delete_deployment", "DELETE", path)
    calls.ask("delete_calendar", "DELETE", f"/calendars/{calendar}")


def _schedules(calls: Any, path: str, schedule: str) -> None:
    after = {"count": 3, "after": "2099-01-01T00:00:00Z"}
    calls.ask("preview_schedule", "POST", f"{path}/schedules/{schedule}/preview", after)
    calls.ask("preview_draft", "POST", "/schedules/preview", {**after, "definition": DAILY})
    calls.ask("read_deployment_feed", "GET", f"{path}/schedule.ics")
    calls.ask("read_feed", "GET", "/schedules.ics")
    calls.ask("update_schedule", "PATCH", f"{path}/schedules/{schedule}", {"max_scheduled_runs": 2})
    every = {"schedule": {"interval": 900, "anchor_date": "2026-01-01T00:00:00Z"}, "active": False}
    (added,) = calls.ask("create_schedules", "POST", f"{path}/schedules", [every])
    calls.ask("read_schedules", "GET", f"{path}/schedules")
    calls.ask("pause_deployment_several", "POST", f"{path}/pause_deployment")
    calls.ask("delete_schedule", "DELETE", f"{path}/schedules/{added['id']}")
    calls.ask("pause_deployment", "POST", f"{path}/pause_deployment")
    calls.ask("pause_unless_served", "POST", f"{path}/pause_unless_served")
    calls.ask("set_schedule_inactive", "POST", f"{path}/set_schedule_inactive")
    calls.ask("set_schedule_active", "POST", f"{path}/set_schedule_active")
    calls.ask("resume_deployment", "POST", f"{path}/resume_deployment")
    calls.ask("adopt_deployment", "POST", f"{path}/adopt")
    calls.ask("schedule_deployment", "POST", f"{path}/schedule", {"max_runs": 1})


def _runs(calls: Any, path: str) -> None:
    asked = {"name": "mine", "parameters": {"n": 2}, "tags": ["now"], "idempotency_key": "once"}
    calls.ask("create_flow_run_from_deployment", "POST", f"{path}/create_flow_run", asked)
    calls.ask("create_flow_run_from_deployment_again", "POST", f"{path}/create_flow_run", asked)
    misfit = {"parameters": {"n": "many"}}
    calls.ask("create_flow_run_from_deployment_misfit", "POST", f"{path}/create_flow_run", misfit)
