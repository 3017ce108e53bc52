"""Why a task ran or did not: from what is recorded of its key, its inputs and whoever stored the result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from orionflow import flow, task
from orionflow.caching import DIGITS, digests_of_inputs, task_input_hash
from orionflow.calls.task_runs import explain_task_run
from orionflow.client import OrionClient
from orionflow.contract.explanations import WhyReason
from orionflow.testing import flow_run_of, task_runs_of

SECRET = "a value that nobody should see"


@task(cache_key_fn=task_input_hash, cache_expiration=timedelta(hours=1))
def load(table: str, rows: Any = None) -> Any:
    return [table]


@task(cache_key_fn=lambda *_: "one key")
def flag() -> bool:
    return True


@task(persist_result=True)
def uncached() -> Any:
    return [1]


@flow
def outer() -> None:
    load(SECRET)
    flag()
    uncached()


def cache_reasons(run: Any) -> list[WhyReason]:
    with OrionClient() as client:
        why = client.send(explain_task_run(run.id))
    return [reason for reason in why.reasons if reason.code.startswith("cache")]


def runs_by_task(state: Any) -> dict[str, Any]:
    return {run.name.split("-")[0]: run for run in task_runs_of(state)}


def test_a_miss_and_a_hit_show_the_key_its_inputs_and_its_writer():
    first, second = outer(return_state=True), outer(return_state=True)
    missed, hit = runs_by_task(first)["load"], runs_by_task(second)["load"]

    [miss], [found] = cache_reasons(missed), cache_reasons(hit)

    digest = digests_of_inputs({"table": SECRET})["table"]
    assert (miss.code, found.code) == ("cache_miss", "cache_hit")
    assert f"table {digest}" in miss.text
    assert f"table {digest}" in found.text
    assert f"{missed.name} of {flow_run_of(first).name} stored it" in found.text
    assert found.holders is not None
    assert found.holders[0]["id"] == str(missed.id)
    assert "is given out until" in found.text
    assert SECRET not in miss.text + found.text + str(missed.state.data)


def test_a_hit_of_a_hit_names_who_stored_the_result():
    states = [outer(return_state=True) for _ in range(3)]
    writer, last = runs_by_task(states[0])["flag"], runs_by_task(states[2])["flag"]

    [reason] = cache_reasons(last)

    assert reason.holders is not None
    assert reason.holders[0]["id"] == str(writer.id)
    assert "without an end" in reason.text
    assert last.state.result() is True


def test_tasks_without_a_cache_key_are_as_they_were():
    run = runs_by_task(outer(return_state=True))["uncached"]

    assert cache_reasons(run) == []
    assert set(run.state.data) == {"type", "storage_key", "storage", "serializer_type", "size"}


def test_digests_are_those_of_equal_inputs_and_large_ones_have_their_type():
    found = digests_of_inputs({"a": [1, 2], "b": [1, 2], "c": (1, 2), "large": "x" * 2_000_000, "odd": iter([])})

    assert found["a"] == found["b"] != found["c"]
    assert len(found["a"]) == DIGITS
    assert (found["large"], found["odd"]) == ("str", "list_iterator")
