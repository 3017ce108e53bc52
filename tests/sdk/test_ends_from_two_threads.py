"""A crash that the run and the thread that ends its process report at the same time is one crash."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.signals import request_started

from orionflow import flow
from orionflow.client import OrionClient
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.api import current_api
from orionflow.engine.flow_run import _report_crash
from orionflow.engine.interruption import Reason
from orionflow.states import Crashed, Running
from orionflow.testing import states_of


@flow
def work() -> None: ...


@pytest.mark.parametrize("first", ["run", "process"])
def test_crash_that_is_reported_by_two_threads_uses_one_retry_up(first: str):
    with OrionClient() as client:
        flow_id = client.create_flow("work").id
        run = client.create_flow_run(flow_id, empirical_policy={"crash_retries": 3})
        client.set_flow_run_state(run.id, Running())
        active = ActiveFlowRun(work, client.read_flow_run(run.id), {}, current_api(), None, is_made_here=False)
    steps = _report_crash(active, active.new_context(), Crashed(message="It ends."))
    reports = next(steps)
    threads = []

    def abandon() -> None:
        active.abandon(Reason("It was killed."))

    def propose() -> None:
        outcome: Any = reports.block()
        while True:
            try:
                outcome = steps.send(outcome).block()
            except StopIteration:
                return

    def meanwhile(environ: Any, **_: Any) -> None:
        # The other one proposes its end while the request of this one is under way.
        if environ["PATH_INFO"].endswith("/set_state") and not threads:
            threads.append(threading.Thread(target=propose if first == "process" else abandon))
            threads[0].start()
            threads[0].join(20)

    request_started.connect(meanwhile)
    try:
        (propose if first == "run" else abandon)()
    finally:
        request_started.disconnect(meanwhile)

    assert threads
    assert not threads[0].is_alive()
    assert states_of(run) == ["Pending", "Running", "AwaitingRetry"]
