"""A rehearsal of the start of a run, for a process that waits for one.

After a fork each page of memory is copied when it is first written to, and Python writes to every object that it reads.
A process that waits for its run causes these copies in advance. A rehearsal leaves nothing but memory: it reads no
setting of the future run, starts no thread, and connects to no server.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from uuid import UUID

from pydantic_core import to_json

from orionflow import flow
from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.client import OrionClient
from orionflow.client.transport import HttpTransport, Unanswered
from orionflow.reporting import Reporter
from orionflow.reporting.spool import spool_folder
from orionflow.settings import resolve_settings
from orionflow.settings.profiles import profile_layer, project_layer
from orionflow.states import State, StateType
from orionflow.wire import FlowRun, OrchestrationResult, encode, read_answer

RUN_ID = UUID(int=0)
MOMENT = "2000-01-01T00:00:00Z"
PENDING = {"id": RUN_ID, "type": "PENDING", "name": "Pending", "timestamp": MOMENT, "state_details": {}}
RUN = to_json({"id": RUN_ID, "name": "rehearsed", "flow_id": RUN_ID, "state": PENDING, "created": MOMENT})
ANSWER = to_json({"status": "ACCEPT", "state": {**PENDING, "type": "RUNNING", "name": "Running"}, "details": {}})


def rehearse() -> None:
    """Read settings, create a reporter and a flow, and propose a state to an address without a server.

    Errors are ignored here: the run itself will meet and report them.
    """
    with suppress(Exception), socket.socket() as nobody:
        # Bound, so that no other process gets the port, but not listening, so that each connection is refused.
        nobody.bind(("127.0.0.1", 0))
        _begin_a_run(f"http://127.0.0.1:{nobody.getsockname()[1]}/api")


def _begin_a_run(url: str) -> None:
    layers = [("environment ORION_API_URL", {"api_url": url}), *project_layer(os.getcwd())]
    home = resolve_settings(layers).home
    settings = resolve_settings([*layers, *profile_layer(home, None)])
    client = OrionClient(api_url=url, settings=settings)
    Reporter(client, settings=settings).set_epoch(RUN_ID, 1)
    # A run looks there for reports that earlier ones could not send.
    any(spool_folder(home).glob("*.jsonl"))
    read_answer(FlowRun, RUN)
    # Options that are omitted here would be read from the settings.
    flow(name="rehearsed", retries=0, retry_delay_seconds=0)(lambda x: None).validated({"x": 1})
    _propose_running(url)


def _propose_running(url: str) -> None:
    call = set_flow_run_state(RUN_ID, State(type=StateType.RUNNING), epoch=1)
    # Without a home, so that the token of a local server is not used.
    with closing(HttpTransport(url, connect_timeout=1, read_timeout=1)) as transport, suppress(Unanswered):
        transport.exchange(call.method, call.path, "", call.headers, encode(call.body))
    read_answer(OrchestrationResult, ANSWER)
