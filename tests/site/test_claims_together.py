"""Agents that ask a real server at once: more of them than it has threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from tests.homes import ready_home
from tests.site.running import RunningServer, orion, running_server

AGENTS = 24


def post(server: RunningServer, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    content = json.dumps(body).encode()
    status, _, answer = server.request("POST", f"/api{path}", content, {"Content-Type": "application/json", **headers})
    return status, json.loads(answer)


def registered(server: RunningServer, number: int) -> tuple[str, str]:
    incarnation = str(uuid4())
    who = {"name": f"agent-{number}", "incarnation": incarnation, "work_queues": ["default"]}
    return post(server, "/agents/", who)[1]["id"], incarnation


def test_more_agents_than_threads_are_answered_each_with_its_own(tmp_path):
    with running_server(tmp_path) as server:
        _, flow = post(server, "/flows/", {"name": "claimed"})
        fields = {"name": "d", "flow_id": flow["id"], "entrypoint": "f.py:f", "work_queue_name": "default"}
        _, deployment = post(server, "/deployments/", fields)
        runs = {
            post(server, f"/deployments/{deployment['id']}/create_flow_run", {})[1]["id"] for _ in range(AGENTS + 5)
        }
        agents = [registered(server, number) for number in range(AGENTS)]
        # Somebody else goes by the name of the first one now.
        registered(server, 0)

        def claim(agent: tuple[str, str]) -> tuple[int, Any]:
            return post(server, f"/agents/{agent[0]}/claim", {"incarnation": agent[1], "limit": 1})

        with ThreadPoolExecutor(AGENTS) as threads:
            answers = list(threads.map(claim, agents))

    claimed = [one["flow_run"]["id"] for status, answer in answers[1:] for one in answer]
    assert [status for status, _ in answers] == [409] + [200] * (AGENTS - 1)
    assert answers[0][1]["code"] == "agent_replaced"
    assert len(set(claimed)) == len(claimed) == AGENTS - 1
    assert set(claimed) <= runs
    assert {one["flow_run"]["state_type"] for _, answer in answers[1:] for one in answer} == {"PENDING"}


def test_an_agent_with_a_key_for_one_queue_is_given_its_runs(tmp_path):
    ready_home(tmp_path)
    for words in (
        ("group", "create", "team", "--role", "agent:work-queue:default-agent-pool/default"),
        ("user", "create", "gwen", "--group", "team", "--service"),
    ):
        done = orion(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    key = json.loads(orion(tmp_path, "key", "create", "agent", "--user", "gwen", "-o", "json").stdout)["key"]

    with running_server(tmp_path) as server:
        _, flow = post(server, "/flows/", {"name": "claimed"})
        fields = {"name": "d", "flow_id": flow["id"], "entrypoint": "f.py:f", "work_queue_name": "default"}
        _, deployment = post(server, "/deployments/", fields)
        _, run = post(server, f"/deployments/{deployment['id']}/create_flow_run", {})
        who = {"name": "a", "incarnation": str(uuid4()), "work_queues": ["default"]}
        _, agent = post(server, "/agents/", who, Authorization=f"Bearer {key}")
        request = {"incarnation": who["incarnation"], "limit": 5}
        status, claimed = post(server, f"/agents/{agent['id']}/claim", request, Authorization=f"Bearer {key}")

    assert (status, [one["flow_run"]["id"] for one in claimed]) == (200, [run["id"]])
