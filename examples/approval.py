"""A flow that asks before it does something: it pauses, receives the answer, and continues.

`python examples/approval.py` answers by itself. With `--wait`, you answer from another shell:
`orion flow-run resume RUN --input approved=true --input pieces=3`.
"""

from __future__ import annotations

import sys
import threading
import time

from pydantic import Field

from orionflow import OrionClient, RunInput, flow, pause_flow_run, resume_flow_run, task


class Approval(RunInput):
    """The answer that the flow waits for."""

    approved: bool
    pieces: int = Field(default=1, ge=1)


@task
def offer() -> int:
    return 1200


@task
def buy(pieces: int, price: int) -> int:
    print(f"bought {pieces} for {pieces * price}")
    return pieces * price


@flow(log_prints=True)
def purchase() -> int:
    price = offer()
    question = Approval.with_initial_data(f"Buy at {price} each?", pieces=2)
    approval = pause_flow_run(wait_for_input=question, timeout=600, poll_interval=0.5)
    return buy(approval.pieces, price) if approval.approved else 0


def answer() -> None:
    """Wait until a run is paused, and resume it with an answer, as a user would."""
    with OrionClient() as client:
        while not (paused := client.read_flow_runs(flow_runs={"state": {"type": {"any_": ["PAUSED"]}}})):
            time.sleep(0.1)
    resume_flow_run(paused[0].id, run_input={"approved": True, "pieces": 3})


if __name__ == "__main__":
    if "--wait" not in sys.argv:
        threading.Thread(target=answer, daemon=True).start()
    print(f"spent {purchase()}")
