"""The cause in the state of a failed run: the same for a task run, its flow run, and the flow run around that."""

from __future__ import annotations

import time

import pytest

from orionflow import flow, task
from orionflow.contract.fingerprints import cause_of_state
from orionflow.engine import causes
from orionflow.states import Completed, Failed
from orionflow.task_runners import ProcessTaskRunner
from orionflow.testing import flow_run_of, task_runs_of


@task
def load_rows(day: int) -> None:
    raise KeyError(f"customer_{day}")


@task
def good() -> int:
    return 1


def cause_of(state) -> dict[str, str]:
    return state.state_details.cause or {}


def kind_and_place(state) -> tuple[str, str]:
    cause = cause_of(state)
    assert "message" not in cause
    return cause["type"], cause["place"]


def test_a_task_its_flow_and_the_flow_around_it_have_one_cause():
    @flow
    def inner() -> None:
        good()
        load_rows(3)

    @flow
    def outer() -> None:
        inner()

    states = [outer(return_state=True), inner(return_state=True)]

    assert kind_and_place(states[0]) == ("KeyError", "test_causes.py:load_rows")
    assert cause_of(states[0]) == cause_of(states[1])


def test_a_flow_has_the_cause_of_the_first_task_that_failed():
    @task
    def other() -> None:
        raise ValueError("late")

    @flow
    def fan() -> None:
        first = load_rows.submit(1)
        first.wait()
        other.submit().wait()

    state = fan(return_state=True)

    assert state.message == "2/2 runs failed."
    assert kind_and_place(state)[0] == "KeyError"


@pytest.mark.parametrize("wait", [True, False])
def test_a_task_that_could_not_start_has_the_cause_of_its_input(wait: bool):
    @task
    def total(rows: list[None]) -> None:
        """Never starts."""

    @flow
    def waiting() -> None:
        rows = load_rows.map([1, 2])
        total(rows) if wait else total.submit(rows).result()

    state = waiting(return_state=True)

    assert "UpstreamFailed" in (state.message or "")
    assert kind_and_place(state) == ("KeyError", "test_causes.py:load_rows")


def test_a_problem_of_an_input_has_its_words():
    message = "The flow raised orionflow.errors.UpstreamFailed: The upstream run 'price-1' is Failed: The task raised "
    message += "ValueError: 'h0ney' is not for sale; mark the argument with allow_failure() to run all the same."
    given = {"fingerprint": "0" * 32, "type": "ValueError", "place": "shop.py:price"}

    cause = cause_of_state(given, "Failed", message)

    assert cause == cause_of_state(given, "Failed", "The task raised ValueError: 'h0ney' is not for sale")


def test_a_returned_state_brings_its_cause():
    @flow
    def returning():
        return load_rows(1, return_state=True)

    assert kind_and_place(returning(return_state=True))[0] == "KeyError"


def test_the_flows_own_exception_is_its_cause():
    def helper() -> None:
        raise RuntimeError("no token 17")

    @flow
    def own() -> None:
        helper()

    assert kind_and_place(own(return_state=True)) == ("RuntimeError", "test_causes.py:helper")


def test_library_frames_are_left_out():
    @flow
    def reading() -> None:
        import json

        json.loads("{")

    assert kind_and_place(reading(return_state=True)) == ("JSONDecodeError", "test_causes.py:reading")


def test_a_timeout_names_what_took_too_long():
    @task(timeout_seconds=0.05)
    def slow() -> None:
        time.sleep(3)

    @flow
    def waiting() -> None:
        slow()

    assert kind_and_place(waiting(return_state=True)) == ("TimedOut", "test_causes.py:slow")


def raise_far_away() -> None:
    raise LookupError("not here 5")


far = task(raise_far_away)


@pytest.mark.slow
def test_an_exception_of_another_process_has_the_cause_that_it_would_have_here():
    @flow(task_runner=ProcessTaskRunner(max_workers=1))
    def elsewhere() -> None:
        far.submit()

    @flow
    def here() -> None:
        far()

    assert cause_of(elsewhere(return_state=True)) == cause_of(here(return_state=True))


def test_groups_of_exceptions_differ_by_their_first():
    @flow
    def grouped(first: Exception) -> None:
        raise ExceptionGroup("two", [ExceptionGroup("one", [first]), ValueError("x")])

    one, same, other = (
        grouped(first, return_state=True) for first in (OSError("disk 4"), OSError("disk 5"), KeyError("x"))
    )

    assert kind_and_place(one) == ("ExceptionGroup", "test_causes.py:grouped")
    assert cause_of(one) == cause_of(same) != cause_of(other)


def test_hostile_exceptions_cost_the_run_nothing():
    class Hostile(Exception):
        __slots__ = ()

        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __setattr__(self, name: str, value: object) -> None:
            raise RuntimeError("no attributes")

    @flow
    def meeting() -> None:
        raise Hostile

    state = meeting(return_state=True)

    assert state.is_failed()
    assert kind_and_place(state)[0] == "Hostile"


def test_good_ends_and_states_of_the_users_own_making_have_no_cause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(causes, "note_cause", lambda *_: pytest.fail("a good end was looked at"))

    @flow
    def fine() -> int:
        return good()

    @flow
    def by_hand():
        return Completed(message="ok")

    assert fine(return_state=True).state_details.cause is None
    assert by_hand(return_state=True).state_details.cause is None


def test_a_state_that_was_failed_by_hand_is_left_to_its_words():
    @flow
    def by_hand():
        return Failed(message="no data today")

    assert by_hand(return_state=True).state_details.cause is None


def test_the_cause_is_recorded_with_task_and_flow_run():
    @flow
    def recorded() -> None:
        load_rows(1)

    state = recorded(return_state=True)

    assert cause_of(task_runs_of(state)[0].state) == cause_of(state)
    assert cause_of(flow_run_of(state).state) == cause_of(state)
