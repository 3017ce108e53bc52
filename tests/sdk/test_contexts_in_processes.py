"""Whichever process calls a function, it knows its own run, and no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from orionflow import flow, task
from orionflow.attempt import Attempt, headers_for
from orionflow.task_runners import ProcessTaskRunner
from tests.printed import PATIENCE_SECONDS
from tests.sdk.programs import WORKER, Program

SOURCE = """
import decimal, json, os, sqlite3, sys
from uuid import UUID
from orionflow import concurrency, create_markdown_artifact, flow, get_run_context, tags, task
from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.errors import MissingContext
from orionflow.runtime import flow_run, task_run

def holder():
    with sqlite3.connect(os.environ["ORION_HOME"] + "/orion.db") as database:
        ((id,),) = database.execute("SELECT task_run_id FROM deployments_globalslot")
    return UUID(bytes=id)

@flow
def inner():
    return flow_run.parent_flow_run_id

def known(word):
    # Kept in a context variable.
    digits = decimal.getcontext().prec
    decimal.setcontext(decimal.Context(prec=7))
    context = get_run_context()
    create_markdown_artifact(word)
    with concurrency("database"):
        assert holder() == context.id
    assert inner() == flow_run.id == str(context.flow_run.id)
    try:
        first("not in a task")
    except MissingContext as error:
        refusal = str(error)
    facts = [digits, context.task.name, task_run.name, task_run.parameters, flow_run.parameters]
    return [*facts, refusal.split(";")[0].rpartition(" ")[2]]

@task
def first(word):
    return known(word)

@task
def second(word):
    return known(word)

@task(retries=1)
def again(word):
    inner()
    if task_run.run_count == 1:
        raise ValueError("once")
    return []

@flow
def outer(way):
    with tags("early"):
        one = first.submit("a").result()
    return [one, second.submit("b").result(), again.submit("c").result()]

if __name__ == "__main__":
    with OrionClient() as client:
        client.send(Call("POST", "/v2/concurrency_limits/", {"name": "database", "limit": 1}, read=dict))
    for way in sys.argv[1:]:
        runner = Worker() if way == "worker" else ProcessTaskRunner(1, way) if way != "threads" else None
        called = outer if runner is None else outer.with_options(task_runner=runner)
        print(json.dumps(called(way)), flush=True)
"""


@pytest.mark.parametrize(
    "ways", [("fork", "worker"), pytest.param(("threads", "forkserver", "spawn"), marks=pytest.mark.long)], ids=" ".join
)
def test_functions_know_their_own_run_in_each_process(ways: tuple[str, ...], tmp_path: Path):
    program = Program(tmp_path, WORKER + SOURCE)

    done = program.run(PATIENCE_SECONDS, ways)

    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [
            [28, "first", "first-0", {"word": "a"}, {"way": way}, "'first'"],
            [28, "second", "second-0", {"word": "b"}, {"way": way}, "'second'"],
            [],
        ]
        for way in ways
    ], done.stderr
    artifacts = program.query("SELECT a.data, t.name FROM runs_artifact a JOIN runs_taskrun t ON t.id = a.task_run_id")
    assert sorted(artifacts) == sorted([('"a"', "first-0"), ('"b"', "second-0")] * len(ways))
    nested = program.query(
        "SELECT p.name, r.tags FROM runs_flowrun r JOIN runs_flow f ON f.id = r.flow_id "
        "LEFT JOIN runs_taskrun p ON p.id = r.parent_task_run_id WHERE f.name = 'inner' ORDER BY r.id"
    )
    places = ("first-0.0", '["early"]'), ("second-0.0", "[]"), ("again-0.0", "[]"), ("again-0.2.0", "[]")
    in_process = [(f"inner-{place}", tags) for place, tags in places]
    in_thread = [(f"inner-{number}", tags) for number, (_, tags) in enumerate(in_process)]
    assert nested == [one for way in ways for one in (in_thread if way == "threads" else in_process)]


@task
def headers(api_url: str) -> Mapping[str, str]:
    return headers_for(api_url)


def test_processes_of_a_runner_write_as_the_attempt_that_they_work_for(monkeypatch: pytest.MonkeyPatch):
    attempt = Attempt(uuid4(), 3, "http://api.example", ask_why=lambda: None)
    monkeypatch.setattr("orionflow.attempt._current", attempt)

    @flow(task_runner=ProcessTaskRunner(1, "forkserver"))
    def outer() -> Mapping[str, str]:
        sent: Mapping[str, str] = headers.submit(attempt.api_url).result()
        return sent

    assert outer() == attempt.headers
