"""GET /flow_runs/{id}/diff: what differs between two runs, in words and as values."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.factories import NOON, make_flow, make_flow_run, make_task_run

pytestmark = pytest.mark.django_db


def test_a_run_is_compared_with_the_last_good_run_of_its_flow(api):
    flow = make_flow("etl")
    good = make_flow_run("COMPLETED", flow=flow, now=NOON - timedelta(hours=2), parameters={"n": 1})
    make_flow_run("FAILED", flow=flow, now=NOON - timedelta(hours=1), parameters={"n": 3})
    bad = make_flow_run("FAILED", flow=flow, parameters={"n": 2})

    answer = api.read(f"/flow_runs/{bad.id}/diff").json()

    assert (answer["before"]["id"], answer["after"]["id"]) == (str(good.id), str(bad.id))
    assert answer["of_same_flow"] is True
    assert [one["text"] for one in answer["differences"]] == ["parameter n 1 → 2"]


def test_any_two_runs_can_be_compared(api):
    one, other = make_flow_run("RUNNING", flow=make_flow("etl")), make_flow_run("RUNNING", flow=make_flow("load"))
    task = make_task_run(flow_run=other, task_key="save", name="save-0")

    answer = api.read(f"/flow_runs/{other.id}/diff?base={one.id}").json()

    assert answer["of_same_flow"] is False
    assert answer["tasks"] == [
        {
            "task_key": "save",
            "name": "save-0",
            "kinds": ["only_after"],
            "text": "only in the later run",
            "number": 1,
            "before_id": None,
            "after_id": str(task.id),
        }
    ]


def test_without_an_earlier_successful_run_it_gives_a_hint(api):
    answer = api.read(f"/flow_runs/{make_flow_run('FAILED').id}/diff")

    assert answer.status_code == 409
    assert "?base=" in answer.json()["detail"]


def test_missing_runs_are_not_found(api):
    run = make_flow_run()

    assert api.read(f"/flow_runs/{uuid4()}/diff").status_code == 404
    assert api.read(f"/flow_runs/{run.id}/diff?base={uuid4()}").status_code == 404
    assert api.read(f"/flow_runs/{run.id}/diff?base=x").status_code == 422
