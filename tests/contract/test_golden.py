"""The API answers as the golden files say, for every operation, and they fit the API's own models."""

from __future__ import annotations

import json
import os
import re
from typing import get_origin

import pytest
from pydantic import TypeAdapter

from orion_site.openapi.document import operations
from orionflow.contract.wire import Shaped
from tests.api.conftest import Api
from tests.contract.backfilled import times_are_made_up_for
from tests.contract.changed import many_runs_are_changed
from tests.contract.compared import runs_are_compared
from tests.contract.deployed import deployments_are_made
from tests.contract.exchanges import EXAMPLES, Exchanges, examples, golden, write_golden
from tests.contract.executed import a_run_is_retried, runs_are_executed
from tests.contract.failed import runs_fail
from tests.contract.queued import queues_are_served
from tests.contract.watched import runs_are_watched


class Conversation:
    """Send requests, and record the exchange under the operation's name."""

    def __init__(self) -> None:
        self.api, self.exchanges = Api(), Exchanges()

    def ask(self, name, method, path, body=None):
        answer = self.api.call(method, path, body)
        is_json = answer["Content-Type"] == "application/json" if answer.content else False
        content = answer.json() if is_json else answer.content.decode() or None
        self.exchanges.record(name, method, path, body, answer.status_code, content)
        return content


@pytest.fixture
def conversation(db):
    """The life of a flow with two tasks, and everything that can be asked about it."""
    calls = Conversation()
    flow, run, task = _a_flow_runs(calls)
    _somebody_looks(calls, flow, run, task)
    _a_pause_is_answered(calls, flow)
    _things_are_left_behind(calls, run, task)
    _things_are_shared(calls)
    _blocks_are_defined(calls)
    _the_server_is_asked(calls)
    _somebody_cleans_up(calls, flow, run, task)
    deployments_are_made(calls)
    queues_are_served(calls)
    runs_are_executed(calls)
    runs_are_watched(calls)
    times_are_made_up_for(calls)
    many_runs_are_changed(calls)
    runs_fail(calls)
    a_run_is_retried(calls)
    runs_are_compared(calls)
    return calls.exchanges.recorded


def _a_flow_runs(calls):
    flow = calls.ask("create_flow", "POST", "/flows/", {"name": "census", "tags": ["nightly"]})["id"]
    asked = {"flow_id": flow, "parameters": {"n": 4}, "tags": ["a"]}
    run = calls.ask("create_flow_run", "POST", "/flow_runs/", asked)["id"]
    running = {"type": "RUNNING", "state_details": {"transition_id": "0f0e0d0c-0b0a-4908-8706-050403020100"}}
    calls.ask("set_flow_run_state", "POST", f"/flow_runs/{run}/set_state", {"state": running, "force": False})
    created = {"flow_run_id": run, "task_key": "count-1", "dynamic_key": "0", "empirical_policy": {"retries": 1}}
    task = calls.ask("create_task_run", "POST", "/task_runs/", created)["id"]
    calls.ask("set_task_run_state", "POST", f"/task_runs/{task}/set_state", {"state": {"type": "RUNNING"}})
    failed = {"type": "FAILED", "message": "boom"}
    calls.ask("set_task_run_state_rejected", "POST", f"/task_runs/{task}/set_state", {"state": failed})
    calls.ask("set_task_run_state_aborted", "POST", f"/flow_runs/{run}/set_state", {"state": {"type": "PENDING"}})
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    waiting = calls.ask("create_scheduled_flow_run", "POST", "/flow_runs/", {"flow_id": flow, "state": later})["id"]
    calls.ask("set_flow_run_state_unknown", "POST", f"/flow_runs/{task}/set_state", {"state": {"type": "RUNNING"}})
    calls.api.send(f"/flow_runs/{waiting}/set_state", {"state": {"type": "CANCELLED"}})
    calls.ask("apply_task_run_transitions", "POST", "/task_runs/transitions", _batch(run))
    return flow, run, task


def _batch(run):
    second, unknown = "018f0000-0000-7000-8000-00000000000a", "018f0000-0000-7000-8000-00000000000b"
    states = [
        {"type": type, "id": f"018f0000-0000-7000-8000-0000000000c{number}", "timestamp": "2026-01-05T12:00:00Z"}
        for number, type in enumerate(["PENDING", "RUNNING", "COMPLETED"])
    ]
    inputs = {"x": [{"input_type": "parameter", "name": "n"}]}
    created = {"flow_run_id": run, "task_key": "sum-1", "dynamic_key": "0", "task_inputs": inputs}
    return {
        "sent_at": "2026-01-05T12:00:00Z",
        "items": [
            {"task_run_id": second, "task_run": created, "state": states[0]},
            {"task_run_id": second, "state": states[1]},
            {"task_run_id": second, "state": states[2]},
            {"task_run_id": unknown, "state": {"type": "RUNNING"}},
        ],
        "epochs": {run: 0},
    }


def _somebody_looks(calls, flow, run, task):
    mine = {"flow_runs": {"id": {"any_": [run]}}}
    window = {
        "history_start": "2026-01-05T12:00:00Z",
        "history_end": "2099-01-05T13:00:00Z",
        "history_interval_seconds": 1e9,
    }
    calls.ask("read_flow", "GET", f"/flows/{flow}")
    calls.ask("read_flow_by_name", "GET", "/flows/name/census")
    calls.ask("update_flow", "PATCH", f"/flows/{flow}", {"tags": ["weekly"]})
    calls.ask("filter_flows", "POST", "/flows/filter", {"flows": {"name": {"like_": "cen"}}, "sort": "NAME_DESC"})
    calls.ask("count_flows", "POST", "/flows/count", mine)
    calls.ask("read_flow_run", "GET", f"/flow_runs/{run}")
    calls.ask("update_flow_run", "PATCH", f"/flow_runs/{run}", {"infrastructure_pid": "host:1"})
    calls.ask("filter_flow_runs", "POST", "/flow_runs/filter", {**mine, "limit": 5, "sort": "START_TIME_DESC"})
    calls.ask("filter_flow_runs_refused", "POST", "/flow_runs/filter", {"limit": 201})
    calls.ask("count_flow_runs", "POST", "/flow_runs/count", mine)
    calls.ask("read_flow_run_history", "POST", "/flow_runs/history", {**mine, **window})
    calls.ask("read_average_lateness", "POST", "/flow_runs/lateness", {"flow_runs": {"id": {"any_": []}}})
    calls.ask("explain_flow_run", "GET", f"/flow_runs/{run}/why")
    calls.ask("read_dependencies", "GET", f"/flow_runs/{run}/graph")
    calls.ask("read_graph", "GET", f"/flow_runs/{run}/graph-v2")
    calls.ask("read_task_run", "GET", f"/task_runs/{task}")
    calls.ask("update_task_run", "PATCH", f"/task_runs/{task}", {"name": "count"})
    calls.ask("filter_task_runs", "POST", "/task_runs/filter", {**mine, "sort": "NAME_ASC"})
    calls.ask("count_task_runs", "POST", "/task_runs/count", mine)
    calls.ask("read_task_run_history", "POST", "/task_runs/history", {**mine, **window})
    calls.ask("explain_task_run", "GET", f"/task_runs/{task}/why")
    states = calls.ask("read_flow_run_states", "GET", f"/flow_run_states/?flow_run_id={run}")
    calls.ask("read_flow_run_state", "GET", f"/flow_run_states/{states[0]['id']}")
    states = calls.ask("read_task_run_states", "GET", f"/task_run_states/?task_run_id={task}")
    calls.ask("read_task_run_state", "GET", f"/task_run_states/{states[0]['id']}")
    calls.ask("read_simple_flow_runs", "POST", "/ui/flow_runs/history", mine)
    calls.ask("count_task_runs_by_state", "POST", "/ui/task_runs/count", mine)
    begun = {"task_runs": {"start_time": {"after_": "2026-01-05T12:00:00Z", "before_": "2026-01-05T13:00:00Z"}}}
    calls.ask("count_task_run_outcomes", "POST", "/ui/task_runs/dashboard/counts", begun)


def _a_pause_is_answered(calls, flow):
    run = calls.api.send("/flow_runs/", {"flow_id": flow, "state": {"type": "PAUSED"}}).json()["id"]
    value = {"key": "greeting-1", "value": '"hello"', "sender": "me"}
    calls.ask("create_flow_run_input", "POST", f"/flow_runs/{run}/input", value)
    calls.ask("read_flow_run_input", "GET", f"/flow_runs/{run}/input/greeting-1")
    calls.ask("filter_flow_run_input", "POST", f"/flow_runs/{run}/input/filter", {"prefix": "greeting"})
    calls.ask("delete_flow_run_input", "DELETE", f"/flow_runs/{run}/input/greeting-1")
    calls.ask("resume_flow_run", "POST", f"/flow_runs/{run}/resume", {"run_input": {}})


def _things_are_left_behind(calls, run, task):
    line = {"name": "orion.flow_runs", "level": 20, "message": "hi", "timestamp": "2026-01-05T12:00:00Z"}
    calls.ask("create_logs", "POST", "/logs/", [{**line, "flow_run_id": run}])
    calls.ask("filter_logs", "POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}, "level": {"ge_": 20}}})
    report = {"key": "report", "type": "markdown", "data": "# Hi", "metadata_": {"rows": "3"}, "flow_run_id": run}
    calls.ask("filter_results", "POST", "/results/filter", {"storage": "location:lake"})
    artifact = calls.ask("create_artifact", "POST", "/artifacts/", report)["id"]
    calls.ask("read_artifact", "GET", f"/artifacts/{artifact}")
    calls.ask("read_latest_artifact", "GET", "/artifacts/report/latest")
    calls.ask("update_artifact", "PATCH", f"/artifacts/{artifact}", {"description": "What was counted"})
    calls.ask("filter_artifacts", "POST", "/artifacts/filter", {"artifacts": {"key": {"exists_": True}}})
    calls.ask("count_artifacts", "POST", "/artifacts/count", {})
    calls.ask("filter_latest_artifacts", "POST", "/artifacts/latest/filter", {"sort": "KEY_ASC"})
    calls.ask("count_latest_artifacts", "POST", "/artifacts/latest/count", {})
    calls.ask("delete_artifact", "DELETE", f"/artifacts/{artifact}")
    tagged = {"object": "flow_run", "property": "tags", "type": "string", "operation": "any", "value": ["a"]}
    saved = calls.ask("save_search", "PUT", "/saved_searches/", {"name": "mine", "filters": [tagged]})["id"]
    calls.ask("read_saved_search", "GET", f"/saved_searches/{saved}")
    calls.ask("filter_saved_searches", "POST", "/saved_searches/filter", {})
    calls.ask("delete_saved_search", "DELETE", f"/saved_searches/{saved}")
    gpu = {"tag": "gpu", "concurrency_limit": 1}
    limit = calls.ask("set_concurrency_limit", "POST", "/concurrency_limits/", gpu)["id"]
    calls.ask("reset_concurrency_limit", "POST", "/concurrency_limits/tag/gpu/reset", {"slot_override": [task]})
    calls.ask("read_concurrency_limit", "GET", f"/concurrency_limits/{limit}")
    calls.ask("read_concurrency_limit_by_tag", "GET", "/concurrency_limits/tag/gpu")
    calls.ask("filter_concurrency_limits", "POST", "/concurrency_limits/filter", {})
    calls.ask("delete_concurrency_limit_by_tag", "DELETE", "/concurrency_limits/tag/gpu")
    calls.api.send("/concurrency_limits/", gpu)
    limit = calls.api.read("/concurrency_limits/tag/gpu").json()["id"]
    calls.ask("delete_concurrency_limit", "DELETE", f"/concurrency_limits/{limit}")


def _things_are_shared(calls):
    colour = {"name": "colour", "value": "red", "tags": ["a"]}
    variable = calls.ask("create_variable", "POST", "/variables/", colour)["id"]
    calls.ask("create_variable_again", "POST", "/variables/", colour)
    calls.ask("read_variable", "GET", f"/variables/{variable}")
    calls.ask("read_variable_by_name", "GET", "/variables/name/colour")
    calls.ask("filter_variables", "POST", "/variables/filter", {"variables": {"name": {"like_": "col"}}, "sort": None})
    calls.ask("count_variables", "POST", "/variables/count", {})
    calls.ask("update_variable", "PATCH", f"/variables/{variable}", {"value": "blue"})
    calls.ask("update_variable_by_name", "PATCH", "/variables/name/colour", {"name": "shade"})
    calls.ask("delete_variable_by_name", "DELETE", "/variables/name/shade")
    variable = calls.api.send("/variables/", colour).json()["id"]
    calls.ask("delete_variable", "DELETE", f"/variables/{variable}")
    slot = {"names": ["warehouse"], "slots": 1}
    root = "/v2/concurrency_limits"
    calls.ask("create_global_limit", "POST", f"{root}/", {"name": "warehouse", "limit": 1})
    calls.ask("take_slots", "POST", f"{root}/increment", {**slot, "mode": "concurrency"})
    calls.ask("take_slots_locked", "POST", f"{root}/increment", slot)
    calls.ask("return_slots", "POST", f"{root}/decrement", {**slot, "occupancy_seconds": 0.5})
    calls.ask("update_global_limit", "PATCH", f"{root}/warehouse", {"limit": 2})
    calls.ask("read_global_limit", "GET", f"{root}/warehouse")
    calls.ask("filter_global_limits", "POST", f"{root}/filter", {})
    calls.ask("delete_global_limit", "DELETE", f"{root}/warehouse")


def _blocks_are_defined(calls):
    login = {"name": "Login", "slug": "login", "description": "A user and a password"}
    of_type = calls.ask("create_block_type", "POST", "/block_types/", login)["id"]
    calls.ask("read_block_type", "GET", f"/block_types/{of_type}")
    calls.ask("read_block_type_by_slug", "GET", "/block_types/slug/login")
    calls.ask("update_block_type", "PATCH", f"/block_types/{of_type}", {"code_example": "Login.load('mine')"})
    calls.ask("filter_block_types", "POST", "/block_types/filter", {"block_types": {"slug": {"any_": ["login"]}}})
    form = {"schema": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}}
    calls.ask("validate_against_schema", "POST", "/ui/schemas/validate", {**form, "values": {"n": "four"}})
    calls.ask("validate_against_schema_fits", "POST", "/ui/schemas/validate", {**form, "values": {"n": 4}})
    calls.ask("install_system_block_types", "POST", "/block_types/install_system_block_types")
    fields = {"title": "Login", "secret_fields": ["password"], "block_type_slug": "login"}
    schema = {"block_type_id": of_type, "fields": fields, "capabilities": ["sign-in"], "version": "1.0"}
    made = calls.ask("create_block_schema", "POST", "/block_schemas/", schema)
    calls.ask("read_block_schema", "GET", f"/block_schemas/{made['id']}")
    by_checksum = f"/block_schemas/checksum/{made['checksum']}?version=1.0"
    calls.ask("read_block_schema_by_checksum", "GET", by_checksum)
    own = {"block_schemas": {"block_type_id": {"any_": [of_type]}}}
    calls.ask("filter_block_schemas", "POST", "/block_schemas/filter", own)
    calls.ask("read_block_capabilities", "GET", "/block_capabilities/")
    filled = {"name": "mine", "block_type_id": of_type, "block_schema_id": made["id"]}
    content = {"user": "ada", "password": "lovelace"}
    block = calls.ask("create_block_document", "POST", "/block_documents/", {**filled, "data": content})["id"]
    held = {"inner": {"$ref": {"block_document_id": block}}}
    calls.ask("create_nested_block_document", "POST", "/block_documents/", {**filled, "name": "outer", "data": held})
    calls.ask("read_block_document", "GET", f"/block_documents/{block}?include_secrets=true")
    calls.ask("read_block_document_by_name", "GET", "/block_types/slug/login/block_documents/name/mine")
    calls.ask("read_block_documents_of_type", "GET", "/block_types/slug/login/block_documents")
    calls.ask("update_block_document", "PATCH", f"/block_documents/{block}", {"data": {"user": "bob"}})
    calls.ask("filter_block_documents", "POST", "/block_documents/filter", {"sort": "BLOCK_TYPE_AND_NAME_ASC"})
    calls.ask("count_block_documents", "POST", "/block_documents/count", {})
    calls.ask("delete_block_document", "DELETE", f"/block_documents/{block}")
    calls.ask("delete_block_schema", "DELETE", f"/block_schemas/{made['id']}")
    calls.ask("delete_block_type", "DELETE", f"/block_types/{of_type}")


def _the_server_is_asked(calls):
    calls.ask("check_health", "GET", "/health")
    calls.ask("check_ready", "GET", "/ready")
    calls.ask("say_hello", "GET", "/hello")
    calls.ask("read_api_version", "GET", "/version")
    for what in ("clear", "create", "drop"):
        calls.ask(f"{what}_database", "POST", f"/admin/database/{what}", {"confirm": True})
        calls.ask(f"{what}_database_unconfirmed", "POST", f"/admin/database/{what}")
    calls.ask("read_csrf_token", "GET", "/csrf-token?client=me")
    calls.ask("create_flow_invalid", "POST", "/flows/", {"name": "a/b", "colour": "red"})
    calls.ask("unknown_path", "GET", "/nothing")


def _somebody_cleans_up(calls, flow, run, task):
    calls.ask("delete_task_run", "DELETE", f"/task_runs/{task}")
    calls.ask("delete_flow_run", "DELETE", f"/flow_runs/{run}")
    calls.ask("read_flow_run_missing", "GET", f"/flow_runs/{run}")
    calls.ask("delete_flow", "DELETE", f"/flows/{flow}")


# They describe the installation, on which no client depends.
NOT_RECORDED = {
    # A page.
    "export_flow_run",
    "filter_audit_entries",
    "find_bottlenecks",
    "make_link",
    "read_me",
    "read_services",
    "read_settings",
    "read_version",
    "verify_audit_entries",
}


def test_the_api_answers_as_in_the_golden_files(conversation):
    if os.environ.get("UPDATE_CONTRACT"):
        write_golden(conversation)

    recorded = golden()
    assert conversation.keys() == recorded.keys()
    for name, exchange in conversation.items():
        assert exchange == recorded[name], name


def test_every_operation_is_recorded():
    names = {_snake(operation.__name__) for _, operation in operations()}

    assert names - golden().keys() == NOT_RECORDED


def test_the_examples_of_the_document_are_the_golden_files():
    assert json.loads(EXAMPLES.read_text()) == examples(golden())


def test_golden_files_fit_the_models():
    recorded = golden()
    for _, operation in operations():
        exchange = recorded.get(_snake(operation.__name__))
        answer = operation.answers.get(exchange["status"]) if exchange else None
        if answer is not None:
            TypeAdapter(answer).validate_python(exchange["response"], strict=False)
            assert _extra(answer, exchange["response"]) == set(), operation


def _extra(answer, expected):
    """Return the fields that are answered but not declared."""
    expected = expected[0] if isinstance(expected, list) and expected else expected
    answer = answer.__args__[0] if get_origin(answer) is list else answer
    shapes = [one.kind for one in getattr(answer, "__metadata__", ()) if isinstance(one, Shaped)]
    answer = shapes[0] if shapes else answer
    if fields := getattr(answer, "model_fields", None):
        declared = {one.serialization_alias or name for name, one in fields.items()}
    else:
        declared = getattr(answer, "__annotations__", {}).keys()
    return expected.keys() - declared if declared and isinstance(expected, dict) else set()


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
