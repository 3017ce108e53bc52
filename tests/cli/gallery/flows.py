"""The flows that the examples in the help of `orion` speak of."""

from __future__ import annotations

from orionflow import create_table_artifact, flow, get_run_logger, task


@task
def extract(day: str) -> list[int]:
    get_run_logger().warning("row 7 of %s is odd", day)
    return [1, 2, 3]


@task
def load(rows: list[int], limit: int) -> int:
    if limit == 0:
        raise ValueError("nothing may be loaded")
    return len(rows)


@flow
def etl(day: str = "2026-01-01", limit: int = 5) -> int:
    return load(extract(day), limit)


@flow(name="etl", persist_result=True)
def kept(day: str = "2026-01-01") -> int:
    return len(extract.with_options(persist_result=True)(day))


@flow
def monitor() -> None:
    extract("today")


@flow
def report() -> None:
    create_table_artifact([{"city": "Berlin", "rows": 3}], key="daily-report")
