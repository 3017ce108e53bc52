"""A server whose clock stands still, with the same rows each time: the pages that are compared pixel by pixel.

`python -m tests.browser.sample.still write` fills the home, and `… serve` serves it.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

# A Friday, with the clocks of Berlin an hour ahead.
MOMENT = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
SCHEDULES = {
    "etl": ("hourly", {"cron": "0 * * * *", "timezone": "Europe/Berlin"}, ["prod", "warehouse"]),
    "thumbnails": ("new-pictures", {"interval": 900, "anchor_date": "2026-01-01T00:00:00+00:00"}, ["prod"]),
    "report": ("weekdays", {"cron": "30 6 * * 1-5", "timezone": "Europe/Berlin"}, ["prod", "sales"]),
    "rates": ("every-ten-minutes", {"cron": "*/10 * * * *", "timezone": "Europe/Berlin"}, []),
    "backup": ("nightly", {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, ["ops"]),
    "train": ("forecast", {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, ["ml"]),
}
TRACEBACK = """Encountered an exception during execution:
Traceback (most recent call last):
  File "/srv/flows/etl.py", line 27, in load_rows
    return sum(row["customer_id"] for row in rows)
KeyError: 'customer_id'"""


def write() -> None:
    import django

    django.setup()
    from tests.browser.sample import history
    from tests.web.deployments import make_deployment

    random.seed(7)
    for flow, (name, schedule, tags) in SCHEDULES.items():
        make_deployment(
            name, flow=flow, schedules=[schedule], tags=tags, description="What **sales** looks at.",
            parameter_openapi_schema={"type": "object", "properties": {"day": {"type": "string", "format": "date"}}},
        )  # fmt: skip
    history.write()
    failed = _runs()
    _rest()
    print(json.dumps({"failed": str(failed.pk), "flow": str(failed.flow_id), "deployment": str(failed.deployment_id)}))


def _runs() -> Any:
    """One run that failed with its tasks and its log, and one that is under way."""
    from deployments.models import Deployment
    from tests.web.deployments import add_run
    from tests.web.rows import add_lines, make_task_run

    etl, backup = (Deployment.objects.get(flow__name=name) for name in ("etl", "backup"))
    failed = add_run(
        etl, "FAILED", ago=timedelta(minutes=10), name="brave-otter", message="The flow raised KeyError: 'customer_id'",
        tags=["prod", "warehouse"], parameters={"day": "2026-11-20", "tables": ["shops", "orders"]},
    )  # fmt: skip
    began, made = MOMENT - timedelta(minutes=10), []
    for number, (name, state) in enumerate(
        (("extract-0", "COMPLETED"), ("extract-1", "COMPLETED"), ("load-0", "FAILED"))
    ):
        task = make_task_run(
            name, flow_run=failed, state=state, at=began + timedelta(seconds=20 * number), task_key=name[:-2],
            message="Task raised KeyError: 'customer_id'" if state == "FAILED" else None,
            task_inputs={"rows": [{"input_type": "task_run", "id": str(one.pk)} for one in made if number == 2]},
        )  # fmt: skip
        made.append(task)
    add_lines(failed, *(f"Reading {table} of 2026-11-20" for table in ("shops", "orders")), task_run=made[0])
    add_lines(failed, TRACEBACK, level=40, task_run=made[2])
    add_run(backup, "RUNNING", ago=timedelta(minutes=42), name="full-copy", tags=["ops"])
    return failed


def _rest() -> None:
    from tests.factories import make_artifact, make_limit
    from tests.web.rows import make_task_run
    from tests.web.test_agents_page import give_run, make_agent
    from tests.web.test_variables_page import make_variable

    give_run(make_agent("worker-1"), "nightly-copy")
    make_limit("gpu", 2, taken_by=[make_task_run("train-0", state="RUNNING", at=MOMENT)], now=MOMENT)
    make_variable("region", "eu-west", tags=["prod"])
    make_artifact("daily-report", data="# Report\n\nAll **fine**.", now=MOMENT)


def serve() -> None:
    from orionflow.cli import main

    sys.argv = ["orion", "server", "start", "--port", "0", "--no-agent", "--no-services"]
    main()


if __name__ == "__main__":
    with time_machine.travel(MOMENT, tick=False):
        {"write": write, "serve": serve}[sys.argv[1]]()
