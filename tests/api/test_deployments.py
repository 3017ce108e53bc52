"""Deployments over the API: made by flow and name, changed, paused, deleted; what becomes of their planned runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from deployments.models import Schedule

# Its next run is a quarter of an hour away when the tests are read, so that it does not come while one of them looks.
_ANCHOR = (datetime.now(UTC) - timedelta(days=90, minutes=15)).replace(second=30, microsecond=0)
HALF_HOURLY = {"interval": 1800, "anchor_date": _ANCHOR.isoformat(), "timezone": "UTC"}


def deploy(api, name="nightly", flow="census", **fields):
    flow_id = api.send("/flows/", {"name": flow}).json()["id"]
    return api.send("/deployments/", {"name": name, "flow_id": flow_id, **fields})


def planned_runs(api, deployment, **more):
    asked = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_ASC", **more}
    return api.send("/flow_runs/filter", asked).json()


def test_a_deployment_is_created_with_defaults_for_omitted_fields(api):
    answer = deploy(api, tags=["a"], parameters={"n": 1}, entrypoint="flows.py:census")

    made = answer.json()
    assert answer.status_code == 201
    assert (made["paused"], made["is_schedule_active"], made["schedules"], made["schedule"]) == (False, True, [], None)
    assert (made["status"], made["work_queue_name"], made["work_pool_name"]) == ("NOT_READY", None, None)
    assert made.keys().isdisjoint({"overlap", "concurrency_limit", "must_start_within", "crash_retries"})
    assert api.read(f"/deployments/{made['id']}").json() == made
    assert api.read("/deployments/name/census/nightly").json() == made


def test_a_half_hourly_schedule_shows_three_runs_at_once(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}], parameters={"n": 1}, tags=["mine"]).json()

    runs = planned_runs(api, made)
    times = [datetime.fromisoformat(run["next_scheduled_start_time"]) for run in runs]
    assert len(runs) == 3
    assert {(later - earlier).total_seconds() for earlier, later in zip(times, times[1:], strict=False)} == {1800}
    assert {time.second for time in times} == {30}
    first = runs[0]
    assert (first["state_name"], first["state"]["message"]) == ("Scheduled", "Flow run scheduled")
    assert (first["auto_scheduled"], first["parameters"], first["tags"]) == (True, {"n": 1}, ["auto-scheduled", "mine"])
    assert first["idempotency_key"].startswith(f"scheduled {made['id']} 20")
    assert first["expected_start_time"] == first["next_scheduled_start_time"]


def test_a_run_inherits_from_its_deployment(api):
    made = deploy(api, parameters={"a": 1, "b": 2}, tags=["d"], version="v7").json()

    asked = {"parameters": {"b": 3, "c": 4}, "tags": ["r", "d"], "name": "mine"}
    answer = api.send(f"/deployments/{made['id']}/create_flow_run", asked)

    run = answer.json()
    assert answer.status_code == 201
    assert (run["parameters"], run["tags"], run["name"]) == ({"a": 1, "b": 3, "c": 4}, ["d", "r"], "mine")
    assert (run["state_name"], run["deployment_version"], run["auto_scheduled"]) == ("Scheduled", "v7", False)
    assert run["deployment_id"] == made["id"]


def test_the_same_name_again_changes_only_what_is_sent_and_replaces_the_schedules(api):
    first = deploy(api, description="x", tags=["a"], schedules=[{"schedule": HALF_HOURLY}]).json()

    again = deploy(api, tags=["b"])

    answer = again.json()
    assert (again.status_code, answer["id"]) == (200, first["id"])
    assert (answer["description"], answer["tags"], answer["schedules"]) == ("x", ["b"], [])
    assert planned_runs(api, first) == []


def test_a_change_replans_future_runs_and_leaves_manual_ones(api):
    made = deploy(api, parameters={"n": 1}, schedules=[{"schedule": HALF_HOURLY}]).json()
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    manual = api.send(f"/deployments/{made['id']}/create_flow_run", {"state": later}).json()
    before = {run["id"] for run in planned_runs(api, made)}

    answer = api.call("PATCH", f"/deployments/{made['id']}", {"parameters": {"n": 2}})

    after = planned_runs(api, made)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {run["id"] for run in after} & before == {manual["id"]}
    assert [run["parameters"] for run in after] == [{"n": 2}] * 3 + [{"n": 1}]
    assert list(Schedule.objects.values_list("runs_planned", flat=True)) == [3]


@pytest.mark.parametrize(
    ("pause", "resume"), [("pause_deployment", "resume_deployment"), ("set_schedule_inactive", "set_schedule_active")]
)
def test_a_paused_deployment_has_no_planned_runs(api, pause, resume):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    path = f"/deployments/{made['id']}"

    paused = api.send(f"{path}/{pause}")
    while_paused, planned = api.read(path).json(), planned_runs(api, made)
    api.send(f"{path}/{resume}")

    resumed = api.read(path).json()
    assert paused.status_code == 200
    assert (while_paused["paused"], while_paused["is_schedule_active"], planned) == (True, False, [])
    assert while_paused["schedules"][0]["active"] is False
    assert (resumed["paused"], resumed["schedules"][0]["active"]) == (False, True)
    assert len(planned_runs(api, made)) == 3


def test_calls_that_know_one_schedule_are_refused_for_two(api):
    daily = {"schedule": {"interval": 86_400}}
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}, daily]).json()
    path = f"/deployments/{made['id']}"

    refused = [
        api.send(f"{path}/pause_deployment"),
        api.call("PATCH", path, {"is_schedule_active": False}),
        api.call("PATCH", path, {"schedule": HALF_HOURLY}),
    ]
    paused = api.call("PATCH", path, {"paused": True})

    assert [answer.status_code for answer in refused] == [422, 422, 422]
    assert "several schedules" in refused[0].json()["detail"]
    assert paused.status_code == 204
    assert planned_runs(api, made) == []


def test_is_schedule_active_pauses_the_deployment_and_its_schedule_or_changes_nothing(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    path = f"/deployments/{made['id']}"

    refused = api.call("PATCH", path, {"is_schedule_active": False, "work_pool_name": "no-such-pool"})
    then = api.read(path).json()
    changed = api.call("PATCH", path, {"is_schedule_active": False, "version": "2"})

    now = api.read(path).json()
    assert (refused.status_code, changed.status_code) == (404, 204)
    assert (then["paused"], then["schedules"][0]["active"], then["version"]) == (False, True, None)
    assert (now["paused"], now["schedules"][0]["active"], now["version"]) == (True, False, "2")
    assert planned_runs(api, made) == []


def test_a_deployment_is_deleted_with_every_run_that_has_not_started(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}], must_start_within=60).json()
    path = f"/deployments/{made['id']}"
    begun = api.send(f"{path}/create_flow_run", {}).json()
    api.send(f"/flow_runs/{begun['id']}/set_state", {"state": {"type": "PENDING"}})
    api.send(f"{path}/create_flow_run", {})

    answer = api.call("DELETE", path)

    assert (answer.status_code, api.read(path).status_code) == (204, 404)
    assert api.read("/deployments/name/census/nightly").json() == {"detail": "Deployment not found"}
    left = api.send("/flow_runs/filter", {}).json()
    assert [run["id"] for run in left] == [begun["id"]]


def test_deployments_are_found_and_counted(api):
    one = deploy(api, "one", tags=["a"]).json()
    deploy(api, "two", flow="other")
    asked = {"deployments": {"tags": {"all_": ["a"]}}, "flows": {"name": {"any_": ["census"]}}}

    found = api.send("/deployments/filter", asked).json()

    assert [each["id"] for each in found] == [one["id"]]
    assert [each["name"] for each in api.send("/deployments/filter", {"sort": "NAME_DESC"}).json()] == ["two", "one"]
    assert api.send("/deployments/count", {"deployments": {"name": {"like_": "ON"}}}).json() == 1
    assert api.send("/deployments/count").json() == 2
    assert api.send("/deployments/filter", {"flow_runs": {}}).json() == []


def test_a_list_of_deployments_takes_a_constant_number_of_queries(api, counted):
    for number in range(5):
        deploy(api, f"d{number}", schedules=[{"schedule": HALF_HOURLY}, {"schedule": {"interval": 86_400}}])

    with counted("list deployments"):
        found = api.send("/deployments/filter", {}).json()

    assert [len(each["schedules"]) for each in found] == [2] * 5


def test_a_deployment_waits_in_the_queue_that_it_names(api):
    queued = deploy(api, "queued", work_queue_name="fast").json()
    pool = api.send("/work_pools/", {"name": "machines", "type": "process"}).json()
    pooled = deploy(api, "pooled", work_pool_name="machines").json()

    run = api.send(f"/deployments/{queued['id']}/create_flow_run", {}).json()

    assert (queued["work_queue_name"], queued["work_pool_name"]) == ("fast", "default-agent-pool")
    assert (pooled["work_queue_name"], pooled["work_pool_name"]) == ("default", pool["name"])
    assert (run["work_queue_name"], run["work_pool_name"]) == ("fast", "default-agent-pool")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"work_pool_name": "nowhere"}, 404),
        ({"storage_document_id": "00000000-0000-0000-0000-000000000001"}, 409),
        ({"parameter_openapi_schema": {"type": 5}, "enforce_parameter_schema": True}, 422),
        (
            {
                "parameter_openapi_schema": {"properties": {"a": {"type": "integer"}}},
                "enforce_parameter_schema": True,
                "parameters": {"a": "text"},
            },
            422,
        ),
        ({"colour": "red"}, 422),
        ({"overlap": "dance"}, 422),
        ({"job_variables": {"a": 1}, "infra_overrides": {"b": 1}}, 422),
        ({"schedules": [{"schedule": {"cron": "nonsense"}}]}, 422),
        ({"schedules": [{"schedule": {"cron": "* * * * *", "timezone": "Mars/Base"}}]}, 422),
        ({"schedules": [{"schedule": {"interval": 0}}]}, 422),
        ({"schedules": [{"schedule": HALF_HOURLY, "calendars": ["nowhere"]}]}, 404),
    ],
)
def test_invalid_deployments_are_refused_and_nothing_is_stored(api, fields, status):
    answer = deploy(api, **fields)

    assert answer.status_code == status
    assert api.send("/deployments/count").json() == 0


@pytest.mark.parametrize(("sent", "kept"), [({"timezone": None}, None), ({}, "UTC"), ({"timezone": "UTC"}, "UTC")])
def test_a_cron_expression_keeps_the_null_that_its_client_compares_with(api, sent, kept):
    made = deploy(api, schedules=[{"schedule": {"cron": "0 6 * * *", **sent}}]).json()

    assert made["schedules"][0]["schedule"]["timezone"] == made["schedule"]["timezone"] == kept
    assert planned_runs(api, made) or made["paused"]


def test_a_deployment_of_an_unknown_flow_is_a_conflict(api):
    unknown = {"name": "x", "flow_id": "00000000-0000-0000-0000-000000000001"}

    assert api.send("/deployments/", unknown).status_code == 409


def test_names_of_older_clients_mean_the_same(api):
    old = {"schedule": HALF_HOURLY, "is_schedule_active": False, "infra_overrides": {"a": 1}, "worker_pool_name": "x"}

    made = deploy(api, **old).json()

    assert (made["paused"], made["infra_overrides"], made["schedule"]["interval"]) == (True, {"a": 1}, 1800)
    assert [schedule["active"] for schedule in made["schedules"]] == [False]
    assert planned_runs(api, made) == []


def register(api, *queues):
    body = {"name": "agent-7", "incarnation": str(uuid4()), "work_queues": list(queues), "concurrency": 1}
    answer = api.send("/agents/", body)
    assert answer.status_code in {200, 201}, answer.content


def test_deployment_is_ready_while_an_agent_serves_its_queue(api):
    flow = api.send("/flows/", {"name": "etl"}).json()
    made = api.send("/deployments/", {"name": "prod", "flow_id": flow["id"], "work_queue_name": "fast"}).json()
    assert made["status"] == "NOT_READY"

    register(api, "fast")

    assert api.read(f"/deployments/{made['id']}").json()["status"] == "READY"
