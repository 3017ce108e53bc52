"""Extract, transform, load: one row fails at first, is retried by itself, and the other rows do not wait for it.

python examples/etl_with_retry.py
"""

from __future__ import annotations

from typing import TypedDict

from orionflow import flow, get_run_logger, task


class Order(TypedDict):
    id: int
    amount: str
    currency: str


ORDERS = [
    Order(id=1, amount="12.50", currency="EUR"),
    Order(id=2, amount="7,20", currency="EUR"),
    Order(id=3, amount="99.00", currency="USD"),
]
DOLLARS_PER_EURO = 1.1

tries: dict[int, int] = {}


@task
def extract() -> list[Order]:
    return ORDERS


@task(retries=2, retry_delay_seconds=[0.1, 1], task_run_name="transform-{row[id]}")
def transform(row: Order) -> tuple[int, float]:
    """Convert the amount to euros. The service for exchange rates answers only at the second attempt."""
    tries[row["id"]] = tries.get(row["id"], 0) + 1
    if row["currency"] == "USD" and tries[row["id"]] < 2:
        raise TimeoutError("the service for exchange rates did not answer")
    amount = float(row["amount"].replace(",", "."))
    return row["id"], round(amount / (DOLLARS_PER_EURO if row["currency"] == "USD" else 1), 2)


@task
def load(rows: list[tuple[int, float]]) -> float:
    get_run_logger().info("loaded %s rows", len(rows))
    return round(sum(amount for _, amount in rows), 2)


@flow(name="etl")
def etl() -> float:
    return load([row.result() for row in transform.map(extract())])


if __name__ == "__main__":
    print(f"total: {etl()} EUR; tries per row: {dict(sorted(tries.items()))}")
