"""The claims of an agent, against a server that answers when the test wants it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from orionflow.agent.active_runs import ActiveRuns, Stop
from orionflow.agent.agent_client import AgentClient, AgentOptions
from orionflow.agent.claiming import Claims, RunStarter, Slots
from orionflow.agent.heartbeats import Heartbeats
from orionflow.contract.agents import MOST_RUNS, ClaimRequest, Heartbeat, OrdersRequest, RegisteredAgent
from orionflow.contract.ids import uuid7
from orionflow.settings import override_settings
from tests.agents.running import eventually
from tests.sdk_client.scripted_server import Fault, ScriptedServer, Seen, answer


class Ready:
    """An infrastructure that is ready, and that no run reaches."""

    def is_ready(self, patience: float) -> bool:
        return True


def test_an_agent_with_more_slots_than_a_request_may_name_claims_and_keeps_runs(tmp_path: Path):
    server = ScriptedServer()
    server.fault_of = judged_by_the_contract
    options = AgentOptions(home=tmp_path, concurrency=2500)
    with override_settings(api_url=server.url):
        api = AgentClient(options, "agent")
    api.registration = RegisteredAgent(id=uuid7(), lease_seconds=60, heartbeat_seconds=60, poll_seconds=60)
    active, slots = ActiveRuns(), Slots(options.concurrency)
    starter = RunStarter(options, api, active, Ready(), tmp_path, lambda end: None)  # type: ignore[arg-type]
    claims = Claims(api, active, slots, starter, once=True)
    runs = [(uuid7(), 1) for _ in range(options.concurrency)]

    claims.start()
    eventually(lambda: claims.is_idle)
    replies = list(api.heartbeats(runs, draining=False))

    assert {seen.body["limit"] for seen in server.requests if seen.path.endswith("/claim")} == {MOST_RUNS}
    assert [one.id for _, reply in replies for one in reply.orders] == [one for one, _ in runs]
    assert api.await_commands(runs, seconds=0).orders == []
    slots.close()
    claims.wake()
    server.stop()


def test_orders_are_followed_even_if_a_later_heartbeat_for_other_runs_fails(tmp_path: Path):
    server = ScriptedServer()
    runs = [SimpleNamespace(id=uuid7(), epoch=1, trusted_until=0.0) for _ in range(MOST_RUNS + 1)]
    stopped: list[Any] = []

    def fail_after_the_first(seen: Seen) -> Fault:
        if len(seen.body["runs"]) < MOST_RUNS:
            return answer(503)
        return answer(200, {"lease_seconds": 60, "orders": [{"id": str(runs[0].id), "order": "cancel"}]})

    server.fault_of = fail_after_the_first
    with override_settings(api_url=server.url):
        api = AgentClient(AgentOptions(home=tmp_path), "agent")
    api.registration = RegisteredAgent(id=uuid7(), lease_seconds=60, heartbeat_seconds=60, poll_seconds=60)
    stopping = SimpleNamespace(stop=lambda run, why: stopped.append((run, why)), thaw=lambda run: None)

    Heartbeats(api, runs, stopping, lambda why: None).once()  # type: ignore[arg-type]

    assert stopped == [(runs[0], Stop.CANCELLED)]
    assert [run.trusted_until > 0 for run in runs] == [True] * MOST_RUNS + [False]
    server.stop()


def judged_by_the_contract(seen: Seen) -> Fault:
    """Answer a request of an agent that the API would accept."""
    try:
        match seen.path.rpartition("/")[2]:
            case "claim":
                ClaimRequest.model_validate(seen.body)
                return answer(200, [])
            case "heartbeat":
                orders = [{"id": str(one.id), "order": "ok"} for one in Heartbeat.model_validate(seen.body).runs]
                return answer(200, {"lease_seconds": 60, "orders": orders})
        OrdersRequest.model_validate(seen.body)
    except ValidationError:
        return answer(422)
    return answer(200, {"orders": []})


@pytest.mark.parametrize("finds", [[], None], ids=["the run is taken", "the API fails"])
def test_the_agent_polls_once_the_hint_that_held_its_only_slot_was_in_vain(tmp_path: Path, finds: list[Any] | None):
    server, slots, counted = ScriptedServer(), Slots(1), threading.Event()

    def reply(seen: Any) -> Any:
        if "flow_run_id" not in seen.body:
            return answer(200, [])
        counted.wait(10)
        return answer(500) if finds is None else answer(200, finds)

    server.fault_of = reply
    options = AgentOptions(home=tmp_path, concurrency=1, broker="memory://")
    with override_settings(api_url=server.url):
        api = AgentClient(options, "agent")
    api.registration = RegisteredAgent(id=uuid7(), lease_seconds=60, heartbeat_seconds=60, poll_seconds=60)
    active = ActiveRuns()
    starter = RunStarter(options, api, active, Ready(), tmp_path, lambda end: None)  # type: ignore[arg-type]
    claims = Claims(api, active, slots, starter, once=True)
    hint = threading.Thread(target=claims.offer, args=(uuid7(),))

    hint.start()
    eventually(lambda: server.requests)
    claims.start()
    time.sleep(0.05)  # The claiming thread finds no slot, and waits.
    counted.set()
    hint.join()

    eventually(lambda: claims.is_idle)
    assert ["flow_run_id" in seen.body for seen in server.requests[:2]] == [True, False]
    slots.close()
    claims.wake()
    server.stop()
