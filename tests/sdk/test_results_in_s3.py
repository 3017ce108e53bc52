"""Results in a store that speaks S3, on this machine: stored, read, listed, deleted, and failing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from orionflow import flow, task
from orionflow.errors import MissingResult
from orionflow.results import read_record, store_of, write_result
from orionflow.results.locations import LocatedStore, RemoteFolder
from orionflow.testing import Isolated, flow_run_of, task_runs_of

s3fs = pytest.importorskip("s3fs", reason="pip install 'orionflow[s3]'")
server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def lake(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    options = {"endpoint_url": endpoint, "key": "k", "secret": "s"}
    s3fs.S3FileSystem(**options).mkdir(bucket := f"results-{uuid4().hex[:8]}")
    given = {"lake": {"url": f"s3://{bucket}/all", **options}, "gone": {"url": f"s3://not-{bucket}/x", **options}}
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", json.dumps(given))
    return "lake"


def test_flows_store_and_read_there(orion: Isolated, lake: str):
    @task(persist_result=True)
    def one() -> Any:
        return (1, 2)

    @flow(persist_result=True, result_storage=lake)
    def outer() -> Any:
        return {"n": list(one())}

    state = outer(return_state=True)

    assert flow_run_of(state).state.result() == {"n": [1, 2]}
    assert task_runs_of(state)[0].state.result() == (1, 2)


def test_results_are_listed_and_deleted_there(lake: str):
    store = store_of(lake)
    assert isinstance(store, LocatedStore)
    assert isinstance(store.inner, RemoteFolder)
    record = write_result((1, 2), store=store, key="0" * 32)

    [(key, entry)] = store.inner.files()
    store.delete(record["storage_key"])

    assert (key, entry["size"]) == ("0" * 32, record["size"])
    assert not store.exists(record["storage_key"])
    with pytest.raises(MissingResult, match="gone from the location"):
        read_record(record)


def test_a_bucket_that_does_not_exist_leaves_the_run_complete(lake: str):
    @task(result_storage="gone", result_storage_key="x")
    def one() -> Any:
        return [1]

    @flow
    def outer() -> Any:
        return one()

    state = outer(return_state=True)

    assert state.result() == [1]
    assert "location:gone failed with" in task_runs_of(state)[0].state.message
