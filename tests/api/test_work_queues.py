"""Work queues, and the polls of agents, workers and runners."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.models import Deployment, WorkQueue
from tests.factories import make_flow, make_flow_run, make_state

pytestmark = pytest.mark.django_db
MISSING = "00000000-0000-4000-8000-000000000000"


def make_queue(api, name="q", **fields):
    return api.send("/work_queues/", {"name": name, **fields}).json()


def make_deployment(queue):
    return Deployment.objects.create(flow=make_flow(), name="d", work_queue_id=queue["id"])


def waiting(queue, name, seconds=-10, **fields):
    at = timezone.now() + timedelta(seconds=seconds)
    state = make_state("SCHEDULED", fields.pop("state", "Scheduled"), scheduled_time=at)
    return make_flow_run(state, name=name, work_queue_id=queue["id"], now=timezone.now(), **fields)


def names(answer):
    return [run["name"] for run in answer.json()]


def test_a_queue_lives_in_the_default_pool(api):
    queue = make_queue(api, description="mine")

    assert (queue["work_pool_name"], queue["is_paused"], queue["status"]) == ("default-agent-pool", False, "NOT_READY")
    assert api.send("/work_queues/", {"name": "q"}).status_code == 409
    assert api.read("/work_queues/name/q").json() == api.read(f"/work_queues/{queue['id']}").json() == queue
    assert names(api.send("/work_queues/filter", {"work_queues": {"name": {"startswith_": ["Q"]}}})) == ["q"]
    assert names(api.send("/work_queues/filter")) == ["default", "q"]
    assert api.read("/work_queues/name/none").status_code == 404
    assert api.read(f"/work_queues/{MISSING}").status_code == 404


def test_a_queue_is_changed_and_deleted(api):
    queue = make_queue(api)
    path = f"/work_queues/{queue['id']}"

    api.call("PATCH", path, {"is_paused": True, "concurrency_limit": 2, "filter": {"tags": ["a"]}})
    changed = api.read(path).json()
    api.call("PATCH", path, {"concurrency_limit": None, "name": "p"})
    freed = api.read(path).json()

    assert (changed["status"], changed["concurrency_limit"], changed["filter"]["tags"]) == ("PAUSED", 2, ["a"])
    assert (freed["name"], freed["concurrency_limit"], freed["is_paused"]) == ("p", None, True)
    assert api.call("PATCH", path, {"name": "default"}).status_code == 409
    assert api.call("DELETE", path).status_code == 204
    assert api.call("DELETE", path).status_code == 404
    assert api.call("PATCH", path, {}).status_code == 404


def test_an_agent_is_given_what_is_due(api, counted):
    queue = make_queue(api)
    waiting(queue, "b", -10)
    waiting(queue, "a", -20)
    waiting(queue, "later", 3600)
    path = f"/work_queues/{queue['id']}/get_runs"

    with counted("poll a work queue"):
        found = api.send(path, {"scheduled_before": timezone.now().isoformat(), "limit": 10})

    assert names(found) == ["a", "b"]
    assert found.json()[0]["work_pool_name"] == "default-agent-pool"
    assert names(api.send(path)) == ["a", "b", "later"]
    assert names(api.send(path, {"limit": 1})) == ["a"]
    assert api.send(path, {"limit": 201}).status_code == 422
    assert api.send(f"/work_queues/{MISSING}/get_runs").status_code == 404


def test_a_worker_gets_each_run_with_its_queue(api):
    api.send("/work_pools/", {"name": "pool"})
    urgent = api.send("/work_pools/pool/queues", {"name": "urgent", "priority": 1}).json()
    usual = api.read("/work_pools/pool/queues/default").json()
    waiting(usual, "old", -50)
    waiting(urgent, "new", -5)
    path = "/work_pools/pool/get_scheduled_flow_runs"

    found = api.send(path, {"scheduled_before": timezone.now().isoformat()}).json()
    one = api.send(path, {"work_queue_names": ["default"]}).json()

    assert [(run["flow_run"]["name"], run["work_queue_id"]) for run in found] == [
        ("new", urgent["id"]),
        ("old", usual["id"]),
    ]
    assert [run["flow_run"]["name"] for run in one] == ["old"]
    assert len(api.send(path, {"work_queue_names": []}).json()) == 2
    assert api.send(path, {"work_queue_names": ["none"]}).status_code == 404
    assert api.send("/work_pools/none/get_scheduled_flow_runs").status_code == 404


def test_a_runner_asks_by_deployment(api):
    queue = make_queue(api)
    deployment = make_deployment(queue)
    waiting(queue, "mine", deployment_id=deployment.pk)
    waiting(queue, "another's")

    found = api.send("/deployments/get_scheduled_flow_runs", {"deployment_ids": [str(deployment.pk)]})

    deployment.refresh_from_db()
    assert names(found) == ["mine"]
    assert deployment.last_polled is not None
    assert api.send("/deployments/get_scheduled_flow_runs", {}).status_code == 422


def test_polls_are_remembered_but_not_each_of_them(api):
    queue = make_queue(api)
    deployment = make_deployment(queue)
    path = f"/work_queues/{queue['id']}/get_runs"

    api.send(path)
    first = WorkQueue.objects.get(pk=queue["id"]).last_polled
    api.send(path)

    deployment.refresh_from_db()
    assert WorkQueue.objects.get(pk=queue["id"]).last_polled == first == deployment.last_polled
    assert api.read(f"/work_queues/{queue['id']}").json()["status"] == "READY"


def test_reading_a_queue_does_not_count_as_serving_it(api):
    queue = make_queue(api)

    api.send(f"/work_queues/{queue['id']}/get_runs", {}, **{"X-PREFECT-UI": "true"})

    assert api.read(f"/work_queues/{queue['id']}").json()["last_polled"] is None


def test_health_shows_whether_runs_are_started_in_time(api):
    queue = make_queue(api)
    path = f"/work_queues/{queue['id']}"
    unserved = api.read(f"{path}/status").json()
    api.send(f"{path}/get_runs")
    healthy = api.read(f"{path}/status").json()
    waiting(queue, "late", state="Late")

    late = api.read(f"{path}/status").json()

    policy = {"maximum_late_runs": 0, "maximum_seconds_since_last_polled": 60}
    assert (unserved["healthy"], unserved["last_polled"]) == (False, None)
    assert (healthy["healthy"], healthy["late_runs_count"], healthy["health_check_policy"]) == (True, 0, policy)
    assert (late["healthy"], late["late_runs_count"]) == (False, 1)


def test_the_queues_of_a_deployment_are_listed(api):
    queue = make_queue(api)
    deployment = make_deployment(queue)

    assert names(api.read(f"/deployments/{deployment.pk}/work_queue_check")) == ["q"]
    assert api.read(f"/deployments/{MISSING}/work_queue_check").status_code == 404
