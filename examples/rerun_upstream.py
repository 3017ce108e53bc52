"""If the validation of the data fails, the tasks before it run again: an ordinary loop is enough.

python examples/rerun_upstream.py
"""

from __future__ import annotations

from orionflow import flow, get_run_logger, task


@task(task_run_name="download-{attempt}")
def download(attempt: int) -> list[int]:
    """Return the numbers; the first download is incomplete."""
    return [1, 2, 3] if attempt == 1 else [1, 2, 3, 4, 5]


@task
def clean(numbers: list[int]) -> list[int]:
    return [number for number in numbers if number > 0]


@task
def validate(numbers: list[int], expected: int = 5) -> None:
    if len(numbers) != expected:
        raise ValueError(f"{expected} numbers were expected, {len(numbers)} came")


@flow(name="rerun-upstream")
def validated(most: int = 3) -> int:
    for attempt in range(1, most + 1):
        numbers = clean(download(attempt))
        if validate(numbers, return_state=True).is_completed():
            return sum(numbers)
        get_run_logger().warning("the data did not pass; downloading again")
    raise ValueError(f"the data did not pass {most} times")


if __name__ == "__main__":
    print(f"sum of the valid numbers: {validated()}")
