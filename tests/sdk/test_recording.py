"""Recording never stops the work: whatever a program hands over or shows, its runs end as they would without it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow import Flow, flow, get_run_logger, tags, task
from orionflow.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from orionflow.reporting import close_reporters
from orionflow.settings import override_settings
from orionflow.states import Completed, Failed, State
from orionflow.testing import assert_completed, assert_failed, flow_run_of, flow_runs, logs_of, states_of, task_runs_of
from tests.rounds import examples
from tests.sdk.test_with_server import ApiServer

pytestmark = pytest.mark.turns


class Hostile:
    """Nobody can show it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no format")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runner cannot pass on some of these texts: neither as captured lines nor as output."""
    for handler in logging.getLogger().handlers:
        monkeypatch.setattr(handler, "level", 2**60)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"))


@pytest.fixture(params=["in process", "over HTTP"], autouse=True)
def api(request: pytest.FixtureRequest, orion: Any) -> Iterator[None]:
    if request.param == "in process":
        yield
        return
    server = ApiServer()
    server.start()
    try:
        with override_settings(api_url=server.url):
            yield
            close_reporters()
    finally:
        server.stop()


def nested(levels: int) -> Any:
    value: Any = "core"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def shared(levels: int) -> Any:
    """Small in memory, larger than any disk when it is written out."""
    value: Any = [1]
    for _ in range(levels):
        value = [value, value]
    return value


texts = st.one_of(
    st.text(),
    st.sampled_from(
        ["a\x00b", "caf\udce9.txt", "\ud800\udc00", "\x1b]52;c;aGk=\x07", "ü" * 3000, "", " ", "/%&><", "{x}"]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, float("nan"), float("inf"), 1e308, True]),
)
plain = st.one_of(texts, numbers, st.none(), st.binary(), st.complex_numbers(), st.decimals(), st.dates(), st.uuids())
odd_objects = st.builds(lambda make: make(), st.sampled_from([Hostile, object, lambda: iter([1]), lambda: {1, "a"}]))
values = st.recursive(
    plain | odd_objects,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
few = examples(6, 150)
LARGE = [
    pytest.param("z" * 20_000_000, id="20 MB of text"),
    pytest.param(list(range(3_000_000)), id="3 million numbers"),
    pytest.param(nested(70), id="70 levels"),
    pytest.param(nested(5_000), id="5,000 levels"),
    pytest.param(shared(60), id="shared parts"),
    pytest.param(2**63, id="2**63"),
    pytest.param(10**5000, id="a number of 5,000 digits"),
    pytest.param("\x00", id="NUL"),
    pytest.param("\udce9", id="surrogate"),
    pytest.param(Hostile(), id="hostile"),
]


@flow(validate_parameters=False)
def takes(*args: Any, **kwargs: Any) -> int:
    return len(args) + len(kwargs)


@given(given=st.lists(values, max_size=2), named=st.dictionaries(texts.filter(lambda t: t not in RESERVED), values))
@few
def test_any_parameters_are_recorded(given: list[Any], named: dict[str, Any]):
    state = takes(*given, **named, return_state=True)

    assert state.result() == len(given) + len(named)
    assert flow_run_of(state).state_name == "Completed"


RESERVED = ("return_state", "wait_for", "self")


@pytest.mark.parametrize("value", LARGE)
def test_parameters_that_no_api_takes_are_described(value: Any):
    @flow
    def one(value: Any, other: int) -> Any:
        return value

    state = one(value, other=7, return_state=True)

    assert state.result() is value
    recorded = flow_run_of(state).parameters
    assert recorded["other"] == 7
    assert any("Parameter 'value' is recorded in a changed form" in line.message for line in logs_of(state))


def test_numbers_beyond_64_bits_are_recorded_as_text():
    state = takes(2**63, {"n": [2**64]}, return_state=True)

    assert flow_run_of(state).parameters == {"args": [str(2**63), {"n": [str(2**64)]}], "kwargs": {}}


@given(text=texts | values)
@few
def test_any_text_of_an_exception_ends_a_run_as_failed(text: Any):
    @task
    def reads() -> None:
        raise ValueError(text)

    @flow
    def handles() -> str:
        return "handled" if reads(return_state=True).is_failed() else "not"

    @flow
    def fails() -> None:
        raise ValueError(text)

    handled, failed = handles(return_state=True), fails(return_state=True)

    assert handled.result() == "handled"
    assert states_of(task_runs_of(handled)[0]) == ["Pending", "Running", "Failed"]
    assert flow_run_of(failed).state_name == "Failed"


class FrozenError(Exception):
    """An exception that says yes to every attribute, and lets none be set."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: name

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("frozen")

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError("z" * 20_000_000), FrozenError(), ValueError(Hostile())])
def test_exceptions_that_cannot_be_shown_do_not_crash_their_handlers(error: Exception):
    @task(retries=1)
    def reads() -> None:
        raise error

    @flow
    def handles() -> str:
        try:
            reads()
        except type(error):
            return "handled"
        return "not"

    state = handles(return_state=True)

    assert state.result() == "handled"
    assert states_of(task_runs_of(state)[0])[-1] == "Failed"


@given(name=values, tag=values)
@few
def test_any_names_and_tags_are_recorded(name: Any, tag: Any):
    @task(task_run_name=lambda: name)
    def one() -> int:
        return 1

    @flow(flow_run_name=lambda: name)
    def outer() -> int:
        with tags(tag):
            return one() + one.submit().result()

    state = outer(return_state=True)

    assert state.result() == 2
    assert [run.state_name for run in task_runs_of(state)] == ["Completed"] * 2
    assert all(len(run.tags) == 1 for run in task_runs_of(state))


@given(value=values)
@few
def test_any_value_may_be_in_the_template_of_a_name(value: Any):
    @task(task_run_name="load {value}")
    def one(value: Any) -> int:
        return 1

    @flow(flow_run_name="load {value}", validate_parameters=False)
    def outer(value: Any) -> int:
        return one(value)

    assert outer(value) == 1


def test_names_of_any_length_and_kind_are_recorded():
    long = "x" * 5000

    @task(name=long, version=long, tags=[long, "a\x00"], retries=2**40, retry_delay_seconds=1e300)
    def one() -> int:
        return 1

    @flow(name=f"{long}\x00\n", version=7, tags=[str(n) for n in range(2000)])  # type: ignore[call-overload]
    def outer() -> int:
        return one()

    one.task_key = one.task_key
    state = outer(return_state=True)

    assert state.result() == 1
    assert len(flow_runs(outer.name)) == 1


def test_long_names_of_flows_stay_different():
    first, second = (Flow(lambda: None, name="x" * 300 + end) for end in "ab")

    assert first.name != second.name
    assert len(first.name) <= 255


@given(message=values, arguments=st.lists(values, max_size=2), level=st.integers(1, 2**40))
@few
def test_any_log_line_is_recorded(message: Any, arguments: list[Any], level: int):
    @flow
    def outer() -> int:
        get_run_logger().log(level + 50, message, *arguments)
        return 1

    state = outer(return_state=True)

    assert state.result() == 1
    assert [line for line in logs_of(state) if line.level > 50]


def test_log_line_with_bad_arguments_is_recorded():
    @task
    def inner() -> None:
        get_run_logger().info("%d rows of %s", "many")

    @flow
    def outer() -> None:
        inner()

    state = outer(return_state=True)

    (line,) = [line.message for line in logs_of(state) if "rows" in line.message]
    assert "%d rows of %s" in line
    assert "'many'" in line


def test_lines_may_bear_names_of_their_own_for_what_they_are_about():
    @flow
    def outer() -> None:
        get_run_logger().warning("mine", extra={"flow_run_id": "not an id", "task_run_id": 7})

    assert any(line.message == "mine" for line in logs_of(outer(return_state=True)))


@given(made=st.sampled_from([Completed, Failed]), name=texts.filter(bool), message=values, data=values)
@few
def test_any_state_that_a_program_makes_is_recorded(
    made: Callable[..., State[Any]], name: str, message: Any, data: Any
):
    @flow
    def outer() -> Any:
        return made(name=name, message=message, data=data)

    state = outer(return_state=True)

    assert flow_run_of(state).state_type == made().type


@pytest.mark.parametrize("large", ["z" * 20_000_000, nested(80), 2**70])
def test_literals_that_no_api_takes_are_not_recorded(large: Any):
    @flow
    def outer() -> Any:
        return Completed(data={"type": "literal", "value": large})

    assert_completed(outer(return_state=True))


@given(content=values, key=values, description=values, table=values)
@few
def test_any_artifact_is_taken(content: Any, key: Any, description: Any, table: Any):
    @flow
    def outer() -> int:
        create_markdown_artifact(content, key=key, description=description)
        create_link_artifact(content, link_text=content, key=key)
        create_table_artifact(table, key=key)
        return 1

    assert outer() == 1


@pytest.mark.parametrize("value", LARGE)
def test_artifacts_that_no_api_takes_are_cut(value: Any):
    @flow
    def outer() -> int:
        create_markdown_artifact(value)
        create_table_artifact([[1, value]])
        return 1

    assert outer() == 1


def test_a_table_of_many_rows_is_cut():
    @flow
    def outer() -> int:
        create_table_artifact([[row, "x" * 1000] for row in range(20_000)])
        return 1

    assert outer() == 1


@pytest.mark.parametrize("key", ["x" * 2001, 7, ["a"], "nul\x00", "\udce9", Hostile()])
def test_cache_keys_that_cannot_be_stored_are_ignored(key: Any):
    calls = []

    @task(cache_key_fn=lambda *_: key)
    def one() -> int:
        calls.append(1)
        return 1

    @flow
    def outer() -> int:
        return one() + one()

    state = outer(return_state=True)

    assert state.result() == 2
    assert len(calls) == 2
    assert any("the run is not cached" in line.message for line in logs_of(state))


def test_cache_key_function_that_raises_gives_no_key():
    @task(cache_key_fn=lambda *_: 1 / 0)  # type: ignore[arg-type,return-value]
    def one() -> int:
        return 1

    @flow
    def outer() -> int:
        return one()

    state = outer(return_state=True)

    assert state.result() == 1
    assert any("ZeroDivisionError" in line.message for line in logs_of(state))


def test_failure_that_cannot_be_shown_is_a_failure():
    @flow
    def outer() -> None:
        raise FrozenError

    assert_failed(outer(return_state=True), "FrozenError")
