"""The part of the conversation that is about pools, queues, workers and places."""

from __future__ import annotations

from typing import Any

DUE = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2026-01-05T12:00:00Z"}}

TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
}


def queues_are_served(calls: Any) -> None:
    _pools(calls)
    queue = _queues(calls)
    _workers(calls)
    _runs_are_given_out(calls, queue)
    _slots_are_held(calls)
    calls.ask("delete_pool_queue", "DELETE", "/work_pools/forge/queues/urgent")
    calls.ask("delete_pool_queue_refused", "DELETE", "/work_pools/forge/queues/default")
    calls.ask("delete_work_queue", "DELETE", f"/work_queues/{queue}")
    calls.ask("delete_work_pool", "DELETE", "/work_pools/forge")


def _pools(calls: Any) -> None:
    asked = {"name": "forge", "type": "process", "base_job_template": TEMPLATE}
    calls.ask("create_work_pool", "POST", "/work_pools/", asked)
    calls.ask("create_work_pool_again", "POST", "/work_pools/", asked)
    calls.ask("read_work_pool", "GET", "/work_pools/forge")
    calls.ask("read_work_pool_missing", "GET", "/work_pools/nowhere")
    calls.ask("update_work_pool", "PATCH", "/work_pools/forge", {"concurrency_limit": 5})
    calls.ask("filter_work_pools", "POST", "/work_pools/filter", {"work_pools": {"name": {"any_": ["forge"]}}})
    calls.ask("count_work_pools", "POST", "/work_pools/count", {"work_pools": {"type": {"any_": ["process"]}}})


def _queues(calls: Any) -> str:
    queue: str = calls.ask("create_work_queue", "POST", "/work_queues/", {"name": "nightly", "concurrency_limit": 1})[
        "id"
    ]
    calls.ask("read_work_queue", "GET", f"/work_queues/{queue}")
    calls.ask("read_work_queue_by_name", "GET", "/work_queues/name/nightly")
    calls.ask("update_work_queue", "PATCH", f"/work_queues/{queue}", {"description": "At night"})
    nightly = {"work_queues": {"name": {"startswith_": ["night"]}}}
    calls.ask("filter_work_queues", "POST", "/work_queues/filter", nightly)
    calls.ask("read_work_queue_status", "GET", f"/work_queues/{queue}/status")
    calls.ask("create_pool_queue", "POST", "/work_pools/forge/queues", {"name": "urgent", "priority": 1})
    calls.ask("read_pool_queue", "GET", "/work_pools/forge/queues/urgent")
    calls.ask("update_pool_queue", "PATCH", "/work_pools/forge/queues/urgent", {"is_paused": False})
    calls.ask("filter_pool_queues", "POST", "/work_pools/forge/queues/filter", {})
    return queue


def _workers(calls: Any) -> None:
    heartbeat = {"name": "smith", "heartbeat_interval_seconds": 30.0}
    calls.ask("hear_worker", "POST", "/work_pools/forge/workers/heartbeat", heartbeat)
    there = {"workers": {"status": {"any_": ["ONLINE"]}}}
    calls.ask("filter_workers", "POST", "/work_pools/forge/workers/filter", there)
    calls.ask("delete_worker", "DELETE", "/work_pools/forge/workers/smith")


def _runs_are_given_out(calls: Any, queue: str) -> None:
    flow = calls.api.send("/flows/", {"name": "forging"}).json()["id"]
    usual = {"flow_id": flow, "name": "daily"}
    deployment = calls.api.send("/deployments/", {**usual, "work_queue_name": "nightly"}).json()["id"]
    in_pool = calls.api.send("/deployments/", {**usual, "name": "pooled", "work_pool_name": "forge"}).json()["id"]
    asked = {"state": DUE, "name": "first"}
    run = calls.api.send(f"/deployments/{deployment}/create_flow_run", asked).json()["id"]
    calls.api.send(f"/deployments/{in_pool}/create_flow_run", {**asked, "name": "pooled"})
    calls.ask("check_work_queues", "GET", f"/deployments/{deployment}/work_queue_check")
    calls.ask("poll_work_queue", "POST", f"/work_queues/{queue}/get_runs", {"limit": 10})
    calls.ask("poll_work_pool", "POST", "/work_pools/forge/get_scheduled_flow_runs", {})
    calls.ask("poll_deployments", "POST", "/deployments/get_scheduled_flow_runs", {"deployment_ids": [deployment]})
    calls.api.send(f"/flow_runs/{run}/set_state", {"state": {"type": "PENDING"}})
    second = calls.api.send(f"/deployments/{deployment}/create_flow_run", {**asked, "name": "second"}).json()["id"]
    claim = {"state": {"type": "PENDING"}}
    calls.ask("claim_in_a_full_queue", "POST", f"/flow_runs/{second}/set_state", claim)
    calls.ask("read_queue_holders", "GET", f"/work_queues/{queue}/holders")
    calls.ask("release_flow_run", "POST", f"/flow_runs/{run}/release", {"message": "The machine is gone."})
    for one in (deployment, in_pool):
        calls.api.call("DELETE", f"/deployments/{one}")


def _slots_are_held(calls: Any) -> None:
    calls.api.send("/v2/concurrency_limits/", {"name": "furnace", "limit": 1})
    asked = {"names": ["furnace"], "slots": 1, "holder": {}, "seconds": 60}
    (taken,) = calls.ask("take_slots_with_a_holder", "POST", "/v2/concurrency_limits/increment", asked)
    leases = {"lease_ids": [taken["lease_id"]]}
    calls.ask("read_global_limit_holders", "GET", "/v2/concurrency_limits/furnace/holders")
    calls.ask("renew_slots", "POST", "/v2/concurrency_limits/renew", {**leases, "seconds": 60})
    calls.ask("release_slots", "POST", "/v2/concurrency_limits/release", leases)
    calls.ask("renew_slots_refused", "POST", "/v2/concurrency_limits/renew", leases)
    calls.api.call("DELETE", "/v2/concurrency_limits/furnace")
    _a_tag_is_held(calls)


def _a_tag_is_held(calls: Any) -> None:
    flow = calls.api.send("/flows/", {"name": "forging"}).json()["id"]
    run = calls.api.send("/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}}).json()["id"]
    made = {"flow_run_id": run, "task_key": "melt-1", "dynamic_key": "0", "tags": ["heat"]}
    task = calls.api.send("/task_runs/", made).json()["id"]
    calls.api.send("/concurrency_limits/", {"tag": "heat", "concurrency_limit": 1})
    calls.api.send("/concurrency_limits/tag/heat/reset", {"slot_override": [task]})
    calls.ask("read_tag_holders", "GET", "/concurrency_limits/tag/heat/holders")
    calls.ask("release_tag_slot", "POST", "/concurrency_limits/tag/heat/release", {"task_run_id": task})
    calls.ask("release_tag_slot_missing", "POST", "/concurrency_limits/tag/heat/release", {"task_run_id": task})
    calls.api.call("DELETE", "/concurrency_limits/tag/heat")
    calls.api.call("DELETE", f"/flow_runs/{run}")
