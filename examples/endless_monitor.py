"""A flow without an end: it watches until a user cancels it.

    python examples/endless_monitor.py
    orion flow-run cancel @last --yes        # in another terminal, with both on the same server or home

Here a timer takes the place of the other terminal.
"""

from __future__ import annotations

import threading
import time

from orionflow import OrionClient, flow, runtime, task
from orionflow.states import Cancelling


@task
def probe(number: int) -> float:
    return time.monotonic()


@flow(name="monitor")
def monitor(every_seconds: float = 0.05) -> None:
    number = 0
    while True:
        probe(number)
        number += 1
        time.sleep(every_seconds)


@flow(name="watched-monitor")
def watched(cancel_after_seconds: float = 1.0) -> None:
    """Run the monitor, and cancel it from outside after a while."""
    flow_run_id = runtime.flow_run.id

    def cancel() -> None:
        with OrionClient() as client:
            client.set_flow_run_state(flow_run_id, Cancelling(message="The watch is over."))

    timer = threading.Timer(cancel_after_seconds, cancel)
    timer.start()
    number = 0
    while True:
        probe(number)
        number += 1
        time.sleep(0.05)


if __name__ == "__main__":
    state = watched(return_state=True)
    print(f"ended {state.name}: {state.message}")
