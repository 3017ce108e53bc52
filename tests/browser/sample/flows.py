"""The flows of a small company, which pictures of the pages show, and by which the pages can be tried out."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

from pydantic import Field

from orionflow import RunInput, flow, get_run_logger, pause_flow_run, run_deployment, task


@task
def extract(table: str, day: date) -> list[dict[str, int]]:
    get_run_logger().info("Reading %s of %s", table, day)
    time.sleep(0.3)
    return [{"id": number} for number in range(400)]


@task
def load_rows(table: str, rows: list[dict[str, int]]) -> int:
    get_run_logger().info("Loading %d rows into %s", len(rows), table)
    time.sleep(0.5)
    if table == "orders":
        get_run_logger().warning("The first row of %s has the columns %s", table, sorted(rows[0]))
        return sum(row["customer_id"] for row in rows)
    return len(rows)


@flow
def load_tables(tables: list[str], day: date) -> int:
    return sum(load_rows(table, extract(table, day)) for table in tables)


@flow
def etl(tables: list[str] = ["shops", "products", "orders"], day: date = date(2026, 1, 5), full: bool = False) -> int:  # noqa: B006
    """Loads the tables of a day into the warehouse."""
    return load_tables(tables, day)


@task(task_run_name="resize-{picture}")
def resize(picture: int) -> int:
    time.sleep(0.02 * (picture % 7))
    return picture


@flow
def thumbnails(pictures: int = 50) -> int:
    return len(resize.map(range(pictures)).result())


@task
def count_shop(region: str, shop: int) -> int:
    time.sleep(0.1)
    return len(region) * shop


@flow(flow_run_name="shops-of-{region}")
def count_region(region: str) -> int:
    return sum(count_shop(region, shop) for shop in range(3))


@flow
def report(regions: list[str] = ["north", "south"]) -> int:  # noqa: B006
    return sum(count_region(region) for region in regions)


attempts: list[str] = []


@task(retries=3, retry_delay_seconds=0.4)
def fetch_rates() -> str:
    attempts.append("one more")
    time.sleep(0.3)
    if len(attempts) < 3:
        raise ConnectionError("rates.example answered 503")
    return "1.08"


@flow
def rates() -> str:
    return fetch_rates()


@flow
def backup(seconds: int = 900) -> None:
    for minute in range(seconds // 2):
        get_run_logger().info("%d files copied", 250 * minute)
        time.sleep(2)


@flow
def train(model: str = "forecast", epochs: int = 20) -> str:
    return f"{model} after {epochs}"


class Approval(RunInput):
    approved: bool
    pieces: int = Field(1, ge=1, description="How many to buy")
    until: date | None = None
    note: str = ""


@flow
def purchase(article: str = "laptop", pieces: int = 6) -> int:
    """Asks before it buys."""
    description = f"Buy **{pieces}** × {article}?"
    answer = pause_flow_run(wait_for_input=Approval.with_initial_data(description, pieces=pieces), timeout=24 * 3600)
    return answer.pieces if answer.approved else 0


def deploy() -> None:
    zone = "Europe/Berlin"
    # Its runs fail: half an hour passes until the next one, so that tests know how many have.
    hourly = "0 * * * *" if datetime.now(UTC).minute < 30 else "30 * * * *"
    etl.deploy("hourly", cron=hourly, timezone=zone, tags=["prod", "warehouse"], description="What **sales** looks at.")
    thumbnails.deploy("new-pictures", interval=900, tags=["prod"])
    report.deploy("weekdays", cron="30 6 * * 1-5", timezone=zone, tags=["prod", "sales"])
    rates.deploy("every-ten-minutes", cron="*/10 * * * *", timezone=zone)
    backup.deploy("nightly", cron="0 2 * * *", timezone=zone, tags=["ops"])
    train.deploy("forecast", cron="0 3 * * *", timezone=zone, work_pool_name="gpu", tags=["ml"])
    purchase.deploy("on-request", tags=["office"])


def run() -> None:
    """Have each deployment run now; those of etl fail, backup goes on for a quarter of an hour, and purchase asks."""
    run_deployment("backup/nightly", timeout=0, flow_run_name="full-copy")
    run_deployment("train/forecast", timeout=0)
    run_deployment("purchase/on-request", timeout=0, flow_run_name="six-laptops")
    for name in ("etl/hourly", "etl/hourly", "thumbnails/new-pictures", "report/weekdays", "rates/every-ten-minutes"):
        run_deployment(name, timeout=90, poll_interval=0.2)


if __name__ == "__main__":
    deploy()
