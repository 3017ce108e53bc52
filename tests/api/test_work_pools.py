"""Work pools, their queues and their workers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.models import Worker, WorkPool, WorkQueue

pytestmark = pytest.mark.django_db


def make_pool(api, name="pool", **fields):
    return api.send("/work_pools/", {"name": name, "type": "process", **fields})


def beat(api, name="w1", pool="pool", **fields):
    return api.send(f"/work_pools/{pool}/workers/heartbeat", {"name": name, **fields})


def test_a_pool_is_created_with_its_default_queue(api):
    template = {"job_configuration": {"command": "{{ command }}"}, "variables": {"properties": {"command": {}}}}
    made = make_pool(api, base_job_template=template, concurrency_limit=3)

    pool = made.json()
    queue = api.read("/work_pools/pool/queues/default").json()
    assert made.status_code == 201
    assert (pool["status"], pool["is_paused"], pool["concurrency_limit"]) == ("NOT_READY", False, 3)
    assert pool["default_queue_id"] == queue["id"]
    assert (queue["work_pool_name"], queue["priority"], queue["status"]) == ("pool", 1, "NOT_READY")
    assert api.read("/work_pools/pool").json() == pool == api.send("/work_pools/filter").json()[0]


def test_a_template_of_which_no_job_can_be_created_is_refused(api):
    template = {"job_configuration": {"image": "{{ image }}"}, "variables": {"properties": {"command": {}}}}
    make_pool(api)

    answers = [make_pool(api, "b", base_job_template=template)]
    answers += [api.call("PATCH", "/work_pools/pool", {"base_job_template": template})]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert "image, which variables do not declare" in answers[0].json()["detail"]
    assert api.read("/work_pools/pool").json()["base_job_template"] == {}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_pool_of_containers_begins_with_the_usual_template(api, kind):
    made = make_pool(api, type=kind).json()
    own = {"job_configuration": {"image": "{{ image }}"}, "variables": {"properties": {"image": {"type": "string"}}}}

    changed = [api.call("PATCH", "/work_pools/pool", {"base_job_template": one}).status_code for one in (own, {})]

    usual = api.read("/collections/views/aggregate-worker-metadata").json()["orion"][kind]
    assert changed == [204, 204]
    assert made["base_job_template"] == usual["default_base_job_configuration"]
    assert api.read("/work_pools/pool").json()["base_job_template"] == made["base_job_template"]


@pytest.mark.parametrize(
    ("kind", "variables", "words"),
    [
        ("docker", {"image": "x", "mem_limit": "much"}, "mem_limit"),
        ("docker", {"image": "x", "memroy": "1g"}, "memroy"),
        ("docker", {"image": "x", "cpus": 0}, "cpus"),
        ("docker", {"image": "x", "privileged": True}, "privileged"),
        ("kubernetes", {"image": "x", "memory_limit": "1 GB"}, "memory_limit"),
        ("kubernetes", {"image": 3}, "image"),
        ("kubernetes", {}, "image"),
    ],
)
def test_job_variables_that_do_not_fit_are_refused_with_the_name_of_the_field(api, kind, variables, words):
    make_pool(api, type=kind)
    flow = api.send("/flows/", {"name": "etl"}).json()["id"]
    made = api.send("/deployments/", {"flow_id": flow, "name": "d", "work_pool_name": "pool"}).json()["id"]

    refused = api.send(f"/deployments/{made}/create_flow_run", {"job_variables": variables})

    assert refused.status_code in (409, 422)
    assert words in refused.json()["detail"]


def test_clients_cannot_set_whether_agents_serve_a_pool(api):
    made = make_pool(api, "agents", type="prefect-agent").json()

    assert made["status"] is None


def test_a_name_is_unique_and_must_be_valid(api):
    make_pool(api)

    assert make_pool(api).status_code == 409
    assert "change that one" in make_pool(api).json()["detail"]
    assert make_pool(api, "a/b").status_code == 422
    assert make_pool(api, "b", unknown=1).status_code == 422
    assert api.read("/work_pools/none").status_code == 404


def test_a_pool_is_paused_limited_and_set_free_again(api):
    make_pool(api)

    assert api.call("PATCH", "/work_pools/pool", {"is_paused": True, "concurrency_limit": 4}).status_code == 204
    paused = api.read("/work_pools/pool").json()
    api.call("PATCH", "/work_pools/pool", {"is_paused": None, "concurrency_limit": None})
    still = api.read("/work_pools/pool").json()

    assert (paused["status"], paused["concurrency_limit"]) == ("PAUSED", 4)
    assert (still["is_paused"], still["concurrency_limit"]) == (True, None)
    assert api.call("PATCH", "/work_pools/none", {}).status_code == 404


@pytest.mark.parametrize("key", ["deployment", "author", "tag:team"])
def test_a_pool_shares_fairly_by_what_it_is_asked_to(api, key):
    make_pool(api, fair_share="deployment")

    assert api.call("PATCH", "/work_pools/pool", {"fair_share": key}).status_code == 204
    shared = api.read("/work_pools/pool").json()
    api.call("PATCH", "/work_pools/pool", {"fair_share": None})

    assert shared["fair_share"] == key
    assert "fair_share" not in api.read("/work_pools/pool").json()


@pytest.mark.parametrize("key", ["", "owner", "tag:", "tag:a b", "tag:a:b", "tag:" + "x" * 252])
def test_other_keys_of_fair_shares_are_refused(api, key):
    assert make_pool(api, fair_share=key).status_code == 422


def test_a_deleted_pool_takes_its_queues_and_workers_along(api):
    make_pool(api)
    beat(api)

    assert api.call("DELETE", "/work_pools/pool").status_code == 204

    assert api.call("DELETE", "/work_pools/pool").status_code == 404
    assert not WorkPool.objects.exists()
    assert not WorkQueue.objects.exists()
    assert not Worker.objects.exists()


def test_pools_are_searched_and_counted(api):
    make_pool(api, "b")
    make_pool(api, "a", type="other")

    assert [pool["name"] for pool in api.send("/work_pools/filter", {}).json()] == ["a", "b"]
    asked = {"work_pools": {"type": {"any_": ["process"]}}}
    assert [pool["name"] for pool in api.send("/work_pools/filter", asked).json()] == ["b"]
    assert api.send("/work_pools/count", asked).json() == 1


def test_a_worker_that_reports_makes_its_pool_ready(api):
    make_pool(api)

    assert beat(api, heartbeat_interval_seconds=12.0).status_code == 204
    beat(api)

    asked = {"workers": {"status": {"any_": ["ONLINE"]}}}
    (worker,) = api.send("/work_pools/pool/workers/filter", asked).json()
    assert (worker["name"], worker["heartbeat_interval_seconds"], worker["status"]) == ("w1", 12, "ONLINE")
    assert api.read("/work_pools/pool").json()["status"] == "READY"


def test_a_worker_that_is_silent_is_offline_and_its_pool_not_ready(api):
    make_pool(api)
    beat(api)
    Worker.objects.update(offline_at=timezone.now() - timedelta(seconds=1))

    (worker,) = api.send("/work_pools/pool/workers/filter", {"workers": {"status": {"not_any_": ["ONLINE"]}}}).json()

    assert worker["status"] == "OFFLINE"
    assert api.send("/work_pools/pool/workers/filter", {"workers": {"status": {"any_": ["ONLINE"]}}}).json() == []
    assert api.read("/work_pools/pool").json()["status"] == "NOT_READY"


def test_workers_are_forgotten_and_unknown_pools_refused(api):
    make_pool(api)
    beat(api)

    assert api.call("DELETE", "/work_pools/pool/workers/w1").status_code == 204
    assert api.call("DELETE", "/work_pools/pool/workers/w1").status_code == 404
    assert api.send("/work_pools/pool/workers/filter").json() == []
    assert beat(api, pool="none").status_code == 404
    assert api.send("/work_pools/none/workers/filter").status_code == 404


def test_queues_of_a_pool_keep_an_order_without_ties(api):
    make_pool(api)
    api.send("/work_pools/pool/queues", {"name": "fast", "priority": 1})
    slow = api.send("/work_pools/pool/queues", {"name": "slow"}).json()

    order = [(q["name"], q["priority"]) for q in api.send("/work_pools/pool/queues/filter").json()]
    api.call("PATCH", "/work_pools/pool/queues/slow", {"priority": 1, "description": "now first"})
    changed = [(q["name"], q["priority"]) for q in api.send("/work_pools/pool/queues/filter").json()]

    assert order == [("fast", 1), ("default", 2), ("slow", 3)]
    assert changed == [("slow", 1), ("fast", 2), ("default", 3)]
    assert api.read(f"/work_queues/{slow['id']}").json()["description"] == "now first"
    assert api.send("/work_pools/pool/queues", {"name": "x", "priority": 0}).status_code == 422


def test_the_default_queue_stays_as_long_as_its_pool(api):
    make_pool(api)
    api.send("/work_pools/pool/queues", {"name": "other"})

    refused = api.call("DELETE", "/work_pools/pool/queues/default")

    assert refused.status_code == 409
    assert "default queue" in refused.json()["detail"]
    assert "is deleted with its pool" in refused.json()["detail"], "no other queue can be made the default"
    assert api.call("DELETE", "/work_pools/pool/queues/other").status_code == 204
    assert api.call("DELETE", "/work_pools/pool/queues/other").status_code == 404
    assert api.send("/work_pools/none/queues", {"name": "x"}).status_code == 404
    assert api.send("/work_pools/none/queues/filter").status_code == 404


@pytest.mark.parametrize("path", ["/work_queues/", "/work_pools/pool/queues"])
def test_a_queue_may_be_created_without_optional_fields(api, path):
    make_pool(api)
    given = dict.fromkeys(("description", "concurrency_limit", "priority", "filter"))

    made = api.send(path, {"name": "quiet", "is_paused": False, **given})

    assert (made.status_code, made.json()["description"], made.json()["concurrency_limit"]) == (201, "", None)
