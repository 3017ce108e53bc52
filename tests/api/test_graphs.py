"""GET /flow_runs/{id}/graph and graph-v2."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.factories import later, make_artifact, make_flow, make_flow_run, make_task_run

pytestmark = pytest.mark.django_db


def after(*upstream):
    return {"x": [{"input_type": "task_run", "id": str(run.id)} for run in upstream]}


@pytest.fixture
def diamond(db):
    """One task run, two that follow it, one of which stands for a nested flow, and one that joins them."""
    flow_run = make_flow_run("RUNNING")
    first = make_task_run("RUNNING", flow_run=flow_run, name="first")
    left = make_task_run("RUNNING", flow_run=flow_run, name="left", task_inputs=after(first), now=later(1))
    right = make_task_run("RUNNING", flow_run=flow_run, name="right", task_inputs=after(first), now=later(2))
    nested = make_flow_run(
        "RUNNING", flow=make_flow("inner"), name="calm-otter", parent_task_run_id=right.id, now=later(2)
    )
    last = make_task_run("RUNNING", flow_run=flow_run, name="last", task_inputs=after(left, right), now=later(3))
    return {"flow_run": flow_run, "first": first, "left": left, "right": right, "nested": nested, "last": last}


def test_the_graph_connects_task_runs_and_nested_flow_runs(api, diamond, counted):
    first, left, nested, last = (str(diamond[name].id) for name in ("first", "left", "nested", "last"))

    with counted("graph"):
        graph = api.read(f"/flow_runs/{diamond['flow_run'].id}/graph-v2").json()

    nodes = dict(map(tuple, graph["nodes"]))
    assert graph["root_node_ids"] == [first]
    assert list(nodes) == [first, left, nested, last]
    assert (nodes[nested]["kind"], nodes[nested]["label"]) == ("flow-run", "inner / calm-otter")
    assert [edge["id"] for edge in nodes[first]["children"]] == [left, nested]
    assert [edge["id"] for edge in nodes[last]["parents"]] == [left, nested]
    assert [state["name"] for state in graph["states"]] == ["Running"]


def test_artifacts_belong_to_the_run_that_created_them(api, diamond):
    flow_run, first = diamond["flow_run"], diamond["first"]
    own = make_artifact("report", flow_run_id=flow_run.id)
    make_artifact("table", flow_run_id=flow_run.id, task_run_id=first.id)
    make_artifact(None, type="result", flow_run_id=flow_run.id)
    make_artifact("report", now=later(5))

    graph = api.read(f"/flow_runs/{flow_run.id}/graph-v2").json()

    assert [(one["id"], one["is_latest"]) for one in graph["artifacts"]] == [(str(own.id), False)]
    assert [one["key"] for one in graph["nodes"][0][1]["artifacts"]] == ["table"]


def test_since_leaves_out_what_had_ended(api):
    flow_run = make_flow_run("RUNNING")
    ended = make_task_run("RUNNING", flow_run=flow_run)
    api.send(f"/task_runs/{ended.id}/set_state", {"state": {"type": "COMPLETED"}})
    make_task_run("PENDING", flow_run=flow_run)

    whole = api.read(f"/flow_runs/{flow_run.id}/graph-v2").json()
    later_on = api.read(f"/flow_runs/{flow_run.id}/graph-v2?since=2099-01-01T00:00:00Z").json()

    assert (len(whole["nodes"]), len(later_on["nodes"])) == (1, 0)


def test_since_keeps_the_edges_to_what_had_ended(api, diamond):
    for name in ("first", "left"):
        api.send(f"/task_runs/{diamond[name].id}/set_state", {"state": {"type": "COMPLETED"}})
    first, left, nested, last = (str(diamond[name].id) for name in ("first", "left", "nested", "last"))

    graph = api.read(f"/flow_runs/{diamond['flow_run'].id}/graph-v2?since=2099-01-01T00:00:00Z").json()

    nodes = dict(map(tuple, graph["nodes"]))
    assert (list(nodes), graph["root_node_ids"]) == ([nested, last], [])
    assert [edge["id"] for edge in nodes[nested]["parents"]] == [first]
    assert [edge["id"] for edge in nodes[last]["parents"]] == [left, nested]
    assert [edge["id"] for edge in nodes[nested]["children"]] == [last]


def test_scheduled_runs_are_drawn_at_their_expected_time(api):
    flow_run = make_flow_run("RUNNING")
    waiting = make_task_run("SCHEDULED", flow_run=flow_run)
    make_task_run("PENDING", flow_run=flow_run)

    nodes = api.read(f"/flow_runs/{flow_run.id}/graph-v2").json()["nodes"]

    assert [id for id, _ in nodes] == [str(waiting.id)]
    assert nodes[0][1]["start_time"] == api.read(f"/task_runs/{waiting.id}").json()["expected_start_time"]


def test_dependencies_are_listed_for_every_task_run(api, diamond, counted):
    with counted("dependencies"):
        listed = api.read(f"/flow_runs/{diamond['flow_run'].id}/graph").json()

    upstream = {one["name"]: [each["id"] for each in one["upstream_dependencies"]] for one in listed}
    assert upstream["last"] == [str(diamond["left"].id), str(diamond["right"].id)]
    assert upstream["first"] == []
    assert listed[0]["state"]["type"] == "RUNNING"


@pytest.mark.parametrize("graph", ["graph", "graph-v2"])
def test_a_missing_flow_run_has_no_graph(api, graph):
    answer = api.read(f"/flow_runs/{uuid4()}/{graph}")

    assert answer.status_code == 404
    assert "not found" in answer.json()["exception_message"]
