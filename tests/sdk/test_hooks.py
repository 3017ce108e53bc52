"""Hooks are called with the run and its state, in order, and can break nothing."""

from __future__ import annotations

from typing import Any

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.errors import UsageError
from orionflow.states import Cancelled
from orionflow.testing import assert_completed, logs_of


class Noted:
    """A hook that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def __call__(self, declared: Any, run: Any, state: Any) -> None:
        self.calls.append((declared.name, run.name, state.name))


def test_task_hooks():
    completed, failed = Noted(), Noted()

    @task(on_completion=[completed], on_failure=[failed])
    def maybe(works: bool) -> None:
        if not works:
            raise ValueError

    @flow
    def outer() -> str:
        maybe(True)
        maybe.submit(False).wait()
        return "done"

    outer()

    assert completed.calls == [("maybe", "maybe-0", "Completed")]
    assert failed.calls == [("maybe", "maybe-1", "Failed")]


def test_flow_hooks():
    hooks = {name: Noted() for name in ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")}

    @flow(flow_run_name="run", **{name: [hook] for name, hook in hooks.items()})
    def outer(how: str) -> Any:
        match how:
            case "fails":
                raise ValueError
            case "is cancelled":
                return Cancelled()
            case "crashes":
                raise SystemExit(3)

    outer("completes")
    outer("fails", return_state=True)
    outer("is cancelled", return_state=True)
    with pytest.raises(SystemExit):
        outer("crashes")

    assert [call[2] for call in hooks["on_running"].calls] == ["Running"] * 4
    assert hooks["on_completion"].calls == [("outer", "run", "Completed")]
    assert hooks["on_failure"].calls == [("outer", "run", "Failed")]
    assert hooks["on_cancellation"].calls == [("outer", "run", "Cancelled")]
    assert hooks["on_crashed"].calls == [("outer", "run", "Crashed")]


def test_failure_hook_waits_for_the_last_try():
    failed = Noted()

    @task(retries=2, on_failure=[failed])
    def failing() -> None:
        raise ValueError

    @flow(retries=1, on_failure=[failed])
    def outer() -> None:
        failing()

    outer(return_state=True)

    assert [name for name, _, _ in failed.calls] == ["failing", "failing", "outer"]


def test_async_hooks_are_awaited():
    calls: list[str] = []

    async def hook(declared: Any, run: Any, state: Any) -> None:
        calls.append(state.name)

    @task(on_completion=[hook])
    def inside() -> None: ...

    @flow(on_completion=[hook])
    def outer() -> None:
        inside()

    outer()

    assert calls == ["Completed", "Completed"]


async def test_async_flow_calls_both_kinds_of_hooks():
    calls: list[str] = []

    async def later(*_: Any) -> None:
        calls.append("later")

    def now(*_: Any) -> None:
        calls.append("now")

    @flow(on_completion=[later, now])
    async def outer() -> None: ...

    await outer()

    assert calls == ["later", "now"]


def test_hook_that_raises_is_logged_and_changes_nothing():
    noted = Noted()

    def broken(*_: Any) -> None:
        raise RuntimeError("hook broke")

    @flow(on_completion=[broken, noted])
    def outer() -> None: ...

    state = outer(return_state=True)

    assert_completed(state)
    assert len(noted.calls) == 1
    assert any("'broken'" in line.message and "hook broke" in line.message for line in logs_of(state))


def test_hooks_can_be_added_by_decorating():
    calls: list[str] = []

    @flow
    def outer() -> None:
        get_run_logger().info("running")

    @outer.on_completion
    def notify(*_: Any) -> None:
        calls.append("told")

    outer()

    assert calls == ["told"]
    assert notify.__name__ == "notify"


@pytest.mark.parametrize("option", [print, "print", ["print"], 3])
def test_hooks_must_be_a_list_of_functions(option: Any):
    with pytest.raises(UsageError, match="on_failure takes"):
        flow(on_failure=option)(lambda: None)
