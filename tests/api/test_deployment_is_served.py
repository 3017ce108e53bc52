"""Whether a deployment is ready: somebody is there who would run it."""

from __future__ import annotations

from uuid import uuid4

import pytest

pytestmark = pytest.mark.django_db


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
