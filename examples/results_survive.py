"""Results outlive the process: stored in a named location, cached by the inputs, read again from the recorded state.

python examples/results_survive.py
"""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from uuid import UUID

from orionflow import flow, task
from orionflow.caching import task_input_hash
from orionflow.calls.flow_runs import read_flow_run
from orionflow.client import OrionClient

# On a real installation: `orion result location add lake s3://bucket/results`, once.
os.environ.setdefault("ORION_RESULTS_LOCATIONS", f"lake={tempfile.mkdtemp(prefix='orion-lake-')}")


@task(cache_key_fn=task_input_hash, cache_expiration=timedelta(hours=1))
def count(words: str) -> dict[str, int]:
    print(f"counting {words!r}")
    return {word: words.split().count(word) for word in sorted(set(words.split()))}


@flow(name="results-survive", persist_result=True, result_storage="lake", result_expiration=timedelta(days=30))
def report() -> dict[str, int]:
    count("to be or not to be")
    # The inputs are the same, so the stored result is reused.
    return count("to be or not to be")


def read_again(flow_run_id: UUID) -> tuple[str, object]:
    """Read the result as another process would: the state from the API, and the bytes to which it refers."""
    with OrionClient() as client:
        state = client.send(read_flow_run(flow_run_id)).state
    assert state is not None
    return state.data["storage"], state.result()


if __name__ == "__main__":
    ended = report(return_state=True)
    assert ended.state_details.flow_run_id is not None
    where, value = read_again(ended.state_details.flow_run_id)
    print(f"{where} has {value}")
