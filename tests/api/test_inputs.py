"""POST /flow_runs/{id}/resume and the values that are handed to flow runs."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.factories import make_flow_run, make_state

pytestmark = pytest.mark.django_db

SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
KEYSET = {"schema": "p-schema", "response": "p-response"}


def test_a_paused_run_continues(api):
    run = make_flow_run("PAUSED")

    answer = api.send(f"/flow_runs/{run.id}/resume")

    assert (answer.status_code, answer.json()["status"]) == (201, "ACCEPT")
    assert answer.json()["state"]["type"] == "RUNNING"


def test_a_run_that_is_not_paused_is_left_alone(api):
    answer = api.send(f"/flow_runs/{make_flow_run('RUNNING').id}/resume", {})

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["state"]) == ("ABORT", None)


def test_a_missing_run_cannot_be_resumed(api):
    assert api.send(f"/flow_runs/{uuid4()}/resume", {}).status_code == 404


def test_a_pause_that_waits_for_input_checks_it(api):
    run = make_flow_run(make_state("PAUSED", run_input_keyset=KEYSET))
    api.send(f"/flow_runs/{run.id}/input", {"key": "p-schema", "value": json.dumps(SCHEMA)})

    wrong = api.send(f"/flow_runs/{run.id}/resume", {"run_input": {"answer": "many"}})
    right = api.send(f"/flow_runs/{run.id}/resume", {"run_input": {"answer": 42}})

    assert (wrong.status_code, wrong.json()["status"]) == (200, "REJECT")
    assert "answer" in wrong.json()["details"]["reason"]
    assert right.status_code == 201
    assert json.loads(api.read(f"/flow_runs/{run.id}/input/p-response").content) == {"answer": 42}


def test_a_schema_makes_the_server_ask_nowhere(api):
    run = make_flow_run(make_state("PAUSED", run_input_keyset=KEYSET))
    elsewhere = {"$ref": "http://127.0.0.1:9/schema.json"}
    api.send(f"/flow_runs/{run.id}/input", {"key": "p-schema", "value": json.dumps(elsewhere)})

    answer = api.send(f"/flow_runs/{run.id}/resume", {"run_input": {"answer": 1}}).json()

    assert answer["status"] == "REJECT"
    assert "refers to 'http://127.0.0.1:9/schema.json', which is not in it" in answer["details"]["reason"]


def test_a_value_is_handed_over_read_and_deleted(api):
    run = make_flow_run()
    path = f"/flow_runs/{run.id}/input"

    created = api.send(path, {"key": "greeting-1", "value": '"hello"', "sender": "me"})
    read = api.read(f"{path}/greeting-1")
    again = api.send(path, {"key": "greeting-1", "value": "1"})
    deleted = api.call("DELETE", f"{path}/greeting-1")

    assert (created.status_code, created.json()) == (201, None)
    assert (read["Content-Type"], read.content) == ("text/plain; charset=utf-8", b'"hello"')
    assert again.status_code == 409
    assert deleted.status_code == 204
    assert api.read(f"{path}/greeting-1").status_code == 404


def test_values_are_found_by_the_beginning_of_their_key(api):
    run = make_flow_run()
    for key in ("a-1", "a-2", "b-1", "a_3"):
        api.send(f"/flow_runs/{run.id}/input", {"key": key, "value": "1"})

    def found(**asked):
        return [one["key"] for one in api.send(f"/flow_runs/{run.id}/input/filter", asked).json()]

    assert found(prefix="a-", limit=10) == ["a-1", "a-2"]
    assert found(prefix="a") == ["a-1"]
    assert found(prefix="a", limit=10, exclude_keys=["a-1"]) == ["a-2", "a_3"]
    assert found(prefix="a", limit=None, exclude_keys=None) == ["a-1"]


@pytest.mark.parametrize("key", ["a b", "a/b", "", "ä", None])
def test_a_key_of_other_letters_is_refused(api, key):
    answer = api.send(f"/flow_runs/{make_flow_run().id}/input", {"key": key, "value": "1"})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "key"]


def test_a_missing_run_takes_no_values(api):
    assert api.send(f"/flow_runs/{uuid4()}/input", {"key": "a", "value": "1"}).status_code == 404
    assert api.send(f"/flow_runs/{uuid4()}/input/filter", {"prefix": "a"}).status_code == 404
