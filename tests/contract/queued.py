"""The part of the conversation that is about pools, queues, workers and places."""

from __future__ import annotations

from typing import Any

DUE = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2026-01-05T12:00:00Z"}}

TEMPLATE = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
}


def queues_are_served(said: Any) -> None:
    _pools(said)
    queue = _queues(said)
    _workers(said)
    _runs_are_given_out(said, queue)
    _slots_are_held(said)
    said.ask("delete_pool_queue", "DELETE", "/work_pools/forge/queues/urgent")
    said.ask("delete_pool_queue_refused", "DELETE", "/work_pools/forge/queues/default")
    said.ask("delete_work_queue", "DELETE", f"/work_queues/{queue}")
    said.ask("delete_work_pool", "DELETE", "/work_pools/forge")


def _pools(said: Any) -> None:
    asked = {"name": "forge", "type": "process", "base_job_template": TEMPLATE}
    said.ask("create_work_pool", "POST", "/work_pools/", asked)
    said.ask("create_work_pool_again", "POST", "/work_pools/", asked)
    said.ask("read_work_pool", "GET", "/work_pools/forge")
    said.ask("read_work_pool_missing", "GET", "/work_pools/nowhere")
    said.ask("update_work_pool", "PATCH", "/work_pools/forge", {"concurrency_limit": 5})
    said.ask("filter_work_pools", "POST", "/work_pools/filter", {"work_pools": {"name": {"any_": ["forge"]}}})
    said.ask("count_work_pools", "POST", "/work_pools/count", {"work_pools": {"type": {"any_": ["process"]}}})


def _queues(said: Any) -> str:
    queue: str = said.ask("create_work_queue", "POST", "/work_queues/", {"name": "nightly", "concurrency_limit": 1})[
        "id"
    ]
    said.ask("read_work_queue", "GET", f"/work_queues/{queue}")
    said.ask("read_work_queue_by_name", "GET", "/work_queues/name/nightly")
    said.ask("update_work_queue", "PATCH", f"/work_queues/{queue}", {"description": "At night"})
    nightly = {"work_queues": {"name": {"startswith_": ["night"]}}}
    said.ask("filter_work_queues", "POST", "/work_queues/filter", nightly)
    said.ask("read_work_queue_status", "GET", f"/work_queues/{queue}/status")
    said.ask("create_pool_queue", "POST", "/work_pools/forge/queues", {"name": "urgent", "priority": 1})
    said.ask("read_pool_queue", "GET", "/work_pools/forge/queues/urgent")
    said.ask("update_pool_queue", "PATCH", "/work_pools/forge/queues/urgent", {"is_paused": False})
    said.ask("filter_pool_queues", "POST", "/work_pools/forge/queues/filter", {})
    return queue


def _workers(said: Any) -> None:
    heartbeat = {"name": "smith", "heartbeat_interval_seconds": 30.0}
    said.ask("hear_worker", "POST", "/work_pools/forge/workers/heartbeat", heartbeat)
    there = {"workers": {"status": {"any_": ["ONLINE"]}}}
    said.ask("filter_workers", "POST", "/work_pools/forge/workers/filter", there)
    said.ask("delete_worker", "DELETE", "/work_pools/forge/workers/smith")


def _runs_are_given_out(said: Any, queue: str) -> None:
    flow = said.api.send("/flows/", {"name": "forging"}).json()["id"]
    usual = {"flow_id": flow, "name": "daily"}
    deployment = said.api.send("/deployments/", {**usual, "work_queue_name": "nightly"}).json()["id"]
    in_pool = said.api.send("/deployments/", {**usual, "name": "pooled", "work_pool_name": "forge"}).json()["id"]
    asked = {"state": DUE, "name": "first"}
    run = said.api.send(f"/deployments/{deployment}/create_flow_run", asked).json()["id"]
    said.api.send(f"/deployments/{in_pool}/create_flow_run", {**asked, "name": "pooled"})
    said.ask("check_work_queues", "GET", f"/deployments/{deployment}/work_queue_check")
    said.ask("poll_work_queue", "POST", f"/work_queues/{queue}/get_runs", {"limit": 10})
    said.ask("poll_work_pool", "POST", "/work_pools/forge/get_scheduled_flow_runs", {})
    said.ask("poll_deployments", "POST", "/deployments/get_scheduled_flow_runs", {"deployment_ids": [deployment]})
    said.api.send(f"/flow_runs/{run}/set_state", {"state": {"type": "PENDING"}})
    second = said.api.send(f"/deployments/{deployment}/create_flow_run", {**asked, "name": "second"}).json()["id"]
    claim = {"state": {"type": "PENDING"}}
    said.ask("claim_in_a_full_queue", "POST", f"/flow_runs/{second}/set_state", claim)
    said.ask("read_queue_holders", "GET", f"/work_queues/{queue}/holders")
    said.ask("release_flow_run", "POST", f"/flow_runs/{run}/release", {"message": "The machine is gone."})
    for one in (deployment, in_pool):
        said.api.call("DELETE", f"/deployments/{one}")


def _slots_are_held(said: Any) -> None:
    said.api.send("/v2/concurrency_limits/", {"name": "furnace", "limit": 1})
    asked = {"names": ["furnace"], "slots": 1, "holder": {}, "seconds": 60}
    (taken,) = said.ask("take_slots_with_a_holder", "POST", "/v2/concurrency_limits/increment", asked)
    leases = {"lease_ids": [taken["lease_id"]]}
    said.ask("read_global_limit_holders", "GET", "/v2/concurrency_limits/furnace/holders")
    said.ask("renew_slots", "POST", "/v2/concurrency_limits/renew", {**leases, "seconds": 60})
    said.ask("release_slots", "POST", "/v2/concurrency_limits/release", leases)
    said.ask("renew_slots_refused", "POST", "/v2/concurrency_limits/renew", leases)
    said.api.call("DELETE", "/v2/concurrency_limits/furnace")
    _a_tag_is_held(said)


def _a_tag_is_held(said: Any) -> None:
    flow = said.api.send("/flows/", {"name": "forging"}).json()["id"]
    run = said.api.send("/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}}).json()["id"]
    made = {"flow_run_id": run, "task_key": "melt-1", "dynamic_key": "0", "tags": ["heat"]}
    task = said.api.send("/task_runs/", made).json()["id"]
    said.api.send("/concurrency_limits/", {"tag": "heat", "concurrency_limit": 1})
    said.api.send("/concurrency_limits/tag/heat/reset", {"slot_override": [task]})
    said.ask("read_tag_holders", "GET", "/concurrency_limits/tag/heat/holders")
    said.ask("release_tag_slot", "POST", "/concurrency_limits/tag/heat/release", {"task_run_id": task})
    said.ask("release_tag_slot_missing", "POST", "/concurrency_limits/tag/heat/release", {"task_run_id": task})
    said.api.call("DELETE", "/concurrency_limits/tag/heat")
    said.api.call("DELETE", f"/flow_runs/{run}")
