"""Mistakes that both type checkers have to find: one in each line with `# wrong`."""

from __future__ import annotations

from orionflow import flow, task


@task
def double(x: int) -> int:
    return 2 * x


class Scaler:
    @task
    def scale(self, x: int) -> float:
        return x


@flow
def etl() -> None:
    double("a")  # wrong
    double(1, 2)  # wrong
    text: str = double(1)  # wrong
    Scaler().scale("a")  # wrong
    state: int = double(1, return_state=True)  # wrong
    future: int = double.submit(1)  # wrong
    print(text, state, future)
