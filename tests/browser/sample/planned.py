"""A failed, a late and a running run, among five hundred planned ones."""

from __future__ import annotations

import json
from datetime import timedelta

from django.utils import timezone

from deployments.models import Lease, Worker
from tests.web.deployments import HOURLY, add_run, make_deployment
from tests.web.rows import add_lines, make_task_run
from tests.web.test_agents_page import make_agent

DEPLOYMENTS, PLANNED, PAST = 10, 500, 200
# Nothing ticks in the meantime.
WHILE_TESTS_LOOK = timedelta(hours=1)


def write() -> None:
    made = [make_deployment(f"hourly-{one}", flow=f"flow-{one}", schedules=[HOURLY]) for one in range(DEPLOYMENTS)]
    for number in range(PLANNED):
        add_run(
            made[number % DEPLOYMENTS], "SCHEDULED", ago=-timedelta(minutes=2 * number + 90), name=f"planned-{number}"
        )
    for number in range(PAST):
        add_run(made[number % DEPLOYMENTS], ago=timedelta(hours=1 + number // DEPLOYMENTS), name=f"past-{number}")
    failed = add_run(
        made[0],
        "FAILED",
        ago=timedelta(minutes=10),
        name="it-failed",
        message="The flow raised KeyError: 'customer_id'",
    )
    task = make_task_run("load-0", flow_run=failed, state="FAILED", message="Task raised KeyError: 'customer_id'")
    add_lines(failed, *(f"line {number}" for number in range(300)), task_run=task)
    add_run(made[1], "SCHEDULED", ago=timedelta(minutes=9), name="it-waits", state_name="Late")
    agent, later = make_agent("worker-1"), timezone.now() + WHILE_TESTS_LOOK
    running = add_run(made[2], "RUNNING", ago=timedelta(minutes=8), name="it-runs")
    Lease.objects.create(flow_run=running, worker=agent, epoch=1, expires_at=later)
    Worker.objects.filter(pk=agent.pk).update(offline_at=later)
    print(json.dumps({"run": str(failed.pk), "flow": str(failed.flow_id), "deployment": str(made[0].pk)}))
