"""A rehearsal of how a run begins, for a process that waits for one.

After a fork each page of memory is copied when it is first written to, and Python writes to whatever it looks at. A
process that waits for its run does that now instead of then. Nothing is left of a rehearsal but memory: it reads no
setting of the run to come, starts no thread, and talks to nobody.
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
    """Read settings, make a reporter and a flow, and propose a state where nobody listens.

    Whatever is wrong here is found again by the run, which says it.
    """
    with suppress(Exception), socket.socket() as nobody:
        # Bound, so that nobody else gets the port, and never listening: each connection is refused.
        nobody.bind(("127.0.0.1", 0))
        _begin_a_run(f"http://127.0.0.1:{nobody.getsockname()[1]}/api")


def _begin_a_run(url: str) -> None:
    layers = [("environment ORION_API_URL", {"api_url": url}), *project_layer(os.getcwd())]
    home = resolve_settings(layers).home
    settings = resolve_settings([*layers, *profile_layer(home, None)])
    client = OrionClient(api_url=url, settings=settings)
    Reporter(client, settings=settings).set_epoch(RUN_ID, 1)
    # A run looks there for what earlier ones could not send.
    any(spool_folder(home).glob("*.jsonl"))
    read_answer(FlowRun, RUN)
    # What is not said here is read from the settings.
    flow(lambda: None, name="rehearsed", retries=0, retry_delay_seconds=0).validated({})
    _propose_running(url)


def _propose_running(url: str) -> None:
    call = set_flow_run_state(RUN_ID, State(type=StateType.RUNNING), epoch=1)
    # Without a home, and so without the token of the server that runs here.
    with closing(HttpTransport(url, connect_timeout=1, read_timeout=1)) as transport, suppress(Unanswered):
        transport.exchange(call.method, call.path, "", call.headers, encode(call.body))
    read_answer(OrchestrationResult, ANSWER)
