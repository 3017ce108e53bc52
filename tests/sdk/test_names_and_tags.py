"""Names of runs, tags, versions, and what code can learn about its own run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orionflow import flow, get_run_context, runtime, tags, task
from orionflow.errors import MissingContext, UsageError
from orionflow.testing import assert_failed, flow_run_of, flow_runs, states_of, task_runs_of


@task(tags=["own"])
def tagged() -> None: ...


def test_flow_and_task_have_the_names_of_their_functions():
    @flow
    def my_flow() -> None:
        tagged()

    state = my_flow(return_state=True)

    assert [run.name for run in task_runs_of(state)] == ["tagged-0"]
    assert flow_runs("my-flow")


def test_names_can_be_chosen():
    @task(name="Load rows", task_run_name="load {table} from {source}")
    def load(table: str, source: str = "shop") -> None: ...

    @flow(name="ETL", flow_run_name="etl-{day}")
    def etl(day: str) -> None:
        load("orders")
        load.submit("customers", source="crm")

    state = etl("monday", return_state=True)

    assert flow_run_of(state).name == "etl-monday"
    assert [run.name for run in task_runs_of(state)] == ["load orders from shop", "load customers from crm"]


def test_names_can_be_computed():
    @task(task_run_name=lambda: f"in {runtime.flow_run.name}")
    def one(x: int) -> None: ...

    @flow(flow_run_name=lambda parameters: f"run of {parameters['x']}")
    def outer(x: int) -> None:
        one(x)

    state = outer(7, return_state=True)

    assert flow_run_of(state).name == "run of 7"
    assert task_runs_of(state)[0].name == "in run of 7"


def test_template_with_an_unknown_parameter_is_reported():
    @flow(flow_run_name="etl-{date}")
    def etl(day: str) -> None: ...

    with pytest.raises(UsageError, match=r"flow_run_name='etl-\{date\}'.*'date'.*day"):
        etl("monday")


@pytest.mark.parametrize("option", [3, ["a"]])
def test_invalid_names_are_refused(option: Any):
    with pytest.raises(UsageError, match="flow_run_name must be a text"):
        flow(flow_run_name=option)(lambda: None)
    with pytest.raises(UsageError, match="task_run_name must be a text"):
        task(task_run_name=option)(lambda: None)


@pytest.mark.parametrize("decorate", [lambda name: task(task_run_name=name), lambda name: flow(flow_run_name=name)])
def test_names_cannot_come_from_coroutine_functions(decorate: Callable[[Any], Any]):
    async def named() -> str:
        return "load"

    class Named:
        async def __call__(self) -> str:
            return "load"

    for name in (named, partial(named), Named()):
        with pytest.raises(UsageError, match="_run_name must be a text or a function, and not a coroutine function"):
            decorate(name)(lambda: None)


def test_names_cannot_come_from_functions_that_return_coroutines():
    async def named() -> str:
        return "load"

    @task(task_run_name=lambda: named())
    def load() -> None: ...

    @flow(flow_run_name=lambda parameters: named())
    def etl() -> None: ...

    for called, option in ((flow(lambda: load()), "task_run_name"), (etl, "flow_run_name")):
        with pytest.raises(UsageError, match=f"{option} returned a coroutine, which nothing awaits"):
            called()


def test_flow_names_that_urls_cannot_carry_are_refused():
    with pytest.raises(UsageError, match="choose one without"):
        flow(name="a/b")(lambda: None)


def test_tags_come_from_the_declaration_and_from_around():
    @flow(tags=["daily"])
    def outer() -> None:
        tagged()
        with tags("inner"):
            tagged()
            tagged.submit()

    with tags("outer", "more"):
        state = outer(return_state=True)

    assert sorted(flow_run_of(state).tags) == ["daily", "more", "outer"]
    assert [sorted(run.tags) for run in task_runs_of(state)] == [
        ["more", "outer", "own"],
        ["inner", "more", "outer", "own"],
        ["inner", "more", "outer", "own"],
    ]


def test_tags_end_with_their_block():
    with tags("a") as now:
        assert now == {"a"}
        with tags("b") as inner:
            assert inner == {"a", "b"}
    with tags() as after:
        assert after == frozenset()


def test_version_is_a_digest_of_the_file_unless_it_is_given():
    @flow
    def by_file() -> None: ...

    @flow(version="1.2")
    def by_hand() -> None: ...

    assert by_file.version is not None
    assert len(by_file.version) == 32
    assert flow_run_of(by_file(return_state=True)).flow_version == by_file.version
    assert flow_run_of(by_hand(return_state=True)).flow_version == "1.2"


def test_description_is_the_docstring_unless_it_is_given():
    @flow
    def documented() -> None:
        """Loads."""

    assert documented.description == "Loads."
    assert task(description="Said")(lambda: None).description == "Said"


def test_runs_know_themselves():
    @task(tags=["t"])
    def inside(x: int) -> dict[str, Any]:
        run = runtime.task_run
        return {"name": run.name, "id": run.id, "count": run.run_count, "parameters": run.parameters, "tags": run.tags}

    @flow
    def child() -> Any:
        return runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id

    @flow
    def outer(n: int) -> Any:
        run = runtime.flow_run
        return run.id, run.name, run.parameters, run.flow_name, run.run_count, inside(n), child()

    state = outer(3, return_state=True)

    id, name, parameters, flow_name, count, of_task, (parent, root) = state.result()
    recorded = flow_run_of(state)
    assert (id, name, parameters, flow_name, count) == (str(recorded.id), recorded.name, {"n": 3}, "outer", 1)
    assert parent == root == id
    assert of_task["name"] == "inside-0"
    assert (of_task["count"], of_task["parameters"], of_task["tags"]) == (1, {"x": 3}, ["t"])


def test_outside_of_runs_there_is_nothing_to_know():
    assert runtime.flow_run.id is None
    assert runtime.flow_run.parameters == {}
    assert runtime.task_run.name is None
    with pytest.raises(AttributeError, match="it has id, name"):
        _ = runtime.flow_run.nonsense
    with pytest.raises(MissingContext):
        get_run_context()


def test_context_gives_run_parameters_and_flow():
    @task
    def inside(x: int) -> Any:
        context = get_run_context()
        return context.task_run.name, context.task.name, context.parameters, context.flow_run.flow.name

    @flow
    def outer() -> Any:
        context = get_run_context()
        return context.flow.name, context.flow_run.name is not None, inside(1)

    assert outer() == ("outer", True, ("inside-0", "inside", {"x": 1}, "outer"))


def test_tasks_of_one_name_are_distinguished_by_their_place():
    def made(n: int) -> Any:
        @task(name="same")
        def same() -> int:
            return n

        return same

    @task(name="same")
    def other() -> int:
        return 0

    @flow
    def outer() -> None:
        made(1)()
        other()

    runs = task_runs_of(outer(return_state=True))

    assert [run.dynamic_key for run in runs] == ["0", "0"]
    assert len({run.task_key for run in runs}) == 2


def test_states_are_recorded_for_each_of_many_runs():
    @task
    def one(n: int) -> int:
        return n

    @flow
    def outer() -> None:
        for n in range(120):
            one(n)

    state = outer(return_state=True)

    runs = task_runs_of(state)
    assert [run.dynamic_key for run in runs] == [str(n) for n in range(120)]
    assert states_of(runs[-1]) == ["Pending", "Running", "Completed"]


def test_naming_functions_may_ask_about_the_run():
    def name_of_task_run() -> str:
        return f"{runtime.task_run.task_name} {runtime.task_run.parameters['x']}"

    def name_of_flow_run() -> str:
        return f"{runtime.flow_run.flow_name} {runtime.flow_run.parameters['day']}"

    @task(task_run_name=name_of_task_run)
    def loads(x: int) -> int:
        return x

    @flow(flow_run_name=name_of_flow_run)
    def daily(day: int) -> int:
        return loads(day)

    state = daily("3", return_state=True)

    assert flow_run_of(state).name == "daily 3"
    assert [run.name for run in task_runs_of(state)] == ["loads 3"]


def test_naming_function_that_raises_fails_the_run():
    def broken() -> str:
        raise KeyError("day")

    @flow(flow_run_name=broken)
    def daily() -> None: ...

    state = daily(return_state=True)

    assert_failed(state, "flow_run_name raised KeyError")
    with pytest.raises(KeyError):
        daily()


def test_template_that_cannot_be_filled_in_fails_the_run():
    @flow(flow_run_name="for {month}")
    def daily(day: int) -> None: ...

    state = daily(3, return_state=True)

    assert_failed(state, "the parameters to use in braces are: day")


@pytest.mark.parametrize("name", ["etl ", " etl", "etl\u00a0daily", "etl\u2009daily"], ids=ascii)
def test_a_flow_whose_name_has_odd_spaces_runs(name: str):
    state = flow(name=name)(lambda: 1)(return_state=True)

    assert state.result() == 1
    assert flow_runs(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("own \u200broll", "U+200B ZERO WIDTH SPACE"),
        ("own \u202elor", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("own \u3164", "U+3164 HANGUL FILLER"),
        ("own\u00a0roll", "U+00A0 NO-BREAK SPACE"),
        (" own", "begin or end with a space"),
    ],
    ids=ascii,
)
def test_a_program_is_warned_once_of_a_name_that_people_cannot_read(
    name: str, why: str, caplog: pytest.LogCaptureFixture
):
    def nothing() -> None: ...

    first = flow(name=name)(nothing)
    again = flow(name=name)(nothing).with_options(retries=1)
    first.to_deployment(name, entrypoint="flows.py:nothing")
    again.to_deployment(name, entrypoint="flows.py:nothing")

    messages = [record.getMessage() for record in caplog.records if "Choose another name" in record.getMessage()]
    assert [first.name, again.name] == [name, name]
    assert ["flow" in messages[0], "deployment" in messages[1], len(messages)] == [True, True, 2]
    assert all(why in one and ascii(name) in one for one in messages)
