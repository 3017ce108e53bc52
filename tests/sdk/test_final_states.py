"""The final state of a flow follows from what it returns or raises, and from its runs when it returns nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from orionflow import allow_failure, flow, task
from orionflow.errors import CancelledRun, FailedRun, UpstreamFailed
from orionflow.states import Cancelled, Completed, Failed, StateType
from orionflow.testing import assert_completed, assert_failed, states_of, task_runs_of


@task
def good() -> str:
    return "good"


@task
def bad() -> str:
    raise ValueError("bad")


def test_raised_exception_fails_the_flow_and_reaches_the_caller():
    @flow
    def failing() -> None:
        bad()

    with pytest.raises(ValueError, match="bad"):
        failing()


def test_failed_flow_has_the_exception_in_its_message():
    @flow
    def failing() -> None:
        raise RuntimeError("nope")

    state = failing(return_state=True)

    assert_failed(state, "RuntimeError: nope")
    assert isinstance(state.result(raise_on_failure=False), RuntimeError)


def test_flow_that_handles_an_exception_and_returns_a_value_completes():
    @flow
    def careful() -> str:
        try:
            return bad()
        except ValueError:
            return "handled"

    state = careful(return_state=True)

    assert_completed(state)
    assert state.result() == "handled"


def test_flow_that_returns_nothing_fails_with_any_of_its_tasks():
    @flow
    def careless() -> None:
        good()
        with contextlib.suppress(ValueError):
            bad()

    state = careless(return_state=True)

    assert_failed(state, "1/2 runs failed.")
    with pytest.raises(ValueError, match="bad"):
        state.result()


def test_flow_that_returns_nothing_counts_submitted_tasks():
    @flow
    def submitting() -> None:
        good.submit()
        bad.submit()

    assert_failed(submitting(return_state=True), "1/2 runs failed.")


def test_flow_that_returns_nothing_counts_subflows():
    @flow
    def child() -> None:
        raise ValueError("child")

    @flow
    def parent() -> None:
        child(return_state=True)

    assert_failed(parent(return_state=True), "1/1 runs failed.")


def test_flow_that_returns_nothing_completes_with_its_tasks():
    @flow
    def fine() -> None:
        good()
        good.submit()

    state = fine(return_state=True)

    assert_completed(state)
    assert state.result() is None


def test_empty_flow_completes():
    @flow
    def empty() -> None: ...

    assert_completed(empty(return_state=True))
    assert empty() is None


def test_returned_data_completes_the_flow_even_if_tasks_failed():
    @flow
    def returns_data() -> str:
        bad.submit()
        return "data"

    assert returns_data() == "data"


def test_returned_future_decides():
    @flow
    def of_good() -> Any:
        bad.submit()
        return good.submit()

    @flow
    def of_bad() -> Any:
        good.submit()
        return bad.submit()

    assert_completed(of_good(return_state=True))
    assert_failed(of_bad(return_state=True), "1/1 runs failed.")
    with pytest.raises(ValueError, match="bad"):
        of_bad()


@pytest.mark.parametrize("kind", [list, tuple])
def test_returned_collection_of_futures_and_states_is_added_up(kind: type):
    @flow
    def several() -> Any:
        return kind([good.submit(), bad.submit(), good(return_state=True)])

    state = several(return_state=True)

    assert_failed(state, "1/3 runs failed.")
    assert [one.name for one in state.result(raise_on_failure=False)] == ["Completed", "Failed", "Completed"]


def test_states_inside_of_data_do_not_decide():
    @flow
    def with_dict() -> Any:
        return {"bad": bad.submit(), "number": 1}

    state = with_dict(return_state=True)

    assert_completed(state)
    assert state.result()["bad"].is_failed()


def test_state_made_by_hand_is_taken_as_it_is():
    @flow
    def by_hand(fails: bool) -> Any:
        return Failed(name="TooSmall", message="only 3 rows") if fails else Completed(message="fine", data=42)

    failed, completed = by_hand(True, return_state=True), by_hand(False, return_state=True)

    assert (failed.type, failed.name, failed.message) == (StateType.FAILED, "TooSmall", "only 3 rows")
    assert states_of(failed) == ["Pending", "Running", "TooSmall"]
    assert (completed.message, completed.result()) == ("fine", 42)
    with pytest.raises(FailedRun, match="only 3 rows"):
        by_hand(True)


def test_task_can_return_a_state():
    @task
    def by_hand() -> Any:
        return Failed(message="not today", data="why")

    @flow
    def outer() -> Any:
        return by_hand(return_state=True)

    state = outer(return_state=True)

    assert_failed(state)
    assert task_runs_of(state)[0].state.message == "not today"


def test_cancelled_state_cancels_before_it_fails():
    @task
    def cancelled() -> Any:
        return Cancelled()

    @flow
    def several() -> Any:
        return [cancelled.submit(), bad.submit(), good.submit()]

    state = several(return_state=True)

    assert state.is_cancelled()
    assert "1/3 runs were cancelled" in state.message
    with pytest.raises(CancelledRun):
        state.result()


def test_task_whose_input_failed_does_not_start():
    @task
    def downstream(x: Any) -> str:
        return "ran"

    @flow
    def outer() -> Any:
        state = downstream.submit(bad.submit()).wait()
        return state.name, state.type, downstream.submit(allow_failure(bad.submit())).result()

    state = outer(return_state=True)

    assert state.result() == ("NotReady", "PENDING", "ran")
    names = sorted((run.name, run.state_name) for run in task_runs_of(state))
    assert names == [
        ("bad-0", "Failed"),
        ("bad-1", "Failed"),
        ("downstream-0", "NotReady"),
        ("downstream-1", "Completed"),
    ]


def test_value_of_a_task_that_did_not_start_is_the_reason():
    @task
    def downstream(x: Any) -> str:
        return "ran"

    @flow
    def outer() -> Any:
        return downstream(bad.submit())

    with pytest.raises(UpstreamFailed, match=r"is Failed.*allow_failure"):
        outer()


def test_wait_for_a_failed_run_does_not_start_either():
    @flow
    def outer() -> Any:
        failed = bad.submit()
        return [good(wait_for=[failed], return_state=True).name, good(wait_for=[allow_failure(failed)])]

    assert outer() == ["NotReady", "good"]


def test_flow_that_returns_nothing_fails_when_a_task_never_started():
    @task
    def downstream(x: Any) -> None: ...

    @flow
    def outer() -> None:
        downstream.submit(Failed(message="before"))

    assert_failed(outer(return_state=True), "1/1 runs did not finish.")


def test_allowed_failure_hands_over_the_exception():
    @task
    def describe(error: Any) -> str:
        return f"{type(error).__name__}: {error}"

    @flow
    def outer() -> str:
        return describe(allow_failure(bad.submit()))

    assert outer() == "ValueError: bad"


def test_unfinished_tasks_are_waited_for_when_the_flow_fails():
    ended: list[str] = []

    @task
    def slow() -> None:
        import time

        time.sleep(0.1)
        ended.append("slow")

    @flow
    def failing() -> None:
        slow.submit()
        raise RuntimeError("now")

    state = failing(return_state=True)

    assert ended == ["slow"]
    assert [run.state_name for run in task_runs_of(state)] == ["Completed"]


@pytest.mark.parametrize("given", [{"value": 5}, {"data": 5}, {"value": 5, "data": {"of": "the program"}}])
@pytest.mark.parametrize("kind", ["task", "flow", "subflow", "stored"])
def test_the_value_of_a_state_that_the_program_made_is_the_runs_value(given: dict[str, Any], kind: str):
    def made() -> Any:
        return Completed(message="by hand", **given)

    @flow
    def of_a_task() -> Any:
        return [task(made, persist_result=kind == "stored")()]

    @flow
    def of_a_subflow() -> Any:
        return [flow(made)()]

    match kind:
        case "flow":
            assert flow(made)() == 5
        case "subflow":
            assert of_a_subflow() == [5]
        case _:
            assert of_a_task() == [5]


def test_states_made_by_hand_keep_falsy_values_and_exceptions():
    error = ValueError("my own")

    assert [flow(lambda value=value: Completed(value=value))() for value in (0, "", [], False)] == [0, "", [], False]
    assert flow(lambda: Completed())() is None
    failed = flow(lambda: Failed(message="no", value=error))(return_state=True)
    assert failed.result(raise_on_failure=False) is error
    assert failed.message == "no"
