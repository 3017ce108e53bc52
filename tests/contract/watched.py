"""The part of the conversation that is about events, automations and notifications."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

YEAR = {"since": "2026-01-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}


def runs_are_watched(calls: Any) -> None:
    block = _a_block(calls)
    _people_are_notified(calls, block)
    _things_happen(calls)
    _automations_react(calls)
    calls.ask("read_collection_view", "GET", "/collections/views/aggregate-worker-metadata")
    calls.ask("read_collection_view_missing", "GET", "/collections/views/nothing")


def _a_block(calls: Any) -> str:
    of_type = calls.api.read("/block_types/slug/slack-webhook").json()["id"]
    fields = {"title": "Chat", "secret_fields": ["url"], "block_type_slug": "slack-webhook"}
    schema = calls.api.send("/block_schemas/", {"block_type_id": of_type, "fields": fields}).json()["id"]
    filled = {"name": "team", "block_type_id": of_type, "block_schema_id": schema}
    data = {"url": "https://hooks.example.org/T1"}
    block: str = calls.api.send("/block_documents/", {**filled, "data": data}).json()["id"]
    return block


def _no_receiver(calls: Any) -> str:
    """Make a block to which nothing can be sent."""
    of_type = calls.api.read("/block_types/slug/json").json()["id"]
    schema = calls.api.send("/block_schemas/", {"block_type_id": of_type, "fields": {"title": "Value"}}).json()["id"]
    filled = {"name": "value", "block_type_id": of_type, "block_schema_id": schema, "data": {"value": 1}}
    block: str = calls.api.send("/block_documents/", filled).json()["id"]
    return block


def _people_are_notified(calls: Any, block: str) -> None:
    root = "/flow_run_notification_policies"
    asked = {"state_names": ["Failed", "Crashed"], "tags": ["nightly"], "block_document_id": block}
    template = "{flow_run_name} is {flow_run_state_name}"
    made = calls.ask("create_flow_run_notification_policy", "POST", f"{root}/", {**asked, "message_template": template})
    path = f"{root}/{made['id']}"
    calls.ask("read_flow_run_notification_policy", "GET", path)
    calls.ask("update_flow_run_notification_policy", "PATCH", path, {"is_active": False})
    active = {"flow_run_notification_policy_filter": {"is_active": {"eq_": False}}}
    calls.ask("filter_flow_run_notification_policies", "POST", f"{root}/filter", active)
    wrong = {**asked, "message_template": "{colour}"}
    calls.ask("create_flow_run_notification_policy_refused", "POST", f"{root}/", wrong)
    calls.ask("delete_flow_run_notification_policy", "DELETE", path)


def _things_happen(calls: Any) -> None:
    house = {"prefect.resource.id": "house.1", "prefect.resource.role": "house"}
    reported = [
        {
            "id": f"018f0000-0000-7000-8000-00000000e00{number}",
            "occurred": f"2026-01-05T12:00:0{number}Z",
            "event": "sensor.read",
            "resource": {"prefect.resource.id": "sensor.1", "room": "kitchen"},
            "related": [house],
            "payload": {"celsius": 20 + number},
        }
        for number in range(2)
    ]
    calls.ask("report_events", "POST", "/events", reported)
    asked = {"occurred": YEAR, "event": {"prefix": ["sensor."]}, "resource": {"labels": {"room": ["kitchen", "h*"]}}}
    page = calls.ask("filter_events", "POST", "/events/filter", {"filter": asked, "limit": 1})
    parts = urlsplit(page["next_page"])
    calls.ask("read_next_events", "GET", f"{parts.path.removeprefix('/api')}?{parts.query}")
    calls.ask("read_next_events_refused", "GET", "/events/filter/next?page-token=x")
    calls.ask("count_events", "POST", "/events/count-by/event", {"filter": asked})


def _automations_react(calls: Any) -> None:
    after, expect = ["prefect.flow-run.Running"], ["prefect.flow-run.Completed", "prefect.flow-run.Failed"]
    of_each = {"for_each": ["prefect.resource.id"], "posture": "Proactive", "within": 3600}
    trigger = {"type": "event", "after": after, "expect": expect, **of_each}
    asked = {"name": "too slow", "trigger": trigger, "actions": [{"type": "cancel-flow-run"}]}
    made = calls.ask("create_automation", "POST", "/automations/", {**asked, "owner_resource": "house.1"})
    path = f"/automations/{made['id']}"
    calls.ask("read_automation", "GET", path)
    calls.ask("replace_automation", "PUT", path, {**asked, "description": "Stops what hangs"})
    calls.ask("switch_automation", "PATCH", path, {"enabled": False})
    calls.ask("filter_automations", "POST", "/automations/filter", {"automations": {"name": {"any_": ["too slow"]}}})
    calls.ask("count_automations", "POST", "/automations/count")
    calls.ask("read_related_automations", "GET", "/automations/related-to/house.1")
    calls.ask("try_automation", "POST", f"{path}/test")
    calls.ask("filter_firings", "POST", "/automations/firings/filter", {"limit": 5})
    calls.ask("try_notification", "POST", "/notifications/test", {"block_document_id": _no_receiver(calls)})
    calls.ask("filter_notifications", "POST", "/notifications/filter", {"limit": 1})
    calls.ask("create_automation_refused", "POST", "/automations/", {**asked, "actions": [{"type": "pause-work-pool"}]})
    calls.ask("validate_template", "POST", "/templates/validate", "{{ flow_run.name }} failed")
    calls.ask("validate_template_refused", "POST", "/templates/validate", "{{ 1 + 1 }}")
    calls.ask("delete_automation", "DELETE", path)
    calls.ask("delete_owned_automations", "DELETE", "/automations/owned-by/house.1")
