"""A finished run is retried from a task: what was recorded before is reused, and what depends on it runs again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from orionflow import Flow, OrionClient, flow, task
from orionflow.calls.flow_runs import read_flow_run
from orionflow.calls.retries import preview_retry, read_retries, retry_flow_run
from orionflow.contract.ids import uuid7
from orionflow.contract.retries import RetryPreview, RunRetry
from orionflow.engine import retried_runs
from orionflow.engine.invoke import call_flow_for_run
from orionflow.states import State
from orionflow.testing import logs_of, states_of, task_runs_of

HERE = "test|1|2|3|4|5"


class Retried:
    """A retry that was weighed, begun and executed here."""

    def __init__(self, fn: Flow[Any, Any], run_id: UUID, *wanted: str, new_run: bool = False) -> None:
        with OrionClient() as client:
            self.preview: RetryPreview = client.send(
                preview_retry(run_id, from_tasks=wanted, new_run=new_run, process=HERE)
            )
            result = client.send(retry_flow_run(run_id, from_tasks=wanted, id=uuid7(), new_run=new_run, process=HERE))
            assert result.status == "ACCEPT", result.details
            assert result.retry is not None
            self.run_id = result.retry.flow_run_id
            run = client.send(read_flow_run(self.run_id))
        self.state: State[Any] = call_flow_for_run(fn, self.run_id, run.parameters)
        with OrionClient() as client:
            self.retry: RunRetry = client.send(read_retries(self.run_id))[0]

    @property
    def outcome(self) -> tuple[int, int, int]:
        assert self.retry.outcome is not None
        return self.retry.outcome["reused"], self.retry.outcome["again"], self.retry.outcome["new"]


# Functions are compared with what they enclose, so what changes from run to run is outside of them.
DONE: list[str] = []
FAILS: set[str] = set()


class Work:
    """Tasks that note what was really done, and fail if they shall."""

    def task(self, name: str, **options: Any) -> Any:
        def work(*inputs: Any) -> str:
            DONE.append(name)
            if name in FAILS:
                raise RuntimeError(f"{name} fails")
            return f"{name}({','.join(map(str, inputs))})"

        # Of which the key of the task is made.
        work.__qualname__ = name
        return task(name=name, **{"persist_result": True, **options})(work)

    def part(self, name: str) -> Any:
        """A task for `map`, which goes through named parameters."""

        def part(x: int) -> str:
            DONE.append(name)
            return f"{name}({x})"

        return task(name=name, persist_result=True)(part)

    def fail(self, *names: str) -> None:
        FAILS.clear()
        FAILS.update(names)

    def since(self) -> list[str]:
        done = [*DONE]
        DONE.clear()
        return done


@pytest.fixture
def work() -> Work:
    DONE.clear()
    FAILS.clear()
    return Work()


def id_of(state: State[Any]) -> UUID:
    found = state.state_details.flow_run_id
    assert found is not None
    return found


@pytest.mark.parametrize("new_run", [False, True])
@pytest.mark.parametrize("persists", [False, True], ids=["plain", "completed with a stored result"])
def test_the_chosen_task_and_what_takes_its_value_run_again(work: Work, new_run: bool, persists: bool):
    a, b, c, d = (work.task(name) for name in "abcd")

    @flow(persist_result=persists)
    def chain() -> str:
        first = a()
        return str(d(c(b(first)), first))

    before = chain(return_state=True)
    work.since()

    retried = Retried(chain, id_of(before), "c", new_run=new_run)

    assert work.since() == ["c", "d"]
    assert retried.state.result() == before.result() == "d(c(b(a())),a())"
    assert (retried.preview.reused, retried.preview.again) == (2, 2)
    assert retried.preview.causes == {"chosen": 1, "depends": 1}
    assert retried.outcome == (2, 2, 0)
    assert (retried.run_id == id_of(before)) is not new_run
    assert retried.retry.new_run is new_run


def test_task_runs_that_are_taken_up_keep_their_states_and_the_others_add_to_theirs(work: Work):
    a, b = work.task("a"), work.task("b")

    @flow
    def chain() -> str:
        return str(b(a()))

    retried = Retried(chain, id_of(chain(return_state=True)), "b")

    assert [states_of(run) for run in task_runs_of(retried.state)] == [
        ["Pending", "Running", "Completed"],
        ["Pending", "Running", "Completed", "Retrying", "Completed"],
    ]
    messages = [line.message for line in logs_of(retried.state)]
    assert "Of its calls 1 reused a result, 1 ran again, and 0 were new." in messages


def test_a_new_run_shows_what_it_took_up_as_cached(work: Work):
    a, b = work.task("a"), work.task("b")

    @flow
    def chain() -> str:
        return str(b(a()))

    before = chain(return_state=True)

    retried = Retried(chain, id_of(before), "b", new_run=True)

    assert [states_of(run) for run in task_runs_of(retried.state)] == [
        ["Pending", "Cached"],
        ["Pending", "Running", "Completed"],
    ]
    assert [states_of(run) for run in task_runs_of(before)] == [["Pending", "Running", "Completed"]] * 2


@pytest.mark.parametrize("new_run", [False, True])
def test_one_element_of_a_map_or_all_run_again(work: Work, new_run: bool):
    part, total = work.part("part"), work.task("total")

    @flow
    def mapped() -> str:
        return str(total(part.map([1, 2, 3])))

    before = mapped(return_state=True)
    work.since()

    one = Retried(mapped, id_of(before), "part-1", new_run=new_run)
    assert Counter(work.since()) == {"part": 1, "total": 1}
    assert one.outcome == (one.preview.reused, one.preview.again, 0) == (2, 2, 0)

    whole = Retried(mapped, one.run_id, "part", new_run=new_run)
    assert Counter(work.since()) == {"part": 3, "total": 1}
    assert whole.outcome == (whole.preview.reused, whole.preview.again, 0) == (0, 4, 0)
    assert whole.state.result() == before.result()


@pytest.mark.parametrize("new_run", [False, True])
def test_a_task_that_changed_its_arguments_is_counted_as_run_again(work: Work, new_run: bool):
    last = work.task("last")

    @task(persist_result=True)
    def enrich(rows: list[int]) -> None:
        DONE.append("enrich")
        rows.append(1)

    @flow
    def outer() -> str:
        rows: list[int] = []
        enrich(rows)
        return str(last(rows))

    before = outer(return_state=True)
    work.since()

    retried = Retried(outer, id_of(before), "last", new_run=new_run)

    assert work.since() == ["enrich", "last"]
    assert retried.state.result() == before.result() == "last([1])"
    assert retried.outcome == (retried.preview.reused, retried.preview.again, 0) == (0, 2, 0)


@pytest.mark.parametrize("new_run", [False, True])
def test_tasks_that_wait_for_the_chosen_one_run_again_and_later_ones_do_not(work: Work, new_run: bool):
    a, waits, after = work.task("a"), work.task("waits"), work.task("after")

    @flow
    def ordered() -> list[str]:
        first = a.submit()
        second = waits.submit(wait_for=[first])
        return [first.result(), second.result(), after()]

    before = ordered(return_state=True)
    work.since()

    retried = Retried(ordered, id_of(before), "a", new_run=new_run)

    assert work.since() == ["a", "waits"]
    assert retried.outcome == (1, 2, 0)
    assert any("take nothing from it" in note for note in retried.preview.notes)


@pytest.mark.parametrize("new_run", [False, True])
def test_failed_tasks_run_again_and_tasks_that_were_never_called_are_new(work: Work, new_run: bool):
    a, b, c = (work.task(name) for name in "abc")

    @flow
    def chain() -> str:
        return str(c(b(a())))

    work.fail("b")
    before = chain(return_state=True)
    work.fail()
    work.since()

    retried = Retried(chain, id_of(before), "@failed", new_run=new_run)

    assert work.since() == ["b", "c"]
    assert retried.state.result() == "c(b(a()))"
    assert (retried.preview.reused, retried.preview.again) == (1, 1)
    assert retried.outcome == (1, 1, 1)
    assert any("not called yet" in note for note in retried.preview.notes)


def nested(work: Work, *, child_options: Any = None) -> Flow[Any, Any]:
    a, b, c, last = work.task("a"), work.task("b"), work.task("c"), work.task("last")

    @flow(name="child", **(child_options or {"persist_result": True}))
    def child(x: str) -> str:
        return str(c(b(x)))

    @flow(name="other", persist_result=True)
    def other(x: str) -> str:
        return str(b(x))

    @flow(name="parent")
    def parent() -> str:
        first = a()
        return str(last(child(first), other(first)))

    return parent


@pytest.mark.parametrize("new_run", [False, True])
@pytest.mark.parametrize(
    ("wanted", "done", "numbers"),
    [
        # In the parent: a, other. The nested run runs again, and takes up its first task.
        ("c", ["c", "last"], (3, 3)),
        # The whole nested run.
        ("child", ["b", "c", "last"], (2, 4)),
        ("last", ["last"], (3, 1)),
        ("a", ["a", "b", "c", "b", "last"], (0, 7)),
    ],
)
def test_tasks_of_nested_runs_rerun(work: Work, new_run: bool, wanted: str, done: list[str], numbers: tuple[int, int]):
    parent = nested(work)
    before = parent(return_state=True)
    work.since()

    retried = Retried(parent, id_of(before), wanted, new_run=new_run)

    assert work.since() == done
    assert retried.state.result() == before.result()
    assert (retried.preview.reused, retried.preview.again) == numbers
    assert retried.outcome == (*numbers, 0)


@pytest.mark.parametrize("new_run", [False, True])
def test_a_nested_run_that_failed_continues_where_it_failed(work: Work, new_run: bool):
    parent = nested(work)
    work.fail("c")
    before = parent(return_state=True)
    work.fail()
    work.since()

    retried = Retried(parent, id_of(before), "@failed", new_run=new_run)

    assert work.since() == ["c", "b", "last"]
    assert retried.state.result() == "last(c(b(a())),b(a()))"
    assert (retried.preview.reused, retried.preview.again) == (2, 2)
    assert retried.outcome == (2, 2, 3)


def test_tasks_of_async_flows_run_again(work: Work):
    a = work.task("a")

    @task(persist_result=True)
    async def fetch(x: str, number: int) -> str:
        await asyncio.sleep(0)
        DONE.append(f"fetch-{number}")
        return f"{x}{number}"

    @flow
    async def gathered() -> list[str]:
        first = a()
        return list(await asyncio.gather(*[fetch(first, number) for number in range(3)]))

    before = asyncio.run(gathered(return_state=True))
    work.since()

    retried = Retried(gathered, id_of(before), "fetch-1")

    assert work.since() == ["fetch-1"]
    assert retried.state.result() == before.result()
    assert retried.outcome == (3, 1, 0)


def test_a_chosen_task_runs_though_its_result_is_cached(work: Work):
    a = work.task("a", cache_key_fn=lambda context, arguments: "the same")
    b = work.task("b")

    @flow
    def cached() -> str:
        return str(b(a()))

    a_elsewhere = flow(lambda: a(), name="elsewhere")
    before = cached(return_state=True)
    a_elsewhere()
    work.since()

    Retried(cached, id_of(before), "a")
    assert work.since() == ["a", "b"]

    Retried(cached, id_of(before), "a", new_run=True)
    assert work.since() == ["a", "b"]


class Odd:
    """A value that cannot be compared."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"odd {self.number}"

    def __reduce__(self) -> Any:
        raise TypeError("never")


@pytest.mark.parametrize("new_run", [False, True])
def test_calls_that_cannot_be_compared_are_taken_up_by_their_number_if_made_before_the_chosen_one(
    work: Work, new_run: bool
):
    odd, chosen, later = work.task("odd"), work.task("chosen"), work.task("later")

    @flow
    def mixed() -> list[str]:
        return [odd(Odd(1)), odd(Odd(2)), chosen(3), later(Odd(4))]

    before = mixed(return_state=True)
    work.since()

    retried = Retried(mixed, id_of(before), "chosen", new_run=new_run)

    # What the later one was called with may come from the chosen one, for all that is known.
    assert work.since() == ["chosen", "later"]
    assert retried.state.result() == before.result()
    assert retried.preview.reused_by_order == 2
    assert retried.preview.causes == {"chosen": 1, "unknown": 1}
    assert retried.outcome == (2, 2, 0)
    assert any("by the number of their call" in note for note in retried.preview.notes)


def test_without_stored_results_everything_runs_again_as_in_the_preview(work: Work):
    a, b = work.task("a", persist_result=False), work.task("b", persist_result=False)

    @flow
    def chain() -> str:
        return str(b(a()))

    before = chain(return_state=True)
    work.since()

    retried = Retried(chain, id_of(before), "b")

    assert work.since() == ["a", "b"]
    assert (retried.preview.reused, retried.preview.causes) == (0, {"chosen": 1, "unstored": 1})
    assert any("No result before it was stored" in note for note in retried.preview.notes)


def test_the_attempts_after_it_keep_the_new_results_and_never_the_old_ones(work: Work):
    a, b, c = (work.task(name) for name in "abc")

    @flow
    def chain() -> str:
        return str(c(b(a())))

    before = chain(return_state=True)
    work.since()
    work.fail("b")
    Retried(chain, id_of(before), "a")
    assert work.since() == ["a", "b"]
    work.fail()

    # As `orion flow-run retry --entrypoint` does: the same run once more.
    again = call_flow_for_run(chain, id_of(before), {})

    assert work.since() == ["b", "c"]
    assert again.result() == "c(b(a()))"


def test_a_run_is_retried_from_other_tasks_one_time_after_the_other(work: Work):
    a, b, c = (work.task(name) for name in "abc")

    @flow
    def chain() -> str:
        return str(c(b(a())))

    run = id_of(chain(return_state=True))
    work.since()

    done = []
    for wanted in ("c", "b", "c", "a"):
        one = Retried(chain, run, wanted, new_run=wanted == "b")
        run = one.run_id
        done.append(work.since())
        assert one.outcome == (one.preview.reused, one.preview.again, 0)

    assert done == [["c"], ["b", "c"], ["c"], ["a", "b", "c"]]


def test_calls_are_counted_in_a_process_that_is_forked_while_another_thread_counts():
    with retried_runs._counting:
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(10)
                retried_runs.Tally().count(is_taken=True, is_known=True)
                os._exit(0)
            finally:
                os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
