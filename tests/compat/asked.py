"""Requests to both servers: one good request of each kind, and everything that can be wrong with its fields.

`$name` stands for the id that an earlier answer is kept under, `$new` for a word that is new each time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

FAR = "2035-05-05T05:05:05+00:00"
NONE = "00000000-0000-4000-8000-000000000000"
STATES = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED", "FAILED", "CRASHED")
# In place of each field of each request; MISSING leaves it out, EXTRA puts an unknown one beside it. Numbers are not
# here: that server makes texts of them, and ours refuses them.
MISSING, EXTRA = object(), object()
ODD = (None, MISSING, EXTRA, "text", "5", "2035-01-01", {}, [None], ["x"], {"x": 1})
# Free JSON is not taken apart.
FREE = frozenset(
    {"parameters", "context", "data", "base_job_template", "job_variables", "infra_overrides", "fields", "metadata_"}
    | {"parameter_openapi_schema", "state_details"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; the id in its answer is kept under a name."""

    call: str
    body: Any = None
    keep: str = ""

    @property
    def method(self) -> str:
        return self.call.split()[0]

    @property
    def path(self) -> str:
        return self.call.split()[1]


LATER = {"type": "SCHEDULED", "name": "Later", "message": "m", "state_details": {"scheduled_time": FAR}}
POLICY = {"max_retries": 0, "retry_delay_seconds": 0, "retries": 1, "retry_delay": 2}
TEMPLATE = {"job_configuration": {"c": "{{ c }}"}, "variables": {"properties": {"c": {"type": "string"}}}}
SCHEMA = {"title": "T$new", "type": "object", "properties": {"a": {"type": "string"}}}
PAGE = {"limit": 5, "offset": 0}
CRON = {"cron": "0 0 * * *", "timezone": "UTC", "day_or": True}

MADE = [
    Asked("POST /flows/", {"name": "$new", "tags": ["a"]}, "flow"),
    Asked("POST /work_pools/", {"name": "$run-pool", "type": "process", "base_job_template": TEMPLATE}, "pool"),
    Asked("POST /deployments/", {"name": "d", "flow_id": "$flow", "work_pool_name": "$run-pool"}, "deployment"),
    Asked("POST /flow_runs/", {"flow_id": "$flow", "name": "r", "state": {"type": "RUNNING"}}, "flow_run"),
    Asked(
        "POST /task_runs/", {"flow_run_id": "$flow_run", "task_key": "k", "dynamic_key": "0", "name": "t"}, "task_run"
    ),
    Asked("POST /work_queues/", {"name": "$run-queue"}, "queue"),
    Asked("POST /variables/", {"name": "$new", "value": "1"}, "variable"),
    Asked("POST /v2/concurrency_limits/", {"name": "$run-rate", "limit": 100_000}, "limit"),
    Asked("POST /artifacts/", {"key": "$new", "type": "markdown", "data": "x"}, "artifact"),
    Asked("POST /block_types/", {"name": "$run type", "slug": "$run-type"}, "block_type"),
    Asked("POST /block_schemas/", {"fields": SCHEMA, "block_type_id": "$block_type", "version": "1"}, "block_schema"),
    Asked(
        "POST /block_documents/",
        {"name": "doc", "data": {"a": "x"}, "block_schema_id": "$block_schema", "block_type_id": "$block_type"},
        "block",
    ),
]

CHANGED = [
    Asked("POST /flows/", {"name": "$new", "tags": ["a"]}),
    Asked("PATCH /flows/$flow", {"tags": ["a"]}),
    Asked(
        "POST /flow_runs/",
        {
            **{"flow_id": "$flow", "name": "r", "parameters": {"a": 1}, "context": {}, "tags": ["a"], "state": LATER},
            **{"flow_version": "1", "empirical_policy": POLICY, "idempotency_key": "$new", "parent_task_run_id": None},
        },
    ),
    Asked(
        "PATCH /flow_runs/$flow_run",
        {"name": "s", "flow_version": "2", "parameters": {"a": 1}, "empirical_policy": POLICY, "tags": ["a"]},
    ),
    Asked("POST /flow_runs/$flow_run/set_state", {"state": {"type": "RUNNING", "message": "m"}, "force": True}),
    Asked("POST /flow_runs/$flow_run/input", {"key": "$new", "value": "v", "sender": "s"}),
    Asked("POST /flow_runs/$flow_run/input/filter", {"prefix": "none", "limit": 1, "exclude_keys": []}),
    Asked(
        "POST /task_runs/",
        {
            **{"flow_run_id": "$flow_run", "task_key": "$new", "dynamic_key": "0", "name": "t", "tags": ["a"]},
            **{"cache_key": None, "empirical_policy": {**POLICY, "retry_jitter_factor": 0.5}, "state": LATER},
        },
    ),
    Asked("PATCH /task_runs/$task_run", {"name": "t"}),
    Asked("POST /task_runs/$task_run/set_state", {"state": {"type": "RUNNING"}, "force": True}),
    Asked(
        "POST /deployments/",
        {
            **{"name": "$new", "flow_id": "$flow", "version": "1", "parameters": {"a": 1}, "description": "d"},
            **{"work_queue_name": "q", "work_pool_name": "$run-pool", "tags": ["a"], "path": "p", "entrypoint": "e"},
            **{"paused": True, "enforce_parameter_schema": False, "job_variables": {"c": "x"}, "pull_steps": []},
            "schedules": [{"schedule": CRON, "active": False}],
        },
    ),
    Asked("POST /deployments/$deployment/schedules", [{"schedule": {"interval": 36000, "anchor_date": FAR}}]),
    Asked(
        "POST /deployments/$deployment/create_flow_run",
        {"name": "r", "parameters": {}, "tags": ["a"], "idempotency_key": "$new", "state": LATER, "context": {}},
    ),
    Asked("POST /logs/", [{"name": "n", "level": 10, "message": "m", "timestamp": FAR, "flow_run_id": "$flow_run"}]),
    Asked("POST /concurrency_limits/", {"tag": "$new", "concurrency_limit": 1}),
    Asked("POST /v2/concurrency_limits/", {"name": "$new", "limit": 1, "active": True, "slot_decay_per_second": 0.0}),
    Asked("PATCH /v2/concurrency_limits/$limit", {"limit": 100_000, "active": True, "active_slots": 0}),
    Asked("POST /v2/concurrency_limits/increment", {"slots": 1, "names": ["$run-rate"], "mode": "concurrency"}),
    Asked("POST /v2/concurrency_limits/decrement", {"slots": 1, "names": ["$run-rate"], "occupancy_seconds": 1.0}),
    Asked("POST /work_pools/", {"name": "$new", "description": "d", "type": "process", "concurrency_limit": 3}),
    Asked("PATCH /work_pools/$run-pool", {"description": "d", "is_paused": False, "concurrency_limit": 4}),
    Asked(
        "POST /work_pools/$run-pool/queues",
        {"name": "$new", "description": "d", "is_paused": False, "concurrency_limit": 3, "priority": 2, "filter": None},
    ),
    Asked("PATCH /work_pools/$run-pool/queues/default", {"description": "d", "priority": 1, "concurrency_limit": 3}),
    Asked("POST /work_pools/$run-pool/workers/heartbeat", {"name": "w", "heartbeat_interval_seconds": 30}),
    Asked("POST /work_pools/$run-pool/get_scheduled_flow_runs", {"work_queue_names": ["default"], "limit": 0}),
    Asked("POST /work_queues/", {"name": "$new", "description": "d", "concurrency_limit": 3, "priority": 2}),
    Asked("PATCH /work_queues/$queue", {"description": "d", "is_paused": False, "concurrency_limit": 3}),
    Asked("POST /work_queues/$queue/get_runs", {"scheduled_before": FAR, "limit": 2, "agent_id": None}),
    Asked("POST /artifacts/", {"key": "$new", "type": "markdown", "description": "d", "data": "x", "metadata_": {}}),
    Asked("PATCH /artifacts/$artifact", {"data": "x", "description": "d", "metadata_": {"a": "b"}}),
    Asked("POST /variables/", {"name": "$new", "value": "x", "tags": ["a"]}),
    Asked("PATCH /variables/$variable", {"value": "x", "tags": ["a"]}),
    Asked("PATCH /block_documents/$block", {"data": {"a": "y"}, "merge_existing_data": True}),
    Asked("PUT /saved_searches/", {"name": "$new", "filters": []}),
]

WORDS = {"any_": [], "like_": "x"}
MOMENTS = {"before_": FAR, "after_": FAR}
TAGS = {"operator": "and_", "all_": [], "is_null_": False}
STATE = {"operator": "and_", "type": {"any_": ["FAILED"]}, "name": {"any_": []}}
OF_RUNS = {
    **{"operator": "and_", "id": {"any_": []}, "name": WORDS, "tags": TAGS, "state": STATE, "start_time": MOMENTS},
    **{"deployment_id": {"any_": [], "is_null_": False}, "flow_version": {"any_": []}, "expected_start_time": MOMENTS},
    "idempotency_key": {"any_": [], "not_any_": []},
}
OF_TASKS = {"operator": "and_", "name": WORDS, "tags": TAGS, "state": STATE, "subflow_runs": {"exists_": True}}
FILTERED = [
    Asked("POST /flow_runs/filter", {"flow_runs": OF_RUNS, "flows": {"name": WORDS, "tags": TAGS}, **PAGE}),
    Asked("POST /task_runs/filter", {"task_runs": OF_TASKS, "sort": "NAME_ASC", **PAGE}),
    Asked("POST /deployments/filter", {"deployments": {"name": WORDS, "paused": {"eq_": True}, "tags": TAGS}, **PAGE}),
    Asked("POST /logs/filter", {"logs": {"level": {"ge_": 1, "le_": 2}, "timestamp": MOMENTS}, **PAGE}),
    Asked("POST /work_pools/filter", {"work_pools": {"name": {"any_": []}, "type": {"any_": []}}, **PAGE}),
    Asked("POST /artifacts/filter", {"artifacts": {"key": WORDS, "type": {"any_": []}}, "sort": "KEY_ASC", **PAGE}),
    Asked("POST /variables/filter", {"variables": {"name": WORDS, "value": WORDS, "tags": TAGS}, **PAGE}),
    Asked("POST /flow_runs/history", {"history_start": FAR, "history_end": FAR, "history_interval_seconds": 10.0}),
]


def with_odd_fields(asked: Asked) -> Iterator[tuple[str, Asked]]:
    """The request once for each odd value in the place of each of its fields, and the place."""
    for place in _places(asked.body):
        for odd in ODD:
            yield ".".join(map(str, place)), Asked(asked.call, _changed(asked.body, place, odd))


def transitions() -> Iterator[tuple[Asked, Asked]]:
    """A run in each state, and each state proposed to it."""
    for kind, about in (("flow_runs", {"flow_id": "$flow"}), ("task_runs", {"flow_run_id": "$flow_run"})):
        keys = {"task_key": "$new", "dynamic_key": "0"} if kind == "task_runs" else {}
        for before in STATES:
            for after in STATES:
                for force in (False, True):
                    make = Asked(f"POST /{kind}/", {**about, **keys, "name": "r", "state": _state(before)}, "judged")
                    yield make, Asked(f"POST /{kind}/$judged/set_state", {"state": _state(after), "force": force})


def _state(kind: str) -> dict[str, Any]:
    times = {"SCHEDULED": {"scheduled_time": FAR}, "PAUSED": {"pause_timeout": FAR}}
    return {"type": kind, "state_details": times.get(kind, {})}


def _places(body: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(body, dict):
        inner = list(body.items())
        yield from ((*before, name) for name in body)
    elif isinstance(body, list):
        inner = list(enumerate(body[:1]))
    for name, value in inner:
        if name not in FREE:
            yield from _places(value, (*before, name))


def _changed(body: Any, place: Sequence[Any], odd: Any) -> Any:
    changed = copy.deepcopy(body)
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    if odd is MISSING:
        del holder[place[-1]]
    elif odd is EXTRA:
        holder["unknown_field"] = 1
    else:
        holder[place[-1]] = odd
    return changed
