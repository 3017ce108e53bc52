"""POST /results/filter: where the values of runs are stored, never the values."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState
from runs.results.core import reference_in
from tests.factories import make_flow_run, make_task_run

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]
EXPIRED = "2026-01-01T00:00:00+00:00"


def stored(run: FlowRun | TaskRun, key: str = "k", storage: str = "location:lake", **more: Any) -> FlowRun | TaskRun:
    model = FlowRunState if isinstance(run, FlowRun) else TaskRunState
    data = {"type": "reference", "storage": storage, "storage_key": key, "serializer_type": "json", "size": 7, **more}
    model.objects.filter(pk=run.state_id).update(data=data)
    return run


def keys(answer: Any) -> list[str]:
    return [one["storage_key"] for one in answer.json()["results"]]


def test_results_are_listed_newest_first_with_all_that_is_known_of_them(api, counted):
    run = stored(make_flow_run("COMPLETED", name="nightly"), "own", expiration=EXPIRED)
    task = stored(make_task_run("COMPLETED", flow_run=run, name="load-0"), "task", unstored="the disk is full")
    make_task_run("COMPLETED", flow_run=run)
    stored(make_task_run("FAILED", flow_run=run), "failed")

    with counted("filter results"):
        answer = api.send("/results/filter", {})

    assert keys(answer) == ["task", "own"]
    assert answer.json()["before"] is None
    first, second = answer.json()["results"]
    assert (first["run"], first["run_id"], first["flow_run_id"]) == ("task-run", str(task.pk), str(run.pk))
    assert (first["unstored"], first["expiration"], first["size"]) == ("the disk is full", None, 7)
    assert (second["run"], second["run_name"], second["storage"]) == ("flow-run", "nightly", "location:lake")
    assert second["expiration"].startswith("2026-01-01T00:00:00")


def test_results_are_found_by_run_location_and_expiry(api):
    run, other = stored(make_flow_run("COMPLETED"), "run"), stored(make_flow_run("COMPLETED"), "other")
    task = stored(make_task_run("COMPLETED", flow_run=run), "task", storage="file:///x", expiration=EXPIRED)

    def found(**asked: Any) -> list[str]:
        return keys(api.send("/results/filter", asked))

    assert found(flow_run_ids=[str(run.pk)]) == ["task", "run"]
    assert found(flow_run_ids=[str(other.pk)]) == ["other"]
    assert found(task_run_ids=[str(task.pk)]) == ["task"]
    assert found(flow_run_ids=[]) == []
    assert found(storage="file:///x") == ["task"]
    assert found(storage="file:///") == []
    assert found(expired_before="2026-01-01T00:00:01Z") == ["task"]
    assert found(expired_before=EXPIRED) == []


def test_pages_continue_where_the_one_before_stopped(api):
    run = make_flow_run("COMPLETED")
    for number in range(5):
        stored(make_task_run("COMPLETED", flow_run=run), str(number))

    seen, before = [], None
    while True:
        page = api.send("/results/filter", {"limit": 2, "before": before})
        seen += keys(page)
        before = page.json()["before"]
        if before is None:
            break
        UUID(before)

    assert seen == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    "asked",
    [{"limit": 0}, {"limit": 201}, {"before": "x"}, {"storage": 7}, {"flow_run_ids": ["x"]}, {"storage": "x" * 5000}],
)
def test_invalid_questions_are_refused(api, asked):
    assert api.send("/results/filter", asked).status_code == 422


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {"type": "reference"},
        {"type": "reference", "storage_key": 7},
        {"type": "literal", "value": 1},
        {"type": ["reference"], "storage_key": "k"},
    ],
)
def test_data_that_is_not_a_reference_is_ignored(data):
    assert reference_in(data) is None


def test_fields_of_wrong_types_count_as_missing():
    odd = {"size": True, "storage": 7, "serializer_type": [], "expiration": "yesterday", "unstored": {}}

    found = reference_in({"type": "reference", "storage_key": "k", **odd})

    assert found is not None
    assert (found.size, found.storage, found.serializer_type, found.expiration, found.unstored) == (None,) * 5
    for size in (-1, 2**70, 1.5):
        shown = reference_in({"type": "reference", "storage_key": "k", "size": size})
        assert shown is not None
        assert shown.size is None
    for moment in ("2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"):
        shown = reference_in({"type": "reference", "storage_key": "k", "expiration": moment})
        assert shown is not None
        assert shown.expiration is None
