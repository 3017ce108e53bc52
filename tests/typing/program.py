"""Programs of users as type checkers see them: each `assert_type` is checked by mypy and by pyright."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, assert_type

from orionflow import Flow, RunInput, State, Task, flow, pause_flow_run, suspend_flow_run, task
from orionflow.deployments import run_deployment
from orionflow.futures import Future
from orionflow.wire import FlowRun

X = TypeVar("X")


class Approval(RunInput):
    approved: bool


@task
def double(x: int) -> int:
    return 2 * x


@task(retries=3)
async def fetch(url: str) -> bytes:
    return url.encode()


class Scaler:
    factor = 3

    @task
    def scale(self, x: int, *, by: float = 1) -> float:
        return self.factor * x * by

    @task(retries=1)
    async def later(self, x: int) -> str:
        return str(x)

    @flow
    def run(self, x: int) -> float:
        return self.scale(x, by=2.5)

    @flow(retries=1)
    async def run_later(self, x: int) -> str:
        return await self.later(x)

    @task
    @classmethod
    def made(cls, x: int) -> Scaler:
        return cls()


class Child(Scaler):
    factor = 4


class Boxed(Generic[X]):
    def __init__(self, value: X) -> None:
        self.value = value

    @task
    def get(self, other: X) -> X:
        return self.value or other


@flow
def etl(day: str, rows: int = 3) -> list[int]:
    assert_type(double(1), int)
    assert_type(double(1, return_state=True), State[int])
    assert_type(double(1, wait_for=[]), int)
    assert_type(double.submit(1), Future[int])
    assert_type(double.submit(double.submit(1)), Future[int])
    assert_type(double.submit(1, return_state=True), State[int])
    assert_type(double.submit(1, wait_for=[double.submit(2)]), Future[int])
    assert_type(double.fn(1), int)
    assert_type(double.with_options(retries=2)(1), int)
    assert_type(fetch.submit("a"), Future[bytes])
    assert_type(Scaler().scale(1, by=2.0), float)
    assert_type(Scaler().scale.submit(1), Future[float])
    assert_type(Scaler().scale(1, return_state=True), State[float])
    assert_type(Scaler().run(1), float)
    assert_type(pause_flow_run(wait_for_input=Approval), Approval)
    assert_type(suspend_flow_run(wait_for_input=Approval), Approval)
    assert_type(pause_flow_run(wait_for_input=int), int)
    assert_type(run_deployment("etl/prod"), FlowRun)
    assert_type(Scaler.made(1), Scaler)
    assert_type(Scaler().made(1), Scaler)
    assert_type(Child().scale(1), float)
    assert_type(Boxed(1).get(2), int)
    return [double(rows)]


@flow
async def crawl(url: str) -> bytes:
    assert_type(await fetch(url), bytes)
    assert_type(await fetch(url, return_state=True), State[bytes])
    assert_type(fetch.submit(url), Future[bytes])
    assert_type(await Scaler().later(1), str)
    assert_type(await Scaler().run_later(1), str)
    assert_type(await pause_flow_run(wait_for_input=Approval), Approval)
    assert_type(await run_deployment("etl/prod"), FlowRun)
    return await fetch(url)


assert_type(etl("monday"), list[int])
assert_type(etl("monday", return_state=True), State[list[int]])
assert_type(etl("monday", return_state=True).result(), list[int])
assert_type(etl.fn("monday"), list[int])


async def main() -> None:
    assert_type(await crawl("a"), bytes)
    assert_type(await crawl("a", return_state=True), State[bytes])


def takes(given_flow: Flow[..., Any], given_task: Task[[int], int]) -> None: ...


takes(etl, double)
takes(Scaler().run, double)
