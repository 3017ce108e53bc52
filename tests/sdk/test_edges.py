"""Edges: a task run names the task runs that its arguments came from, also when only plain values were handed on."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from orionflow import flow, task
from orionflow.engine.lineage import STRONG_LIMIT, Lineage
from orionflow.testing import task_runs_of
from orionflow.wire import TaskRun


@task
def make(value: Any) -> Any:
    return value


@task
def use(x: Any = None, **more: Any) -> None: ...


def inputs_of(run: TaskRun) -> dict[str, list[str]]:
    return {name: [one["id"] for one in found] for name, found in run.task_inputs.items() if found}


def runs_of(body: Any) -> list[TaskRun]:
    return task_runs_of(flow(body)(return_state=True))


def test_future_draws_an_edge():
    source, user = runs_of(lambda: use.submit(make.submit(1)))

    assert inputs_of(user) == {"x": [str(source.id)]}
    assert user.task_inputs["x"][0]["input_type"] == "task_run"


def test_value_draws_an_edge():
    source, user = runs_of(lambda: use(make({"rows": 3})))

    assert inputs_of(user) == {"x": [str(source.id)]}


def test_element_of_a_returned_list_draws_an_edge():
    source, user = runs_of(lambda: use(make(["first row", "second row"])[1]))

    assert inputs_of(user) == {"x": [str(source.id)]}


def test_numbers_that_python_shares_draw_no_edge():
    _, user = runs_of(lambda: use(make(5)))

    assert inputs_of(user) == {}


def test_untrackable_results_are_marked():
    small, none, row = runs_of(lambda: [make(5), make(None), make([1])][0])

    assert small.state.state_details.untrackable_result
    assert none.state.state_details.untrackable_result
    assert not row.state.state_details.untrackable_result


def test_several_sources_of_one_argument():
    def body() -> None:
        use([make("one row"), {"two": make.submit("two rows")}])

    one, two, user = runs_of(body)

    assert set(inputs_of(user)["x"]) == {str(one.id), str(two.id)}


def test_wait_for_and_collected_arguments_draw_edges():
    def body() -> None:
        first, second = make.submit(1), make.submit(2)
        use(wait_for=[first], extra=second)

    first, second, user = runs_of(body)

    assert inputs_of(user) == {"wait_for": [str(first.id)], "more": [str(second.id)]}


def test_states_draw_edges():
    source, user = runs_of(lambda: use(make(1, return_state=True)))

    assert inputs_of(user) == {"x": [str(source.id)]}


def test_subflow_has_edges_on_both_sides():
    @flow
    def child(x: Any) -> Any:
        return {"from": x}

    source, placeholder, user = runs_of(lambda: use(child(make.submit("row row row"))))

    assert inputs_of(placeholder) == {"x": [str(source.id)]}
    assert inputs_of(user) == {"x": [str(placeholder.id)]}


class Weak:
    """Can be referred to weakly."""


def test_links_do_not_keep_values_alive():
    links = Lineage()
    value = Weak()
    links.add(value, uuid4())
    assert len(links) == 1

    del value

    assert len(links) == 0


def test_links_are_bounded():
    links = Lineage()

    for number in range(STRONG_LIMIT + 500):
        links.add(1000 + number, uuid4())

    assert len(links) == STRONG_LIMIT


def test_one_future_alone_can_be_waited_for():
    def ordered() -> None:
        first = make.submit(1)
        use.submit(2, wait_for=first)

    first, second = runs_of(ordered)

    assert inputs_of(second) == {"wait_for": [str(first.id)]}
